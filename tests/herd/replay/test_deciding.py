"""Decisions of a chaotic time are made again: to the last term, and with what is said of them."""

import sys
from collections import Counter
from functools import cache, partial

import pytest

from actors.core.placement import SHOWN
from actors.core.policies import POLICIES, place
from actors.core.state import Pin, State, dump, load
from actors.core.step import step
from actors.run_queue import run
from events import NodeId, Promise, Recorded, RequestDispatched
from herd.replay.contrast import WAITS, Change, change, contrasts, stated
from herd.replay.deciding import Decision, Moment, all_candidates, decision, moments
from herd.replay.reasons import reasons
from herd.replay.standing import hindered
from tests.actors.cast import book, node, received
from tests.actors.core.fleets import LARGE, SMALL, a_node, a_state, first, working_on
from tests.herd.replay.chaos import chaos

SEEDS = (4, 7, 11)
"""Of which every policy has its time."""


@cache
def made_again(seed: int) -> list[tuple[Moment, Recorded, Decision]]:
    log = chaos(seed)
    wanted = {each.seq for each in log if isinstance(each.event, RequestDispatched)}
    found = [
        (moment, record, again)
        for moment in moments(log, wanted)
        for record in moment.chunk
        if record.seq in wanted and (again := decision(moment, record)) is not None
    ]
    assert len(found) == len(wanted)
    return found


def all_made_again() -> list[tuple[Moment, Recorded, Decision]]:
    return [each for seed in SEEDS for each in made_again(seed)]


def test_a_chaotic_time_has_a_bit_of_everything() -> None:
    """Otherwise the other tests would show less than they seem to."""
    kinds = Counter(type(each.event).__name__ for seed in SEEDS for each in chaos(seed))
    wanted = ("AttemptFailed", "NodeDrained", "NodeWentOffline", "CircuitOpened", "LeaseVoided")
    assert all(kinds[name] >= 5 for name in wanted), kinds
    policies = Counter(found.dispatch.policy for _, _, found in all_made_again())
    assert all(policies[f"{name}/1"] >= 100 for name in POLICIES), policies


def test_every_decision_is_the_recorded_one_to_the_last_term() -> None:
    found = all_made_again()
    assert len(found) >= 1000
    assert [record for _, record, again in found if not again.exact] == []


def test_every_node_is_a_candidate_or_hindered_by_something_the_state_tells() -> None:
    for _, _, found in all_made_again():
        names = {each.node_id for each in all_candidates(found)}
        others = hindered(found.state, found.request, names)
        assert names | {each.node_id for each in others} == set(found.state.nodes)
        assert all(each.obstacles and "policy" not in each.obstacles for each in others)


def test_nothing_hinders_a_candidate() -> None:
    for _, _, found in all_made_again():
        names = {each.node_id for each in all_candidates(found)}
        as_if_not = hindered(found.state, found.request, set())
        free = [set(each.obstacles) for each in as_if_not if each.node_id in names]
        assert all(each == {"policy"} for each in free)


def obstacles(state: State) -> dict[str, list[str]]:
    found = hindered(state, first(state), set())
    return {str(each.node_id): list(each.obstacles.values()) for each in found}


def test_why_there_is_no_room() -> None:
    busy = working_on(a_node("busy", LARGE, most=1), LARGE, 1)
    kept = working_on(a_node("kept", LARGE, most=1), LARGE, 1)
    small = a_node("small", vram_bytes=1_000_000_000)
    state = a_state(busy, kept, small, a_node("hot", SMALL))
    state.promises = {kept.node_id: Promise(kept.node_id, "new:7b", (LARGE,))}
    policy = ["passed over by the policy"]
    assert obstacles(state) == dict.fromkeys(["busy", "kept", "small", "hot"], policy)
    state.settings.policy = "soonest"
    assert obstacles(state) == {
        "busy": ["no room for the model while others work there"],
        "kept": ["its room is promised to new:7b"],
        "small": ["too little memory for the model"],
        "hot": policy,
    }


def test_a_node_is_spared_for_the_sake_of_a_pinned_model() -> None:
    full = a_node("full", LARGE, vram_bytes=41_000_000_000)
    state = a_state(full, a_node("free"))
    state.pinned = {full.node_id: {LARGE: Pin()}}
    assert obstacles(state)["full"] == [f"loading it would push out {LARGE}, which is pinned there"]


def replayed(moment: Moment, found: Decision, wanted: Change) -> NodeId:
    """Fold the log to before the fact, change the state, run the fact; where does it go?"""
    state = load(dump(moment.before))
    change(state, found.request.model, wanted)
    fact = moment.chunk[0]
    outcome = run(state, partial(step, state), fact.event, fact.recorded_at, (fact.src, fact.n))
    went = [
        each.event.node_id
        for each in outcome.records
        if isinstance(each.event, RequestDispatched)
        and each.event.request_id == found.request.request_id
    ]
    return went[0] if went else WAITS


@pytest.mark.long
def test_every_stated_contrast_flips_its_decision() -> None:
    said = true = silent = 0
    for moment, _, found in all_made_again():
        contrasts = stated((found.state, found.request), (moment.before, moment.chunk[0]))
        silent += not contrasts
        for contrast in contrasts:
            said += 1
            now = replayed(moment, found, contrast.change)
            true += now == contrast.chosen != found.dispatch.node_id
    sys.stderr.write(f"{true} of {said} contrasts flip; {silent} decisions have none\n")
    assert said >= 1500
    assert true >= 0.99 * said
    assert silent <= 0.02 * len(all_made_again())


def test_the_smallest_count_is_stated() -> None:
    """One request fewer in flight there would not have been enough."""
    looked_at = 0
    for _, _, found in made_again(0):
        winner = found.dispatch.node_id
        for contrast in contrasts(found.state, found.request):
            wanted = contrast.change
            if wanted.what == "in_flight" and wanted.node_id == winner:
                looked_at += 1
                for number in range(wanted.before, wanted.after):
                    state = load(dump(found.state))
                    less = Change(winner, "in_flight", wanted.before, number)
                    change(state, found.request.model, less)
                    choice = place(state, state.requests[found.request.request_id])
                    assert choice is not None
                    assert choice.node.node_id == winner
    assert looked_at >= 200


def test_a_reason_is_only_what_the_policy_looks_at() -> None:
    given: Counter[tuple[str, str]] = Counter()
    for _, _, found in all_made_again():
        terms = found.dispatch.terms
        if len(terms) > 1:
            winner, second = (found.state.nodes[each.node_id] for each in terms[:2])
            why = reasons(found.state, found.request, winner, second)
            given.update((found.dispatch.policy, reason) for reason in why)
            if found.dispatch.policy == "resident-first/1" and terms[0].resident:
                assert ("load" in why) == (not terms[1].resident)
    assert set(given) == {
        ("resident-first/1", "load"),
        ("resident-first/1", "busy"),
        ("least-connections/1", "busy"),
        ("soonest/1", "load"),
        ("soonest/1", "busy"),
        ("points/1", "load"),
        ("points/1", "busy"),
    }


def test_that_a_node_is_faster_is_a_reason_for_who_looks_at_it() -> None:
    fast, slow = a_node("fast", SMALL, step_s=0.01), a_node("slow", SMALL, step_s=0.05)
    state = a_state(fast, slow)
    assert reasons(state, first(state), fast, slow, POLICIES["soonest"]) == ["speed"]
    assert reasons(state, first(state), fast, slow, POLICIES["resident-first"]) == []


def test_what_was_too_much_to_store_is_computed_again() -> None:
    names = [f"node{number:02}" for number in range(SHOWN * 2 + 3)]
    playing = book(*(node(name, slots=1) for name in names))
    playing.given(received("r1"))
    (moment,) = moments(playing.log, {playing.log[-1].seq})
    found = decision(moment, playing.log[-1])
    assert found is not None
    assert found.dispatch.more == SHOWN + 3
    assert sorted(each.node_id for each in all_candidates(found)) == names


def test_a_decision_that_this_version_would_not_make_is_not_exact() -> None:
    playing = book(*node("ada", slots=1), *node("bob", slots=1, resident=()))
    playing.given(received("r1"))
    (moment,) = moments(playing.log, {playing.log[-1].seq})
    found = decision(moment, playing.log[-1], POLICIES["round-robin"])
    assert found is not None
    assert not found.exact


@pytest.mark.parametrize("seq", [1, 3])
def test_a_moment_is_the_state_that_the_fact_met(seq: int) -> None:
    log = chaos(0)
    (moment,) = moments(log, {log[seq].seq})
    assert moment.before.seq == moment.chunk[0].seq - 1
    assert log[seq] in moment.chunk
    assert moment.until(log[seq].seq).seq == log[seq].seq - 1
