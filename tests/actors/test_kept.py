"""What is kept of nodes is what would be made anew, whatever happened since it was made."""

from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from actors.core.kept import ALWAYS_US, CLOSED, COLD, FREE, FULL, MOST_TOUCHES, Kept, Known, Row
from actors.core.placement import usable
from actors.core.standing import again_s, begin, fastest_s, known_of, row_of, usable_seats
from actors.core.state import State, dump, load
from events import NodeId, SettingsChanged
from tests.actors.cast import MODEL, attempt_failed, completed, received
from tests.actors.core.fleets import SMALL, a_node, a_state
from tests.actors.core.test_lacking import SET, refused
from tests.actors.core.test_slowing import SLOW_S, fallen
from tests.actors.test_invariants import FRONT, MODELS, PICK, AnythingGoes
from tests.playbook import after

TOLD: dict[str, Any] = {"ttft_s": 0.1, "usage_source": "reported"}


def told(row: Row) -> object:
    """Return all that a row says."""
    return [
        (
            name,
            seat.kind,
            (seat.native, seat.healthy, seat.last, seat.holds, seat.waits)
            if seat.kind != CLOSED
            else (),
            (seat.token_s, seat.step_s) if seat.kind in {COLD, FREE, FULL} else (),
            (seat.load_s, seat.leaving) if seat.kind == COLD else (),
            (seat.slots.in_flight, seat.slots.limit),
            (seat.known.working, seat.known.exhausted, seat.known.coming),
            (seat in row.usable, seat in row.takers, seat in row.full),
        )
        for name, seat in row.seats.items()
    ] + [row.able, row.nowhere]


def check_kept(state: State) -> None:
    """Raise where something that is kept is not what follows from the state."""
    anew = load(dump(state))
    assert not anew.kept.on, "a copy begins without any"
    for model in list(state.kept.rows):
        assert told(row_of(state, model)) == told(row_of(anew, model))
    for request in anew.requests.values():
        nodes = [node.node_id for node in usable(anew, request)]
        assert [seat.node.node_id for seat in usable_seats(state, request)] == nodes


class AnythingIsKept(AnythingGoes):
    """Random fleets under `soonest`."""

    def __init__(self) -> None:
        super().__init__()
        for key, new in (("policy", "soonest"), ("slow_times", 5.0), ("refused_for_s", 3600.0)):
            self.fleet.play(SettingsChanged(key=key, new=new, old="", by="ada"))

    @precondition(AnythingGoes.running)
    @rule(number=PICK)
    def a_node_has_no_memory(self, number: int) -> None:
        src, held = self.pick(number, in_flight=True)
        if (grant := held.grant) is not None:
            held.grant = None
            name, where, lease = held.request_id, grant.node_id, grant.lease
            said = "answered 500: out of memory"
            self.fleet.play(attempt_failed(name, where, lease, held.model, error=said), src)

    @rule(number=FRONT, model=MODELS, service_s=st.sampled_from([2.0, 2.0, 50.0]))
    def many_are_answered(self, number: int, model: str, service_s: float) -> None:
        src = self.front(number)
        for _ in range(9):
            name = self.fleet.receive(src, model)
            held = self.fleet.fronts[src].get(name)
            if held is not None and (grant := held.grant) is not None:
                self.fleet.end(src, held)
                told = completed(name, grant.node_id, grant.lease, held.model, **TOLD)
                self.fleet.play(msgspec.structs.replace(told, service_s=service_s), src)

    @rule(policy=st.sampled_from(["soonest", "soonest", "resident-first"]))
    def an_operator_takes_another_policy(self, policy: str) -> None:
        self.fleet.play(SettingsChanged(key="policy", new=policy, old="", by="ada"))

    @invariant()
    def nothing_stale_is_kept(self) -> None:
        check_kept(self.fleet.state)


AnythingIsKept.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, derandomize=True
)
TestAnythingIsKept = AnythingIsKept.TestCase


@pytest.mark.parametrize("policy", ["soonest", "resident-first"])
def test_a_slow_node_is_kept_as_what_it_is(policy: str) -> None:
    tale = fallen(SettingsChanged(key="policy", old="", new=policy))
    state = tale.playing.state
    assert state.kept.on
    row_of(state, MODEL)
    for seconds in (1.0, 61.0):
        tale.later(seconds)
        check_kept(state)
        tale.ask()
        check_kept(state)
    tale.answers(2, SLOW_S)
    check_kept(state)


def test_a_node_without_memory_is_kept_for_as_long_as_it_counts() -> None:
    playing = refused(SET, SettingsChanged(key="policy", old="", new="soonest"))
    state = playing.state
    for seconds in (0.0, 59.0, 0.999999, 0.000001, 1.0):
        playing.given(after(seconds), received(f"after-{state.seq}"))
        row = row_of(state, MODEL)
        assert len(row.usable) == (1 if state.recorded_at <= row.until_us < ALWAYS_US else 2)
        check_kept(state)


def test_nothing_kept_is_stored_or_compared() -> None:
    state = State()
    before = dump(state)
    state.kept.on = True
    row_of(state, "a:model")
    assert dump(state) == before
    assert load(before) == state


def test_a_load_is_reckoned_once_until_a_fold_touches_its_node() -> None:
    state = a_state(a_node("ada", SMALL, load_s=5.0))
    begin(state)
    known = known_of(state, NodeId("ada"))
    assert again_s(known, SMALL) == 5.0
    known.node.speeds[SMALL].load.value = 6.0
    assert again_s(known, SMALL) == 5.0, "nobody said so"
    state.kept.touch(NodeId("ada"), memory=False)
    assert again_s(known_of(state, NodeId("ada")), SMALL) == 6.0


def test_the_fastest_are_looked_at_again_where_a_fold_touched_them() -> None:
    ada, bob = a_node("ada", SMALL, step_s=0.02), a_node("bob", SMALL, step_s=0.01)
    state = a_state(ada, bob)
    begin(state)
    state.kept.on = True
    assert [node_id for _, node_id in fastest_s(state, SMALL)] == ["bob", "ada"]
    bob.resident.clear()
    assert len(fastest_s(state, SMALL)) == 2, "nobody said so"
    state.kept.touch(NodeId("bob"), memory=True)
    assert [node_id for _, node_id in fastest_s(state, SMALL)] == ["ada"]


def test_what_is_kept_does_not_grow() -> None:
    kept, node = Kept(), a_node("ada")
    name = NodeId("ada")
    for _ in range(3 * MOST_TOUCHES):
        kept.nodes[name] = Known(node)  # somebody has looked
        kept.touch(name, memory=False)
        assert len(kept.touched) <= MOST_TOUCHES
