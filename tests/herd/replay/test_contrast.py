"""What is said about what might have been is true: shown by replaying over a thousand decisions."""

import sys
from functools import cache, partial

import msgspec
import pytest

from actors.core.policies import POLICIES
from actors.core.state import State, dump, load
from actors.core.step import step
from actors.run_queue import run
from events import NodeId, Recorded, RequestDispatched, SettingsChanged
from herd.control.restore import head_of_segment
from herd.replay.contrast import WAITS, Change, Contrast, change, contrasts, stated
from herd.replay.deciding import Decision, Moment, all_candidates, decision, moments
from tests.actors.cast import MODEL, book, node, received
from tests.herd.virtual.small import START_US, busy

EACH = 300


@cache
def decided(policy: str) -> list[tuple[Moment, Recorded, Decision]]:
    """Every placement of a busy time under a policy, made again."""
    _, log = busy(policy, count=EACH, per_s=3.0)
    head = head_of_segment(State(), START_US)
    records = [head, *(moved(each) for each in log)]
    wanted = {each.seq for each in records if isinstance(each.event, RequestDispatched)}
    return [
        (moment, record, found)
        for moment in moments(records, wanted)
        for record in moment.chunk
        if record.seq in wanted and (found := decision(moment, record)) is not None
    ]


def moved(record: Recorded) -> Recorded:
    """One further on, behind the stored state."""
    cause = record.cause + 1 if record.cause else 0
    return msgspec.structs.replace(record, seq=record.seq + 1, cause=cause)


def on_a_changed_state(moment: Moment, found: Decision, wanted: Change) -> NodeId:
    """Fold to the fact, change the state, run the fact: where does the request go?"""
    state = load(dump(moment.before))
    change(state, found.request.model, wanted)
    fact = moment.chunk[0]
    outcome = run(state, partial(step, state), fact.event, fact.recorded_at, (fact.src, fact.n))
    for record in outcome.records:
        event = record.event
        if isinstance(event, RequestDispatched) and event.request_id == found.request.request_id:
            return event.node_id
    return WAITS


@pytest.mark.parametrize("policy", POLICIES)
def test_every_decision_is_made_again_to_the_last_term(policy: str) -> None:
    made = decided(policy)
    assert len(made) == EACH
    assert all(found.exact for _, _, found in made)
    assert all(
        len(all_candidates(found)) == len(found.dispatch.terms) + found.dispatch.more
        for _, _, found in made
    )


@pytest.mark.long
def test_what_is_stated_comes_true_in_a_replay() -> None:
    told = true = silent = 0
    for policy in POLICIES:
        for moment, _, found in decided(policy):
            said = stated((found.state, found.request), (moment.before, moment.chunk[0]))
            silent += not said
            for contrast in said:
                told += 1
                now = on_a_changed_state(moment, found, contrast.change)
                true += now == contrast.chosen != found.dispatch.node_id
    sys.stderr.write(f"{told} contrasts, {true} came true, {silent} decisions without one\n")
    assert told >= 1000
    assert true >= 0.99 * told
    assert silent <= 0.05 * EACH * len(POLICIES)


def test_the_smallest_change_about_the_runner_up_comes_first() -> None:
    playing = book(*node("ada", slots=4), *node("bob", slots=4, resident=()))
    playing.given(received("r1"))
    found = _last(playing.log)
    first, second, *others = contrasts(found.state, found.request)
    assert first == Contrast(Change(NodeId("ada"), "resident", 1, 0), NodeId("bob"))
    assert second == Contrast(Change(NodeId("bob"), "resident", 0, 1), NodeId("bob"))
    assert [each.change.what for each in others] == ["in_flight", "online"]
    assert found.dispatch.node_id == "ada"


def test_one_who_runs_less_takes_his_length_with_him() -> None:
    playing = book(
        SettingsChanged(key="running_by_length", old=False, new=True), *node("ada", slots=4)
    )
    playing.given(*(received(f"r{number}") for number in range(3)))
    ada = playing.state.nodes[NodeId("ada")]
    assert len(ada.slots[MODEL].portions) == 3
    change(playing.state, MODEL, Change(NodeId("ada"), "in_flight", 3, 1))
    assert len(ada.slots[MODEL].portions) == 1


def test_one_node_alone_would_have_let_it_wait() -> None:
    playing = book(*node("ada", slots=1))
    playing.given(received("r1"))
    found = _last(playing.log)
    said = contrasts(found.state, found.request)
    assert {each.chosen for each in said} == {WAITS}
    assert said[0].change == Change(NodeId("ada"), "in_flight", 0, 1, 1)


def test_the_state_itself_is_left_alone() -> None:
    _, _, found = decided("resident-first")[-1]
    before = dump(found.state)
    assert contrasts(found.state, found.request)
    assert dump(found.state) == before


def _last(log: list[Recorded]) -> Decision:
    wanted = max(each.seq for each in log if isinstance(each.event, RequestDispatched))
    (moment,) = moments(log, {wanted})
    record = next(each for each in moment.chunk if each.seq == wanted)
    found = decision(moment, record)
    assert found is not None
    return found
