"""Which key speaks for a node: the first, until it names another, or an operator does."""

from typing import Any

import pytest

from actors.core import joining
from actors.core.state import dump, load
from events import (
    HeartbeatReceived,
    NodeBecameHealthy,
    NodeDiscovered,
    NodeForgotten,
    NodeKnocked,
    NodePinned,
    NodeRevoked,
)
from tests.actors.cast import MODEL, book, configured, heartbeat, nid, url
from tests.playbook import NOT_RECORDED, Playbook

ONE, TWO = "11" * 32, "22" * 32


def pinned(key: str = ONE, name: str = "mini", **more: Any) -> NodePinned:
    return NodePinned(node_id=nid(name), node_key=key, **more)


def knocked(key: str = ONE, name: str = "mini") -> NodeKnocked:
    return NodeKnocked(node_id=nid(name), node_key=key, url=url(name))


def revoked(name: str = "mini") -> NodeRevoked:
    return NodeRevoked(node_id=nid(name))


def beat(key: str = "", **more: Any) -> HeartbeatReceived:
    return heartbeat("mini", MODEL, node_key=key, **more)


def joined() -> Playbook:
    return book(pinned(), beat(ONE))


def test_the_first_key_is_pinned_and_no_other_is_heard() -> None:
    assert (
        book()
        >> pinned()
        >> beat(ONE)
        << NodeDiscovered(node_id=nid("mini"), url=url("mini"), origin="agent")
        << NodeBecameHealthy(node_id=nid("mini"))
        >> beat(TWO, url="http://10.6.6.6:11434")
        << NOT_RECORDED
        >> beat(draining=True)
        << NOT_RECORDED
        >> pinned(TWO)
        << NOT_RECORDED
        >> pinned()
        << NOT_RECORDED
    )


def test_a_node_that_never_signed_is_heard_as_before() -> None:
    play = book(beat())
    assert play.state.nodes[nid("mini")].announced
    play.given(pinned(), beat(url="http://10.6.6.6:11434"))
    assert play.state.nodes[nid("mini")].url == url("mini")


def test_the_old_key_names_the_new_one() -> None:
    play = joined().given(pinned(TWO, replaces=ONE))
    assert not play.state.door.hears(beat(ONE))
    assert play.state.door.hears(beat(TWO))
    assert play >> pinned(ONE, replaces=ONE) << NOT_RECORDED
    assert play >> pinned(ONE, "other", replaces=TWO) << NOT_RECORDED


def test_nobody_speaks_for_a_revoked_node_but_whom_an_operator_approves() -> None:
    assert (
        joined()
        >> revoked()
        << NodeForgotten(node_id=nid("mini"), reason="revoked")
        >> beat(ONE)
        << NOT_RECORDED
        >> pinned(TWO, replaces=ONE)
        << NOT_RECORDED
        >> revoked()
        << NOT_RECORDED
        >> knocked(TWO)
        >> knocked(ONE)
        << NOT_RECORDED
        >> pinned(TWO, replaces=ONE, approved=True)
        >> beat(TWO)
        << NodeDiscovered(node_id=nid("mini"), url=url("mini"), origin="agent")
        << NodeBecameHealthy(node_id=nid("mini"))
    )


def test_who_waits_may_be_approved_or_turned_away() -> None:
    play = book(knocked(), knocked(TWO, "other"), pinned(), revoked("other"))
    assert play.state.door.knocks == {}
    assert play.state.door.hears(beat(ONE))
    assert play.state.door.pins[nid("other")].revoked


def test_only_what_an_agent_speaks_for_can_be_revoked() -> None:
    play = book(configured("studio"), beat())
    assert play >> revoked("studio") << NOT_RECORDED >> revoked("nobody") << NOT_RECORDED
    assert play >> revoked() << NodeForgotten(node_id=nid("mini"), reason="revoked")
    assert play >> beat() << NOT_RECORDED


def test_names_are_not_taken_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "MOST_PINS", 1)
    monkeypatch.setattr(joining, "MOST_KNOCKS", 1)
    play = book(pinned(), knocked(ONE, "a"))
    assert play >> pinned(ONE, "b") << NOT_RECORDED >> knocked(ONE, "b") << NOT_RECORDED


def test_a_stored_state_knows_who_may_speak() -> None:
    play = joined().given(knocked(TWO, "other"))
    assert load(dump(play.state)).door == play.state.door
