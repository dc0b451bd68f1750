"""Memory: nothing is loaded that cannot fit, and what goes is what the node would drop."""

from actors.core.fitting import (
    can_hold,
    cheapest,
    fits,
    in_flight,
    in_memory,
    memory_bytes,
    room_bytes,
    victims,
)
from events import NodeFacts
from tests.actors.cast import MODEL, OTHER_MODEL, SIZE_BYTES, book, nid, probed
from tests.actors.cast import node as node_of
from tests.actors.core.fleets import LARGE, NOW_US, SIZES, SMALL, a_node, working_on

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
    node = a_node("ada", SMALL)
    node.facts = NodeFacts(vram_bytes=24 * GB, memory_bytes=26 * GB)
    assert can_hold(node, LARGE)
    assert victims(node, LARGE) == []
    node.facts = NodeFacts(vram_bytes=24 * GB, memory_bytes=25 * GB)
    assert victims(node, LARGE) == [SMALL]


def test_a_mac_s_graphics_have_a_part_of_its_memory_and_no_more_beside_it() -> None:
    node = a_node("ada", SMALL)
    node.facts = NodeFacts(vram_bytes=24 * GB, memory_bytes=50 * GB, unified_memory=True)
    assert can_hold(node, LARGE)
    assert memory_bytes(node) == 50 * GB
    assert room_bytes(node, 20 * GB) == 24 * GB, "what goes there whole has that part"
    node.facts = NodeFacts(vram_bytes=24 * GB, memory_bytes=32 * GB, unified_memory=True)
    assert not can_hold(node, LARGE), "the same, told as more memory beside a card, would hold it"
    node.facts = NodeFacts(vram_bytes=32 * GB, memory_bytes=32 * GB, unified_memory=True)
    assert memory_bytes(node) == 32 * GB, "its owner may give its graphics all"


def test_one_that_seems_too_large_gets_all_there_is() -> None:
    node = a_node("ada", SMALL, vram_bytes=10 * GB)
    assert not can_hold(node, LARGE)
    assert victims(node, LARGE) == cheapest(node, LARGE) == [SMALL]
    assert victims(working_on(node, SMALL, 1), LARGE) is None
    node.facts = NodeFacts(vram_bytes=10 * GB)
    assert can_hold(node, LARGE), "who knows"


def test_what_is_waited_for_is_what_works_least() -> None:
    node = working_on(working_on(a_node("ada", SMALL, LARGE, most=2), SMALL, 2), LARGE, 1)
    assert cheapest(node, "new:7b") == [LARGE]
    assert cheapest(a_node("ada"), SMALL) == []
    assert in_flight(node, SMALL) == 2
    assert in_flight(node, "new:7b") == 0


def test_an_answer_shows_that_a_model_is_there_until_the_node_tells() -> None:
    node = a_node("ada", LARGE)
    assert in_memory(node, LARGE, NOW_US)
    assert not in_memory(node, SMALL, NOW_US)
    assert not in_memory(node, "new:7b", NOW_US)
    node.speeds[SMALL].served_us = NOW_US - 9_000_000
    assert in_memory(node, SMALL, NOW_US)
    assert not in_memory(node, SMALL, NOW_US + 2_000_000)
    node.speeds[LARGE].load_began_us = NOW_US
    assert not in_memory(node, SMALL, NOW_US), "that may have pushed it out"


def test_whether_a_load_pushes_somebody_out() -> None:
    node = working_on(a_node("ada", LARGE, most=2, vram_bytes=60 * GB), SMALL, 1)
    assert fits(node, [SMALL])
    assert fits(node, [])
    node.facts = NodeFacts(vram_bytes=41 * GB, max_loaded_models=2)
    assert not fits(node, [SMALL])
    node.facts = NodeFacts(vram_bytes=60 * GB, max_loaded_models=1)
    assert not fits(node, [SMALL])


def test_the_room_of_a_node_that_does_not_tell_is_what_was_seen() -> None:
    node = a_node("ada", SMALL)
    assert victims(node, LARGE) == []
    node.held_bytes = SIZES[LARGE] + 1
    assert victims(node, LARGE) == [], "nothing was seen to go"
    node.evicts = True
    assert victims(node, LARGE) == [SMALL]
    node.held_bytes = SIZES[SMALL] + int(1.2 * SIZES[LARGE])
    assert victims(node, LARGE) == []
    node.held_bytes = 1
    assert victims(node, LARGE) == [SMALL], "it was never seen to hold any of that size"


def test_a_model_that_goes_as_another_comes_says_that_there_is_no_room_for_both() -> None:
    made = book(*node_of("ada", MODEL, OTHER_MODEL, resident=(MODEL,)))
    ada = made.state.nodes[nid("ada")]
    assert (ada.held_bytes, ada.evicts) == (SIZE_BYTES, False)
    made.given(probed("ada", MODEL, OTHER_MODEL, resident=()))
    made.given(probed("ada", MODEL, OTHER_MODEL, resident=(OTHER_MODEL,)))
    assert not ada.evicts, "it had gone by itself"
    made.given(probed("ada", MODEL, OTHER_MODEL, resident=(MODEL, OTHER_MODEL)))
    assert (ada.held_bytes, ada.evicts) == (2 * SIZE_BYTES, False)
    made.given(probed("ada", MODEL, OTHER_MODEL, resident=(MODEL,)))
    assert not ada.evicts
    made.given(probed("ada", MODEL, OTHER_MODEL, resident=(OTHER_MODEL,)))
    assert (ada.held_bytes, ada.evicts) == (2 * SIZE_BYTES, True)
    made.check()
