"""The folded state: what a snapshot holds."""

import msgspec
import pytest

from actors.core.state import State, dump, load
from events import NodeId
from tests.actors.cast import (
    MODEL,
    attempt_failed,
    book,
    cancelled,
    completed,
    configured,
    nid,
    node,
    received,
    rid,
    unreachable,
)
from tests.playbook import Playbook


def busy() -> Playbook:
    playing = book(*node("studio", slots=1), *node("mini", slots=1, resident=()))
    names = ("r1", "r2", "r3", "r4")
    playing.given(*(received(name) for name in names), attempt_failed("r1", "studio", "1.1"))
    return playing.given(completed("r2", "mini", "1.2"))


def test_a_state_survives_being_stored() -> None:
    stored = dump(busy().state)
    assert dump(load(stored)) == stored
    assert load(stored) == busy().state


def test_a_stored_state_goes_on_as_the_live_one() -> None:
    live, restored = busy(), busy()
    restored.state = load(dump(restored.state))
    for playing in (live, restored):
        playing.given(cancelled("r4"), completed("r3", "studio", "1.3"))
    assert live.log == restored.log
    assert dump(live.state) == dump(restored.state)


def test_a_state_of_another_schema_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        load(b'{"seq":"one"}')


def test_no_two_states_share_what_they_hold() -> None:
    one, other = State(), State()
    one.nodes.update(busy().state.nodes)
    one.settings.max_queue = 1
    assert other == State()


def test_a_fleet_is_settled_when_every_node_was_heard() -> None:
    assert not book().state.settled(), "no node yet: one may come"
    assert not book(*node("studio"), configured("mini")).state.settled()
    assert book(*node("studio"), configured("mini"), unreachable("mini")).state.settled()


def test_a_node_takes_work_while_it_is_online_and_not_drained() -> None:
    studio = book(*node("studio")).state.nodes[NodeId("studio")]
    for health, online in (("healthy", True), ("degraded", True), ("offline", False)):
        studio.health = health
        assert studio.online == online
    studio.health, studio.drained_by = "healthy", "ada"
    assert not studio.online


def test_servable_means_online_with_the_model() -> None:
    state = book(*node("studio")).state
    assert state.servable(MODEL, v1=True)
    assert not state.servable("other", v1=True)
    state.nodes[nid("studio")].health = "offline"
    assert not state.servable(MODEL, v1=True)


def test_late_is_word_of_a_lease_that_is_gone() -> None:
    state = busy().state
    held = state.requests[rid("r3")]
    assert not state.late(held.request_id, held.lease)
    assert state.late(held.request_id, type(held.lease)("0.9"))
    assert not state.late(held.request_id, type(held.lease)("")), "no lease is said: it is the last"
    assert not state.late(rid("nobody"), held.lease)
