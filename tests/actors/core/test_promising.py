"""Promised room: whoever waits too long for memory gets some, and nobody else does meanwhile."""

import msgspec

from actors.core.circuits import Circuit
from actors.core.promising import PATIENCE_S, barred, due
from actors.core.soonest import soonest
from actors.core.state import Node, State
from events import (
    NodeFacts,
    NodeId,
    Promise,
    RequestDispatched,
    RoomPromised,
    SettingsChanged,
    TimerFired,
)
from tests.actors.cast import book, completed, configured, probed, queued, received
from tests.actors.core.fleets import LARGE, NOW_US, SMALL, a_node, a_state, first, join, working_on
from tests.playbook import NOT_RECORDED, after

THIRD = "new:7b"
LONG_S = PATIENCE_S + 1


def starving(*nodes: Node, model: str = LARGE) -> State:
    """Return a state in which one waits too long for a model that is in no memory."""
    state = a_state(*nodes)
    state.settings.policy = "soonest"
    join(state, model, 7, waited_s=LONG_S)
    return state


def promised(state: State) -> dict[str, str]:
    """Return which node is promised to which model, after the state has been told."""
    promises = due(state, NOW_US)
    if promises is not None:
        state.promises = {each.node_id: each for each in promises}
        assert due(state, NOW_US) is None, "it is what there is now"
    return {str(name): each.model for name, each in state.promises.items()}


def busy(name: str, requests: int = 2, *resident: str) -> Node:
    """Return a node that has no room while it is at work."""
    return working_on(a_node(name, SMALL, *resident, most=1, slots=4), SMALL, requests)


def test_one_that_waits_too_long_for_memory_is_promised_some() -> None:
    ada = busy("ada")
    state = starving(ada)
    assert soonest(state, first(state)) is not None
    assert promised(state) == {"ada": LARGE}
    assert state.promises[NodeId("ada")].leaving == (SMALL,)
    assert soonest(state, first(state)) is None, "no more work for that one"
    state.requests[first(state, 7).request_id].waits_since_us = NOW_US
    assert promised(state) == {}, "it has just begun to wait"
    assert soonest(state, first(state)) is not None


def test_under_another_policy_nobody_waits_for_memory() -> None:
    state = starving(busy("ada"))
    state.settings.policy = "resident-first"
    assert promised(state) == {}


def test_a_promise_is_of_the_node_with_the_least_to_end() -> None:
    less = busy("bob", 1)
    drained = busy("cyd", 0)
    drained.drained_by = "somebody"
    small_card = a_node("dan", vram_bytes=1_000_000_000)
    state = starving(busy("ada"), less, drained, small_card)
    assert promised(state) == {"bob": LARGE}
    state.promises.clear()
    state.nodes = dict(reversed(state.nodes.items()))
    assert promised(state) == {"bob": LARGE}


def test_it_is_kept_although_another_node_has_less_to_do_by_now() -> None:
    ada, bob = busy("ada", 1), busy("bob", 2)
    state = starving(ada, bob)
    assert promised(state) == {"ada": LARGE}
    working_on(ada, SMALL, 4)
    assert promised(state) == {"ada": LARGE}
    ada.health = "offline"
    assert promised(state) == {"bob": LARGE}


def test_each_gets_a_node_of_its_own_the_oldest_first() -> None:
    ada, bob = busy("ada", 2), busy("bob", 1)
    state = starving(ada, bob, model=THIRD)
    join(state, LARGE, 6, waited_s=LONG_S)
    assert promised(state) == {"bob": LARGE}, "nobody has the third"
    for each in (ada, bob):
        each.models[THIRD] = each.models[SMALL]
    assert promised(state) == {"bob": LARGE, "ada": THIRD}
    state.promises.clear()
    join(state, "fourth:7b", 8, waited_s=LONG_S)
    ada.models["fourth:7b"] = ada.models[SMALL]
    assert promised(state) == {"bob": LARGE, "ada": THIRD}, "no node is left"
    working_on(ada, LARGE, 1)
    assert promised(state) == {"ada": THIRD}, "the large one is on its way; who has one keeps it"


def test_a_host_that_it_cannot_use_is_none() -> None:
    """Neither one whose circuit is open, nor one that failed it, nor one of the other dialect."""
    host, ada = a_node("host", LARGE), busy("ada")
    state = starving(host, ada)
    assert promised(state) == {}, "it waits for that one"
    host.circuits[LARGE] = Circuit(status="open")
    assert promised(state) == {"ada": LARGE}
    host.circuits.clear()
    assert promised(state) == {}
    first(state, 7).excluded = [host.node_id]
    assert promised(state) == {"ada": LARGE}
    first(state, 7).excluded = []
    host.facts = NodeFacts(dialect="openai")
    assert promised(state) == {"ada": LARGE}


def test_nobody_else_takes_the_room() -> None:
    ada = busy("ada", 1)
    ada.models[THIRD] = ada.models[SMALL]
    state = starving(ada)
    assert not barred(state, ada, THIRD)
    assert promised(state) == {"ada": LARGE}
    assert barred(state, ada, SMALL)
    assert barred(state, ada, THIRD), "it would have to be loaded"
    assert not barred(state, ada, LARGE)
    state.promises = {ada.node_id: Promise(ada.node_id, LARGE, ())}
    assert not barred(state, ada, SMALL), "it is there, and need not go"
    ada.resident.clear()
    assert not barred(state, ada, SMALL), "it is on its way"


def test_it_is_an_event_once_and_the_model_gets_its_room() -> None:
    told = probed("ada", SMALL, LARGE, resident=(SMALL,))
    made = book(
        configured("ada", 2),
        msgspec.structs.replace(told, facts=NodeFacts(max_loaded_models=1)),
        SettingsChanged(key="policy", old="", new="soonest"),
        received("r1", SMALL),
        received("r2", LARGE),
    )
    promise = Promise(NodeId("ada"), LARGE, (SMALL,))
    assert (
        made
        >> TimerFired()
        << NOT_RECORDED
        >> after(PATIENCE_S)
        >> TimerFired()
        << RoomPromised(promises=(promise,))
        >> TimerFired()
        << NOT_RECORDED
        >> received("r3", SMALL)
        << queued("r3", 1, model=SMALL)
    )
    made.given(completed("r1", "ada", "1.1", SMALL))
    sent = made.log[-1].event
    assert isinstance(sent, RequestDispatched)
    assert (sent.request_id, sent.cold) == ("r2", True)
    assert made >> TimerFired() << RoomPromised(promises=())
    made.check()
