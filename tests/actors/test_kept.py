"""What is kept of nodes is what would be made anew, whatever happened since it was made."""

from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from actors.core.burden import beside, within
from actors.core.estimates import demand, mean_s
from actors.core.facts import again_s, facts_of, own_s, timed
from actors.core.fitting import must_load, victims
from actors.core.kept import (
    ALWAYS_US,
    BARRED,
    CLOSED,
    COLD,
    FREE,
    FULL,
    MOST_TOUCHES,
    Facts,
    Kept,
    Known,
    Row,
    Seat,
)
from actors.core.learning import Mean
from actors.core.owning import crowded, exhausted
from actors.core.placement import slots_of, usable
from actors.core.slots import Slots
from actors.core.standing import begin, known_of, row_of, usable_seats
from actors.core.state import State, dump, load
from events import Limits, NodeFacts, NodeId, SettingsChanged
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    SIZE_BYTES,
    attempt_failed,
    completed,
    heartbeat,
    in_memory,
    received,
)
from tests.actors.core.fleets import SMALL, a_node, a_state
from tests.actors.core.test_lacking import SET, refused
from tests.actors.core.test_slowing import SLOW_S, fallen
from tests.actors.test_invariants import FRONT, MODELS, NODES, PICK, AnythingGoes
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


def stands(seat: Seat, model: str, now_us: int) -> tuple[int, list[str]]:
    """Return what a model is to who asks, and what would have to go, as it is said elsewhere."""
    node = seat.node
    if seat.kind == CLOSED or crowded(node, model, now_us):
        return seat.kind if seat.kind == CLOSED else BARRED, []
    slots = slots_of(node, model)
    if not must_load(node, model, now_us):
        return FULL if exhausted(node) or slots.in_flight >= slots.limit else FREE, []
    leaving = None if exhausted(node) else victims(node, model)
    return (BARRED, []) if leaving is None else (COLD, leaving)


def check_facts(mine: Facts, anew: Facts) -> None:
    for name in ("means", "alone_s", "sure", "rate", "wanted", "times_s", "first", "first_s"):
        assert getattr(mine, name) == getattr(anew, name), name
    assert mine.second_s == anew.second_s


def taken(state: State, seat: Seat, model: str) -> float:
    return within(state, seat, facts_of(state, model), prefill_s=0.3, decode_s=1.2)


def check_kept(state: State) -> None:
    """Raise where something that is kept is not what follows from the state."""
    anew = load(dump(state))
    assert not anew.kept.on, "a copy begins without any"
    for model in {MODEL, OTHER_MODEL, *state.kept.rows}:
        row, other = row_of(state, model), row_of(anew, model)
        assert told(row) == told(other)
        check_facts(timed(state, model), timed(anew, model))
        for node_id, seat in row.seats.items():
            if seat.slots.in_flight and seat.kind != CLOSED:
                assert taken(state, seat, model) == taken(anew, other.seats[node_id], model)
        for seat in row.seats.values():
            leaving = seat.leaving if seat.kind == COLD else []
            assert (seat.kind, leaving) == stands(seat, model, state.recorded_at)
    for node_id in state.nodes:
        for lone_s in (0.1, 10.0):
            here, there = known_of(state, node_id), known_of(anew, node_id)
            assert beside(state, here, lone_s) == beside(anew, there, lone_s)
    for request in anew.requests.values():
        nodes = [node.node_id for node in usable(anew, request)]
        assert [seat.node.node_id for seat in usable_seats(state, request)] == nodes


class AnythingIsKept(AnythingGoes):
    """Random fleets under `soonest`."""

    def __init__(self) -> None:
        super().__init__()
        for key, new in (
            ("policy", "soonest"),
            ("patience", True),
            ("foresight", True),
            ("slow_times", 5.0),
            ("refused_for_s", 3600.0),
            ("lengths_by_size", True),
            ("lengths_by_last", True),
            ("running_by_length", True),
        ):
            self.fleet.play(SettingsChanged(key=key, new=new, old="", by="ada"))

    @rule(
        name=NODES,
        resident=st.sampled_from([(MODEL,), (OTHER_MODEL,), (MODEL, OTHER_MODEL)]),
        most=st.sampled_from([1, 1, 2]),
        max_bytes=st.sampled_from([0, 0, 3 * SIZE_BYTES // 2]),
        max_requests=st.sampled_from([0, 0, 1]),
    )
    def a_small_machine_is_lent(
        self, name: str, resident: tuple[str, ...], most: int, max_bytes: int, max_requests: int
    ) -> None:
        told = heartbeat(
            name,
            MODEL,
            OTHER_MODEL,
            resident=in_memory(*resident),
            facts=NodeFacts(version="0.9", max_loaded_models=most),
            limits=Limits(max_bytes=max_bytes, max_requests=max_requests),
        )
        self.fleet.play(told, self.front(0))

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

    def fastest() -> list[NodeId | None]:
        facts_of(state, SMALL)
        found = timed(state, SMALL)
        assert bool(found.second_s) == (len(found.times_s) > 1)
        return [found.first, *sorted(name for name in found.times_s if name != found.first)]

    assert fastest() == ["bob", "ada"]
    bob.resident.clear()
    state.kept.folds += 1
    assert fastest() == ["bob", "ada"], "nobody said so"
    state.kept.touch(NodeId("bob"), memory=True)
    state.kept.folds += 1
    assert fastest() == ["ada"]
    ada.speeds[SMALL].step.value = 0.05
    state.kept.learn(SMALL)
    state.kept.touch(NodeId("ada"), memory=False)
    state.kept.folds += 1
    assert fastest() == ["ada"]
    found = timed(state, SMALL)
    assert (found.first_s, found.second_s) == (mean_s(state.demands[SMALL], ada, SMALL, 1, 1), 0.0)
    ada.resident.clear()
    state.kept.touch(NodeId("ada"), memory=True)
    state.kept.folds += 1
    assert fastest() == [None]


@pytest.mark.parametrize("working", [0, 1, 2])
def test_the_time_of_a_mean_request_is_that_of_the_estimates_to_the_bit(working: int) -> None:
    ada = a_node("ada", SMALL, step_s=0.0173)
    state = a_state(ada)
    for number in range(working):
        ada.slots[f"other-{number}"] = Slots(limit=2, in_flight=1)
    asked = demand(state, SMALL)
    asked.prompt_tokens, asked.answer_tokens = Mean(7, 913.7), Mean(7, 211.3)
    begin(state)
    found = own_s(known_of(state, NodeId("ada")), facts_of(state, SMALL))
    assert found == mean_s(asked, ada, SMALL, 1, max(1, working))
    asked.answer_tokens.value = 300.7
    state.kept.learn(SMALL)
    state.kept.folds += 1
    found = own_s(known_of(state, NodeId("ada")), facts_of(state, SMALL))
    assert found == mean_s(asked, ada, SMALL, 1, max(1, working))


def test_what_is_kept_does_not_grow() -> None:
    kept, node = Kept(), a_node("ada")
    name = NodeId("ada")
    for _ in range(3 * MOST_TOUCHES):
        kept.nodes[name] = Known(node)  # somebody has looked
        kept.touch(name, memory=False)
        assert len(kept.touched) <= MOST_TOUCHES
