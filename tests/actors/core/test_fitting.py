"""Memory: nothing is loaded that cannot fit, and what goes is what the node would drop."""

from actors.core.fitting import cheapest, fits, in_flight, victims
from events import NodeFacts
from tests.actors.core.fleets import LARGE, SIZES, SMALL, a_node, working_on

GB = 1_000_000_000
BOTH = SIZES[SMALL] + int(1.2 * SIZES[LARGE])


def test_room_for_all_costs_nobody_anything() -> None:
    assert victims(a_node("ada", LARGE), SMALL) == []
    assert victims(a_node("ada", SMALL, vram_bytes=BOTH), LARGE) == []


def test_the_longest_unused_goes_first() -> None:
    node = a_node("ada", SMALL, LARGE, most=2)
    node.speeds[SMALL].used_us, node.speeds[LARGE].used_us = 2, 1
    assert victims(node, "new:7b") == [LARGE]
    del node.speeds[SMALL]
    assert victims(node, "new:7b") == [SMALL], "it was never used"


def test_nobody_at_work_has_to_go() -> None:
    node = working_on(a_node("ada", SMALL, most=1), SMALL, 1)
    assert victims(node, LARGE) is None
    node = working_on(a_node("ada", most=1), SMALL, 1)
    assert victims(node, LARGE) is None, "it is being loaded"


def test_memory_counts_too() -> None:
    node = working_on(a_node("ada", SMALL, vram_bytes=BOTH - 1), SMALL, 1)
    assert victims(node, LARGE) is None
    node = a_node("ada", SMALL, vram_bytes=BOTH - 1)
    assert victims(node, LARGE) == [SMALL]


def test_what_the_card_cannot_hold_lies_in_part_in_the_system_s_memory() -> None:
    node = a_node("ada", vram_bytes=24 * GB)
    assert victims(node, LARGE) is None
    assert cheapest(node, LARGE) is None
    node.facts = NodeFacts(vram_bytes=24 * GB, memory_bytes=64 * GB)
    assert victims(node, LARGE) == []


def test_what_is_waited_for_is_what_works_least() -> None:
    node = working_on(working_on(a_node("ada", SMALL, LARGE, most=2), SMALL, 2), LARGE, 1)
    assert cheapest(node, "new:7b") == [LARGE]
    assert cheapest(a_node("ada"), SMALL) == []
    assert in_flight(node, SMALL) == 2
    assert in_flight(node, "new:7b") == 0


def test_whether_a_load_pushes_somebody_out() -> None:
    node = working_on(a_node("ada", LARGE, most=2, vram_bytes=60 * GB), SMALL, 1)
    assert fits(node, [SMALL])
    assert fits(node, [])
    node.facts = NodeFacts(vram_bytes=41 * GB, max_loaded_models=2)
    assert not fits(node, [SMALL])
    node.facts = NodeFacts(vram_bytes=60 * GB, max_loaded_models=1)
    assert not fits(node, [SMALL])
