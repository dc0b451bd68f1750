"""`points/1`: each of its terms decides where it is the one that differs."""

import pytest

from actors.core.points import points
from actors.core.policies import POLICIES
from actors.core.state import Node, Tally
from events import ModelFacts, NodeFacts, ResidentModel
from tests.actors.core.fleets import LARGE, NOW_US, SIZES, SMALL, a_node, a_state, first, working_on

GB = 1_000_000_000


def goes(*nodes: Node, model: str = SMALL) -> str:
    """Return where a request goes; nothing if it waits."""
    choice = points(a_state(*nodes, model=model), first(a_state(*nodes, model=model)))
    return "" if choice is None else choice.node.node_id


def score(node: Node, model: str = SMALL) -> float:
    """Return the points of a node that is alone."""
    state = a_state(node, model=model)
    choice = points(state, first(state))
    assert choice is not None
    return choice.candidates[0].score


def machine(name: str, *resident: str, memory_gb: int = 0, bandwidth_gb: int = 0) -> Node:
    node = a_node(name, *resident, slots=8)
    node.facts = NodeFacts(memory_bytes=memory_gb * GB, bandwidth_bytes_per_s=bandwidth_gb * GB)
    return node


def test_it_is_in_the_book() -> None:
    assert POLICIES["points"] is points


def test_loaded_goes_before_recent_before_cold() -> None:
    recent = machine("recent")
    recent.speeds[SMALL].used_us = NOW_US - 60_000_000
    assert goes(machine("cold"), recent) == "recent"
    assert goes(machine("cold"), recent, machine("hot", SMALL)) == "hot"


@pytest.mark.parametrize(
    ("memory_gb", "gained"), [(0, 0.0), (1, 0.0), (2.5, 3.0), (3, 8.0), (4, 15.0), (9, 20.0)]
)
def test_what_is_free_over_what_it_takes(memory_gb: float, gained: float) -> None:
    node = machine("ada")
    plain = score(machine("ada", memory_gb=1)) if memory_gb else score(node)
    node.facts = NodeFacts(memory_bytes=int(memory_gb * GB))
    assert score(node) - plain == gained


def test_what_is_loaded_takes_its_part() -> None:
    roomy, taken = machine("ada", memory_gb=60), machine("bob", LARGE, memory_gb=42)
    assert score(roomy) - score(taken) > 10.0


def test_each_request_there_costs_and_a_fast_machine_has_more_to_give() -> None:
    idle, busy = machine("idle", SMALL), working_on(machine("busy", SMALL), SMALL, 2)
    busy.tallies[SMALL] = Tally(completed=4, service_s=20.0)
    assert score(idle) - score(busy) == pytest.approx(2 * 6.0 + 2 * 5.0 / 10)
    slow = working_on(machine("slow", SMALL, bandwidth_gb=100), SMALL, 1)
    fast = working_on(machine("fast", SMALL, bandwidth_gb=800), SMALL, 1)
    assert goes(slow, fast) == "fast"
    full = working_on(machine("full", SMALL), SMALL, 8)
    assert goes(full) == ""


def test_the_wait_is_guessed_where_nothing_was_served() -> None:
    for bandwidth_gb, wait_s in ((0, 2.0), (100, 100 / 120)):
        node = working_on(machine("ada", SMALL, bandwidth_gb=bandwidth_gb), SMALL, 1)
        state = a_state(node)
        choice = points(state, first(state))
        assert choice is not None
        assert choice.candidates[0].wait_s == pytest.approx(wait_s)


def role(size_gb: float, *, memory_gb: int = 0, bandwidth_gb: int = 0) -> float:
    """Return the points of a machine for a model, beyond those of one without any."""
    node = machine("ada", SMALL, memory_gb=memory_gb, bandwidth_gb=bandwidth_gb)
    node.models[SMALL] = ModelFacts(name=SMALL, size_bytes=int(size_gb * GB))
    return score(node) - 50.0 - 20.0


def test_large_models_go_to_large_or_fast_machines() -> None:
    assert [role(40, memory_gb=memory) for memory in (16, 64, 256)] == [0.0, 5.0, 15.0]
    assert [role(4, memory_gb=memory) for memory in (16, 64, 256)] == [15.0, 8.0, 3.0]
    assert role(10, memory_gb=64) == 5.0
    assert role(40, bandwidth_gb=400) == 15.0
    assert role(4, bandwidth_gb=400) == pytest.approx(9.0)
    assert role(10, bandwidth_gb=400) == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("context", "gained"), [(100, -15.0), (200, 3.0), (300, 7.5), (700, 12.0), (2000, 15.0)]
)
def test_a_context_that_is_too_short_costs(context: int, gained: float) -> None:
    node = machine("ada", SMALL)
    plain = score(node)
    node.resident[SMALL] = ResidentModel(
        name=SMALL, size_bytes=SIZES[SMALL], context_length=context
    )
    assert score(node) - plain == gained
