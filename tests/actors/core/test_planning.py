"""The planner: what it loads, where, and everything that keeps it from doing so."""

import msgspec
import pytest

from actors.core.circuits import Circuit
from actors.core.estimates import is_coming, loading
from actors.core.fitting import must_load
from actors.core.placement import candidate, slots_of
from actors.core.planning import LEAST_PER_S, LOOK_US, REST_S, due, evolve
from actors.core.relevance import matters
from actors.core.soonest import soonest
from actors.core.state import US, Line, Node, Plan, State
from events import (
    ControlStarted,
    DrainRequested,
    LoadFinished,
    LoadPlanned,
    ModelFacts,
    NodeFacts,
    NodeId,
    Promise,
    SettingsChanged,
    TimerFired,
)
from tests.actors.cast import MODEL, OTHER_MODEL, book, completed, node, probed, received
from tests.actors.core.fleets import LARGE, NOW_US, SIZES, SMALL, a_node, a_state, first, working_on
from tests.playbook import NOT_RECORDED, after, like

GIB = 1024**3


def wanted(*nodes: Node, waiting: int = 0, per_s: float = 1.0) -> State:
    """A fleet that is asked for the small model only, so often."""
    state = a_state(*nodes, waiting=waiting)
    state.settings.planner = True
    for model, asked in state.demands.items():
        asked.alone_s = 1.2
        asked.per_s = per_s if model == SMALL else 0.0
    return state


def planned(state: State, now_us: int = NOW_US) -> LoadPlanned | None:
    """What it does, if anything."""
    found = due(state, now_us)
    assert len(found) <= 1
    return found[0] if found else None


def busy(*more: Node) -> State:
    """One node has the small model, and more than enough to do."""
    return wanted(working_on(a_node("ada", SMALL, slots=1), SMALL, 1), *more, per_s=0.8)


def test_a_model_that_is_asked_for_too_much_gets_another_node() -> None:
    found = planned(busy(a_node("bob")))
    assert found is not None
    assert (found.node_id, found.model, found.leaving) == ("bob", SMALL, ())
    assert (found.reason, found.in_line, found.load_s) == ("demand", 0, 5.0)
    assert found.gain_s > 2 * found.cost_s > 0


def test_one_that_queues_does_the_more() -> None:
    state = busy(a_node("bob"))
    quiet = planned(state)
    queue = planned(
        wanted(
            working_on(a_node("ada", SMALL, slots=1), SMALL, 1),
            a_node("bob"),
            waiting=20,
            per_s=0.8,
        )
    )
    assert quiet is not None
    assert queue is not None
    assert (queue.reason, queue.in_line) == ("queue", 20)
    assert queue.gain_s > quiet.gain_s


def test_one_that_is_in_no_memory_is_loaded_if_it_is_asked_for() -> None:
    found = planned(wanted(a_node("ada"), a_node("bob")))
    assert found is not None
    assert found.reason == "absent"
    assert planned(wanted(a_node("ada"), per_s=LEAST_PER_S / 2)) is None


def test_nothing_is_done_where_nothing_is_gained() -> None:
    assert planned(wanted(a_node("ada", SMALL), a_node("bob"), per_s=0.02)) is None
    slow = busy(a_node("bob", load_s=400.0))
    assert planned(slow) is None, "it would be there when the time is over"
    late = wanted(a_node("ada", SMALL, step_s=0.02), a_node("bob", load_s=119.0), per_s=0.05)
    assert planned(late) is None, "the best that could be is more than what this node gives"


def test_nothing_is_done_of_a_model_of_which_nothing_is_known() -> None:
    state = busy(a_node("bob"))
    state.demands[SMALL].alone_s = 0.0
    assert planned(state) is None


def test_it_is_a_setting_and_looks_once_a_second() -> None:
    state = busy(a_node("bob"))
    assert planned(state, NOW_US + LOOK_US) is None
    assert planned(state, NOW_US + US) is not None
    state.recovering = True
    assert planned(state) is None
    state.recovering = False
    state.settings.planner = False
    assert planned(state) is None


def _drained(node: Node, state: State) -> None:
    del state
    node.drained_by = "operator"


def _ill(node: Node, state: State) -> None:
    del state
    node.health = "degraded"


def _other(node: Node, state: State) -> None:
    del state
    node.facts = NodeFacts(dialect="openai")


def _loading(node: Node, state: State) -> None:
    del state
    working_on(node, LARGE, 1)


def _planned(node: Node, state: State) -> None:
    del state
    node.planned = Plan(LARGE)


def _without(node: Node, state: State) -> None:
    del state
    del node.models[SMALL]


def _remote(node: Node, state: State) -> None:
    del state
    node.models[SMALL] = ModelFacts(name=SMALL, size_bytes=400)


def _promised(node: Node, state: State) -> None:
    state.promises[node.node_id] = Promise(node.node_id, LARGE)


def _open(node: Node, state: State) -> None:
    del state
    node.circuits[SMALL] = Circuit(3, "open", NOW_US, 10.0)


def _changed(node: Node, state: State) -> None:
    del state
    node.planned_us[SMALL] = NOW_US - int(REST_S * US) + 1


def _small(node: Node, state: State) -> None:
    del state
    node.facts = NodeFacts(vram_bytes=GIB, memory_bytes=GIB // 4)


@pytest.mark.parametrize(
    "spoil",
    [
        _drained,
        _ill,
        _other,
        _loading,
        _planned,
        _without,
        _remote,
        _promised,
        _open,
        _changed,
        _small,
    ],
)
def test_a_node_is_left_alone(spoil: object) -> None:
    assert callable(spoil)
    state = busy(a_node("bob"))
    assert planned(state) is not None
    spoil(state.nodes[NodeId("bob")], state)
    assert planned(state) is None


def test_a_closed_circuit_is_no_matter() -> None:
    state = busy(a_node("bob"))
    state.nodes[NodeId("bob")].circuits[SMALL] = Circuit(1)
    assert planned(state) is not None


def test_a_node_that_is_offline_counts_for_nothing() -> None:
    state = wanted(a_node("ada", SMALL), a_node("bob"))
    state.nodes[NodeId("ada")].health = "offline"
    found = planned(state)
    assert found is not None
    assert found.reason == "absent"


def full(*, most: int = 1, missed_per_s: float = 0.0) -> tuple[State, Node]:
    """A node that could take the small model if the large one went."""
    bob = a_node("bob", LARGE, most=most)
    state = busy(bob)
    state.demands[LARGE].per_s = missed_per_s
    return state, bob


def test_what_nobody_wants_makes_room_and_only_where_room_is_needed() -> None:
    state, _ = full()
    found = planned(state)
    assert found is not None
    assert found.leaving == (LARGE,)
    roomy, _ = full(most=2)
    found = planned(roomy)
    assert found is not None
    assert found.leaving == ()


def test_what_is_missed_stays() -> None:
    state, _ = full(missed_per_s=1.5)
    del state.nodes[NodeId("ada")].models[LARGE]
    assert planned(state) is None
    state.demands[LARGE].per_s = 0.1
    assert planned(state) is not None


def test_what_works_or_is_waited_for_stays() -> None:
    state, bob = full()
    working_on(bob, LARGE, 1)
    bob.speeds[LARGE].served_us = 1
    assert planned(state) is None
    state, bob = full()
    state.lines[LARGE] = Line(waiting={first(wanted(bob, waiting=1)).request_id: 1})
    assert planned(state) is None
    state.lines[LARGE].waiting.clear()
    assert planned(state) is not None


def test_what_a_plan_loaded_stays_for_a_while() -> None:
    state, bob = full()
    bob.planned_us[LARGE] = NOW_US - US
    assert planned(state) is None
    bob.planned_us[LARGE] = NOW_US - int(REST_S * US)
    assert planned(state) is not None


def test_the_one_that_is_missed_least_goes() -> None:
    third = "third:7b"
    state, bob = full(most=2, missed_per_s=0.001)
    bob.models[third] = ModelFacts(name=third, size_bytes=SIZES[SMALL])
    bob.resident[third] = bob.resident[LARGE]
    found = planned(state)
    assert found is not None
    assert found.leaving == (third,)


def test_the_node_that_gains_most_is_taken() -> None:
    for fast in ("bob", "cyd"):
        nodes = [a_node(name, step_s=0.005 if name == fast else 0.01) for name in ("bob", "cyd")]
        found = planned(busy(*nodes))
        assert found is not None
        assert found.node_id == fast


def test_a_load_that_is_planned_is_under_way() -> None:
    bob = a_node("bob", LARGE)
    bob.caches = {SMALL: [["a"]], LARGE: [["b"]]}
    plan = LoadPlanned(
        node_id=NodeId("bob"), model=SMALL, reason="queue", gain_s=9, cost_s=1, leaving=(LARGE,)
    )
    evolve(bob, plan, NOW_US)
    assert bob.planned == Plan(SMALL, (LARGE,))
    assert bob.planned_us == {SMALL: NOW_US, LARGE: NOW_US}
    assert bob.caches == {}
    assert loading(bob) == [SMALL]
    assert not must_load(bob, SMALL, NOW_US), "a request for it has only to wait for what is left"
    shown = candidate(bob, SMALL, slots_of(bob, SMALL))
    assert shown.resident
    assert shown.wait_s > 0
    choice = soonest(a_state(bob), first(a_state(bob)))
    assert choice is not None
    assert choice.candidates[0].wait_s == 5.0
    evolve(bob, LoadFinished(node_id=NodeId("bob"), model=LARGE), NOW_US)
    assert bob.planned is not None, "that was another"
    evolve(bob, LoadFinished(node_id=NodeId("bob"), model=SMALL, load_s=4.0), NOW_US + US)
    assert bob.planned is None
    assert not is_coming(bob, SMALL)
    assert bob.speeds[SMALL].load.value == pytest.approx(4.5), "learned"


def test_a_load_that_failed_leaves_nothing_behind() -> None:
    bob = a_node("bob")
    plan = LoadPlanned(node_id=NodeId("bob"), model=SMALL, reason="queue", gain_s=9, cost_s=1)
    evolve(bob, plan, NOW_US)
    evolve(bob, LoadFinished(node_id=NodeId("bob"), model=SMALL, error="refused"), NOW_US + US)
    assert bob.planned is None
    assert loading(bob) == []
    assert must_load(bob, SMALL, NOW_US + US)
    assert bob.speeds[SMALL].load.count == 1


def test_a_log_tells_of_it_and_replays() -> None:
    told = msgspec.structs.replace(
        probed("ada", MODEL, OTHER_MODEL, resident=(OTHER_MODEL,)),
        facts=NodeFacts(max_loaded_models=1),
    )
    story = book(
        node("ada", MODEL, OTHER_MODEL, slots=1)[0],
        told,
        *node("bob", MODEL, OTHER_MODEL, slots=1, resident=(MODEL,)),
    )
    for number in range(1, 9):
        lease = f"1.{number}"
        story.given(
            received(f"r{number}"),
            completed(f"r{number}", "bob", lease, usage_source="reported", prompt_tokens=90),
        )
    story.given(probed("bob", MODEL, OTHER_MODEL), DrainRequested(node_id=NodeId("bob")))
    assert story >> after(1.0) >> TimerFired() << NOT_RECORDED
    story.given(SettingsChanged(key="planner", old=False, new=True))
    assert (
        story
        >> after(1.0)
        >> TimerFired()
        << like(LoadPlanned, node_id="ada", model=MODEL, reason="absent", leaving=(OTHER_MODEL,))
        >> TimerFired()
        << NOT_RECORDED
    )
    ada = story.state.nodes[NodeId("ada")]
    assert ada.resident == {}, "as far as herd knows, until the node says so"
    assert ada.planned is not None
    story.given(ControlStarted(epoch=2, version="test"))
    assert ada.planned is None
    story.given(LoadFinished(node_id=NodeId("ada"), model=MODEL, load_s=2.0))
    story.given(LoadFinished(node_id=NodeId("nobody"), model=MODEL))
    story.given(
        LoadPlanned(node_id=NodeId("nobody"), model=MODEL, reason="queue", gain_s=1, cost_s=0)
    )
    story.check()
    assert matters(story.state, LoadFinished(node_id=NodeId("ada"), model=MODEL), story.now_us)


def test_of_several_hosts_the_quickest_counts() -> None:
    ada = working_on(a_node("ada", SMALL, slots=1), SMALL, 1)
    bob = working_on(a_node("bob", SMALL, slots=1), SMALL, 1)
    bob.speeds[SMALL].step.value *= 3
    alone = planned(wanted(ada, a_node("eve"), waiting=9, per_s=0.8))
    both = planned(wanted(ada, bob, a_node("eve"), waiting=9, per_s=0.8))
    assert alone is not None
    assert both is not None
    assert (both.node_id, both.gain_s < alone.gain_s) == ("eve", True)
