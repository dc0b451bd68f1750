"""Pinned models: brought into memory, kept there, and what goes for them."""

from collections.abc import Callable

import pytest

from actors.core import clearing, pinning, planning
from actors.core.commands import Grant
from actors.core.pinning import AGAIN_S, LATER_S, due, is_pinned, sparing
from actors.core.placement import usable
from actors.core.state import US, Node, Pin, Plan, State
from events import (
    Limits,
    LoadFinished,
    LoadPlanned,
    ModelPinned,
    ModelUnpinned,
    NodeId,
    Promise,
    TimerFired,
)
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    book,
    nid,
    node,
    received,
    settings,
)
from tests.actors.core.fleets import LARGE, NOW_US, SMALL, a_node, a_state, first, working_on
from tests.playbook import NOT_RECORDED, after, like

GB = 1_000_000_000


def pin(state: State, *models: str, node: str = "ada") -> State:
    """Pin models on a node."""
    state.pinned[NodeId(node)] = {model: Pin() for model in models}
    return state


def one(*resident: str, vram_gb: int = 80, waiting: int = 0) -> State:
    """Return a fleet of one node, where the large model is pinned."""
    return pin(a_state(a_node("ada", *resident, vram_bytes=vram_gb * GB), waiting=waiting), LARGE)


def test_a_pinned_model_that_is_not_there_is_loaded() -> None:
    assert due(one(), NOW_US) == [
        LoadPlanned(
            node_id=nid("ada"), model=LARGE, reason="pinned", gain_s=0.0, cost_s=0.0, load_s=5.0
        )
    ]


def test_idle_models_go_for_it_but_none_that_works_is_wanted_or_pinned() -> None:
    assert due(one(SMALL, vram_gb=49), NOW_US)[0].leaving == (SMALL,)
    assert due(one(SMALL, vram_gb=49, waiting=1), NOW_US) == []
    assert due(pin(one(SMALL, vram_gb=49), LARGE, SMALL), NOW_US) == []
    works = one(SMALL, vram_gb=49)
    working_on(works.nodes[nid("ada")], SMALL, 1)
    assert due(works, NOW_US) == []


def away(node: Node) -> None:
    node.health = "offline"


def ours(node: Node) -> None:
    node.limits = Limits(max_requests=1)
    node.in_flight = 1


def other_dialect(node: Node) -> None:
    node.facts = type(node.facts)(dialect="openai")


def loads(node: Node) -> None:
    node.planned = Plan(SMALL)


def loads_for_a_request(node: Node) -> None:
    working_on(node, SMALL, 1)
    node.speed(SMALL).load_began_us = NOW_US


def without(node: Node) -> None:
    del node.models[LARGE]


def too_large(node: Node) -> None:
    node.too_large = [LARGE]


def elsewhere(node: Node) -> None:
    node.facts = type(node.facts)(vram_bytes=GB, memory_bytes=GB)
    node.footprints[LARGE] = 40 * GB


@pytest.mark.parametrize(
    "so", [away, ours, other_dialect, loads, loads_for_a_request, without, too_large, elsewhere]
)
def test_it_is_not_loaded_where_it_cannot_be(so: Callable[[Node], None]) -> None:
    state = one()
    so(state.nodes[nid("ada")])
    assert due(state, NOW_US) == []


def test_nothing_is_loaded_while_herd_recovers_or_room_is_promised() -> None:
    state = one()
    state.recovering = True
    assert due(state, NOW_US) == []
    state = one()
    state.promises[nid("ada")] = Promise(nid("ada"), SMALL, ())
    assert due(state, NOW_US) == []
    assert due(pin(a_state(waiting=0), LARGE), NOW_US) == []  # a node that nobody knows


def test_one_that_is_there_is_left_alone() -> None:
    assert due(one(LARGE), NOW_US) == []


def test_it_is_tried_again_later_and_later_the_more_it_fails() -> None:
    state = one()
    state.pinned[nid("ada")][LARGE] = Pin(tried_us=NOW_US)
    assert due(state, NOW_US + int(AGAIN_S * US) - 1) == []
    assert due(state, NOW_US + int(AGAIN_S * US)) != []
    state.pinned[nid("ada")][LARGE].failures = 2
    assert due(state, NOW_US + int(2 * AGAIN_S * US)) == []
    state.pinned[nid("ada")][LARGE].failures = 99
    assert due(state, NOW_US + int(LATER_S * US)) != []


def two() -> State:
    """Return two nodes with room for one model each; the large one is pinned on `ada`."""
    ada = a_node("ada", LARGE, vram_bytes=41 * GB)
    bob = a_node("bob", vram_bytes=41 * GB)
    return pin(a_state(ada, bob), LARGE)


def test_a_request_goes_where_it_pushes_no_pinned_model_out() -> None:
    state = two()
    assert [node.node_id for node in usable(state, first(state))] == ["bob"]
    state.pinned[nid("eve")] = state.pinned.pop(nid("ada"))  # of a node that is gone
    assert [node.node_id for node in usable(state, first(state))] == ["ada", "bob"]


def test_it_is_served_all_the_same_where_there_is_no_other_node() -> None:
    state = two()
    del state.nodes[nid("bob")]
    assert [node.node_id for node in usable(state, first(state))] == ["ada"]


def test_a_node_whose_pinned_models_stay_is_as_good_as_another() -> None:
    state = two()
    found = list(state.nodes.values())
    state.nodes[nid("ada")].facts = a_node("x", vram_bytes=80 * GB).facts
    assert sparing(state, first(state), found) == found  # there is room for both
    state = two()
    del state.nodes[nid("ada")].resident[LARGE]
    found = list(state.nodes.values())
    assert sparing(state, first(state), found) == found  # it is not there
    state = pin(two(), SMALL)
    found = list(state.nodes.values())
    assert sparing(state, first(state), found) == found  # it is pinned itself


def test_the_planner_lets_no_pinned_model_go() -> None:
    state = a_state(a_node("ada", SMALL, vram_bytes=49 * GB), waiting=3, model=LARGE)
    state.settings.planner = True
    del state.demands[SMALL]
    state.demands[LARGE].alone_s = 1.2
    assert planning.due(state, NOW_US)[0].leaving == (SMALL,)
    assert planning.due(pin(state, SMALL), NOW_US) == []


def test_room_for_those_who_wait_is_not_made_of_pinned_models() -> None:
    ada = a_node("ada", SMALL)
    ada.limits = Limits(max_bytes=49 * GB)
    state = a_state(ada, model=LARGE)
    assert clearing.due(state, NOW_US) != []
    assert clearing.due(pin(state, SMALL), NOW_US) == []


# As a story


def pinned(model: str = MODEL) -> ModelPinned:
    return ModelPinned(node_id=nid("studio"), model=model, by="127.0.0.1")


def load(error: str = "") -> LoadFinished:
    return LoadFinished(node_id=nid("studio"), model=MODEL, load_s=4.0, error=error)


def test_a_pin_is_carried_out_tried_again_and_ended() -> None:
    plans = like(LoadPlanned, node_id="studio", model=MODEL, reason="pinned")
    assert (
        book(node("studio", MODEL, resident=()))
        >> pinned()
        >> pinned()
        << NOT_RECORDED
        >> TimerFired()
        << plans
        >> load("out of memory")
        >> TimerFired()
        << NOT_RECORDED
        >> after(2 * AGAIN_S)
        >> TimerFired()
        << plans
        >> load()
        >> ModelUnpinned(node_id=nid("studio"), model=MODEL)
        >> ModelUnpinned(node_id=nid("studio"), model=MODEL)
        << NOT_RECORDED
    )


def test_a_request_for_a_pinned_model_is_told_that_it_stays() -> None:
    story = book(node("studio"), pinned()).given(received("r1"))
    [grant] = [send.message for send in story.sent if isinstance(send.message, Grant)]
    assert grant.stays
    story = book(node("studio"), pinned(OTHER_MODEL)).given(received("r1"))
    [grant] = [send.message for send in story.sent if isinstance(send.message, Grant)]
    assert not grant.stays


def test_pins_outlive_that_their_node_is_forgotten() -> None:
    story = book(node("studio"), pinned(), pinned(OTHER_MODEL)).given(settings())
    assert nid("studio") not in story.state.nodes
    assert is_pinned(story.state, nid("studio"), MODEL)
    gone = [ModelUnpinned(node_id=nid("studio"), model=model) for model in (MODEL, OTHER_MODEL)]
    story.given(*gone, load())
    assert story.state.pinned == {}
    story.check()


def test_ending_a_pin_that_there_is_not_changes_nothing() -> None:
    state = one()
    pinning.evolve(state, ModelUnpinned(node_id=nid("bob"), model=SMALL))
    assert list(state.pinned) == ["ada"]
