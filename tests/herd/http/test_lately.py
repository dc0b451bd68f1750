"""What a page that opens now is told of the last minutes."""

from events import NodeFacts, NodeId
from herd.http.lately import KEPT_S, Lately
from herd.link.messages import NodeView, SlotView, View


def view(running: int, waiting: int, completed: int) -> View:
    node = NodeView(
        node_id=NodeId("a"),
        url="http://a",
        status="online",
        origin="flag",
        draining=False,
        facts=NodeFacts(),
        resident=(),
        models=(),
        slots={"m": SlotView(slots=4, in_flight=running, completed=completed)},
    )
    return View(nodes=(node,), waiting={"m": waiting})


def test_the_last_word_of_a_second_counts_and_holds() -> None:
    lately = Lately()
    lately.saw(view(1, 5, 0), 10.1)
    lately.saw(view(4, 2, 3), 10.9)
    lately.saw(view(0, 0, 9), 14.0)
    assert lately.told(20.5) == [(10, 4, 2, 3), (6, 0, 0, 9)]


def test_what_held_when_the_strip_begins_is_told_of_then() -> None:
    lately = Lately()
    lately.saw(view(1, 0, 1), 10.0)
    lately.saw(view(2, 0, 1), 20.0)
    assert lately.told(1000.0) == [(KEPT_S, 2, 0, 1)]
    lately.saw(view(3, 0, 1), 990.0)
    assert lately.told(1000.0) == [(KEPT_S, 2, 0, 1), (10, 3, 0, 1)]


def test_nobody_is_told_of_more_than_is_drawn() -> None:
    lately = Lately()
    for second in range(2 * KEPT_S):
        lately.saw(view(second % 3, 0, second), float(second))
    told = lately.told(2.0 * KEPT_S)
    assert len(told) == KEPT_S
    assert told[-1] == (1, (2 * KEPT_S - 1) % 3, 0, 2 * KEPT_S - 1)
