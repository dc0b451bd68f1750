"""What nodes have cached: what idle slots served last, until something else takes their place."""

import pytest

from actors.core.binding import bind
from actors.core.caching import (
    MOST_CACHED,
    MOST_SLOTS,
    cached_share,
    hoped_share,
    left,
    seated,
    told,
)
from actors.core.learning import Mean
from actors.core.predicting import predict
from actors.core.slots import Slots
from actors.core.soonest import soonest
from actors.core.state import Front, Node, Request, State
from events import Prefix, RequestDispatched
from tests.actors.core.fleets import LARGE, NOW_US, SMALL, a_node, a_state, first, working_on


def beginnings(*names: str) -> tuple[Prefix, ...]:
    """Each ends 200 bytes after the one before."""
    return tuple(Prefix(name, 200 * number) for number, name in enumerate(names, 1))


def served(node: Node, *prompts: tuple[str, ...]) -> Node:
    """Let a node have these prompts in its idle slots."""
    node.caches[SMALL] = [list(prompt) for prompt in prompts]
    return node


def asking(state: State, *names: str) -> Request:
    """Return the first who waits, with a prompt of 800 bytes that begins so."""
    request = first(state)
    request.prefixes = beginnings(*names)
    return request


def test_the_longest_beginning_that_a_slot_has_is_cached() -> None:
    node = served(a_node("ada", SMALL), ("sys",), ("sys", "a", "b"), ("x",))
    assert hoped_share(node, asking(a_state(node), "sys", "a", "b", "c")) == 600 / 800
    assert hoped_share(node, asking(a_state(node), "sys", "new")) == 200 / 800
    assert hoped_share(node, asking(a_state(node), "other")) == 0.0
    assert hoped_share(node, first(a_state(node))) == 0.0, "it tells no beginning"
    assert hoped_share(a_node("bob", SMALL), asking(a_state(node), "sys")) == 0.0


def test_something_is_always_taken_in() -> None:
    node = served(a_node("ada", SMALL), ("a", "b", "c", "d", "e"))
    assert hoped_share(node, asking(a_state(node), "a", "b", "c", "d", "e")) == MOST_CACHED


def test_what_did_not_come_true_before_is_hoped_for_less() -> None:
    node = served(a_node("ada", SMALL), ("a", "b"))
    request = asking(a_state(node), "a", "b")
    assert cached_share(node, request) == 0.5
    node.speeds[SMALL].reuse = Mean(3, 0.5)
    assert cached_share(node, request) == 0.25
    del node.speeds[SMALL]
    assert cached_share(node, request) == 0.5
    assert cached_share(a_node("bob"), request) == 0.0


def test_a_request_takes_the_slot_that_begins_alike() -> None:
    node = served(working_on(a_node("ada", SMALL, slots=3), SMALL, 1), ("old",), ("a", "b"))
    seated(node, asking(a_state(node), "a", "b", "c"), cold=False)
    assert node.caches[SMALL] == [["old"]]


def test_else_the_longest_unused_one_if_there_is_no_empty_one() -> None:
    node = served(working_on(a_node("ada", SMALL, slots=2), SMALL, 1), ("old",), ("new",))
    seated(node, asking(a_state(node), "other"), cold=False)
    assert node.caches[SMALL] == [["new"]]
    roomy = served(working_on(a_node("ada", SMALL, slots=4), SMALL, 1), ("old",), ("new",))
    seated(roomy, asking(a_state(roomy), "other"), cold=False)
    assert roomy.caches[SMALL] == [["old"], ["new"]]


def test_a_load_begins_with_nothing() -> None:
    node = served(a_node("ada", SMALL), ("a",))
    seated(node, asking(a_state(node), "a"), cold=True)
    assert node.caches == {}


def test_what_is_remembered_is_bounded() -> None:
    node = a_node("ada", SMALL)
    for number in range(MOST_SLOTS + 5):
        left(node, asking(a_state(node), str(number)))
    assert len(node.caches[SMALL]) == MOST_SLOTS
    assert node.caches[SMALL][-1] == [str(MOST_SLOTS + 4)]
    node.slots[SMALL] = Slots(limit=1000, told=True, in_flight=1)
    seated(node, asking(a_state(node), "other"), cold=False)
    assert len(node.caches[SMALL]) == MOST_SLOTS - 1
    left(node, first(a_state(node)))
    assert len(node.caches[SMALL]) == MOST_SLOTS - 1, "it told no beginning"


def long_prompts(state: State) -> State:
    """Let prompts take as long as answers."""
    for asked in state.demands.values():
        asked.prompt_tokens = Mean(9, 2000.0)
    return state


def test_of_equal_nodes_the_one_that_has_it_cached_is_taken() -> None:
    for name in ("ada", "bob"):
        nodes = [a_node("ada", SMALL), a_node("bob", SMALL)]
        state = long_prompts(a_state(*nodes))
        served(state.nodes[nodes[name == "bob"].node_id], ("a", "b", "c"))
        choice = soonest(state, asking(state, "a", "b", "c", "d"))
        assert choice is not None
        assert choice.node.node_id == name


def test_it_yields_to_load() -> None:
    busy = served(working_on(a_node("ada", SMALL, slots=8), SMALL, 7), ("a",))
    state = long_prompts(a_state(busy, a_node("bob", SMALL)))
    choice = soonest(state, asking(state, "a"))
    assert choice is not None
    assert choice.node.node_id == "bob"


def test_the_first_byte_is_predicted_the_sooner() -> None:
    node = a_node("ada", SMALL)
    state = long_prompts(a_state(node))
    request = asking(state, "a", "b")
    choice = soonest(state, request)
    assert choice is not None
    whole = predict(state, request, choice).first_s
    served(node, ("a", "b"))
    assert predict(state, request, choice).first_s == pytest.approx(whole / 2, abs=0.001)


def test_a_dispatch_says_in_its_score_what_was_cached() -> None:
    node = served(a_node("ada", SMALL), ("a", "b", "c"))
    state = long_prompts(a_state(node))
    state.fronts[first(state).src] = Front(connected=True)
    (plain,) = bind(state, SMALL, NOW_US, soonest)
    asking(state, "a", "b", "c")
    (dispatched,) = bind(state, SMALL, NOW_US, soonest)
    assert isinstance(plain, RequestDispatched)
    assert isinstance(dispatched, RequestDispatched)
    assert dispatched.terms[0].score > plain.terms[0].score
    assert LARGE not in node.caches


def test_what_is_in_memory_no_more_has_nothing_cached() -> None:
    node = served(a_node("ada", SMALL, LARGE), ("a",))
    node.caches[LARGE] = [["b"]]
    del node.resident[LARGE]
    told(node, NOW_US)
    assert list(node.caches) == [SMALL]
