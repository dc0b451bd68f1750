"""What is kept of nodes is what would be made anew, whatever happened since it was made."""

from hypothesis import settings
from hypothesis.stateful import invariant

from actors.core.kept import COLD, FREE, FULL, MOST_TOUCHES, Kept, Known, Row
from actors.core.placement import usable
from actors.core.standing import again_s, begin, fastest_s, known_of, row_of, usable_seats
from actors.core.state import State, dump, load
from events import NodeId, SettingsChanged
from tests.actors.core.fleets import SMALL, a_node, a_state
from tests.actors.test_invariants import AnythingGoes


def told(row: Row) -> object:
    """Return all that a row says."""
    return [
        (
            name,
            seat.kind,
            seat.native,
            seat.healthy,
            seat.holds,
            seat.waits,
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
        self.fleet.play(SettingsChanged(key="policy", new="soonest", old="", by="ada"))

    @invariant()
    def nothing_stale_is_kept(self) -> None:
        check_kept(self.fleet.state)


AnythingIsKept.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, derandomize=True
)
TestAnythingIsKept = AnythingIsKept.TestCase


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
