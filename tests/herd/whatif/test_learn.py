"""The machines that a log lets know are those that made it; what is guessed is said to be."""

import pytest

from actors.core.state import State
from events import NodeId
from herd.simulator.hardware import load_s
from herd.whatif.evidence import Evidence, gather
from herd.whatif.fit import Speed
from herd.whatif.learn import Machines, extrapolated, learn
from herd.whatif.loads import Loads
from herd.whatif.slots import sent_at_once
from tests.herd.virtual.small import SPECS
from tests.herd.whatif.logs import evidence

TOWER, MINI, STUDIO = NodeId("tower"), NodeId("mini"), NodeId("studio")


@pytest.fixture(scope="module")
def learned() -> Machines:
    return learn(evidence(600))


def test_a_load_takes_what_it_took(learned: Machines) -> None:
    for spec in SPECS:
        for model in spec.models:
            name, node_id = model.facts.name, NodeId(spec.name)
            if (node_id, name) in learned.loads.known:
                known = learned.specs[node_id].measured[name]
                assert known.load_s == pytest.approx(load_s(spec, model), rel=0.02)


def test_memory_and_slots_are_those_that_were_told(learned: Machines) -> None:
    for spec in SPECS:
        found = learned.specs[NodeId(spec.name)]
        assert found.facts.vram_bytes == spec.facts.vram_bytes
        assert found.measured["llama3.2:3b"].slots == spec.facts.slots
        assert found.measured["nomic-embed-text:latest"].slots == 1
        assert {each.facts.name for each in found.models} == {
            each.facts.name for each in spec.models
        }


def test_what_nobody_told_is_taken_from_what_ran_at_once() -> None:
    found = evidence(600, 4.0)
    for node in found.nodes.values():
        node.told_slots = 0
        node.facts = type(node.facts)()
    machines = learn(found)
    assert machines.specs[STUDIO].measured["llama3.2:3b"].slots == 4
    assert machines.specs[TOWER].measured["llama3.2:3b"].slots == 2
    assert machines.specs[MINI].measured["llama3.2:3b"].slots == 1
    assert machines.specs[TOWER].facts.vram_bytes >= found.together[TOWER]


def test_a_pair_that_was_never_seen_is_guessed_and_says_so(learned: Machines) -> None:
    pair = STUDIO, "llama3.3:70b"
    assert learned.speeds[pair].observed == 0
    seven = learned.speeds[STUDIO, "qwen2.5:7b"]
    ratio = 42_520_413_916 / 4_683_087_332
    assert seven.observed > 0
    assert learned.speeds[pair].weights_s > seven.weights_s * ratio / 2
    assert learned.specs[STUDIO].measured["llama3.3:70b"].load_s > 5


def test_a_node_factor_comes_from_the_models_that_both_nodes_served() -> None:
    fast, slow = Speed(0.01, 0.001, 0, 0, observed=9), Speed(0.02, 0.004, 0, 0, observed=9)
    other = Speed(0.05, 0.003, 0, 0, observed=9)
    known = {(STUDIO, "a"): fast, (MINI, "a"): slow, (STUDIO, "b"): other}
    guessed = extrapolated((MINI, "b"), known, {}, {})
    assert guessed.step_s(1, 0) == pytest.approx(0.1)
    assert guessed.step_s(512, 0) == pytest.approx(4 * 512 * 0.003, rel=0.01)
    assert guessed.observed == 0


def test_else_it_follows_from_sizes_and_the_speed_of_memory() -> None:
    known = {(STUDIO, "a"): Speed(0.01, 0.001, 0, 0, observed=9)}
    sizes, memory = {"a": 2, "b": 6}, {STUDIO: 800, MINI: 100}
    assert extrapolated((STUDIO, "b"), known, sizes, memory).weights_s == pytest.approx(0.03)
    assert extrapolated((MINI, "a"), known, sizes, memory).weights_s == pytest.approx(0.08)
    assert extrapolated((MINI, "b"), known, sizes, {}).weights_s == pytest.approx(0.03)


def test_a_load_that_was_never_seen_follows_from_its_size() -> None:
    sizes = {"small": 1_000_000_000, "large": 3_000_000_000, "huge": 9_000_000_000}
    two = Loads({(MINI, "small"): 2.0, (MINI, "large"): 4.0}, sizes)
    assert two.lasts_s(MINI, "huge") == pytest.approx(10.0)
    assert two.lasts_s(MINI, "small") == 2.0
    assert two.lasts_s(STUDIO, "huge") == pytest.approx(10.0)
    assert Loads({}, sizes).lasts_s(MINI, "small") == pytest.approx(1.5)


def test_spans_are_counted_where_they_overlap() -> None:
    assert sent_at_once([(0, 10), (5, 8), (8, 12), (20, 30)]) == 2
    assert sent_at_once([]) == 0


def test_without_any_run_nothing_is_learned() -> None:
    nothing: Evidence = gather(State(), [])
    assert learn(nothing).speeds == {}
