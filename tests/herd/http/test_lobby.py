"""Requests that come before control was ever heard of: they wait, and not for ever."""

import pytest

from herd.http import lobby as module
from herd.http.exchange import Exchange, Request
from herd.http.lobby import Lobby
from tests.herd.http.test_gate import Wire
from tests.herd.http.timers import Timers


def came(target: bytes = b"/api/chat") -> tuple[Exchange, Wire]:
    request, wire = Request(), Wire()
    request.target = target
    return Exchange(wire, request, "10.0.0.9"), wire


def test_they_go_on_in_order_once_control_is_heard() -> None:
    timers, served = Timers(), list[Exchange]()
    lobby = Lobby(lambda: 30.0, timers)
    (first, _), (second, _) = came(), came()
    lobby.hold(first, served.append)
    lobby.hold(second, served.append)
    assert [timer.after_s for timer in timers.set] == [30.0, 30.0]
    assert not served
    lobby.open()
    lobby.open()
    assert served == [first, second]
    timers.run_out()
    assert first.on_gone is None
    assert not first.ended


@pytest.mark.parametrize("how", ["run out", "close"])
def test_who_waits_too_long_is_told_so_and_when_to_come_again(how: str) -> None:
    timers, served = Timers(), list[Exchange]()
    lobby = Lobby(lambda: 30.0, timers)
    exchange, wire = came(b"/v1/chat/completions")
    lobby.hold(exchange, served.append)
    if how == "close":
        lobby.close()
    else:
        timers.run_out()
    assert wire.sent.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1\r\n" in wire.sent
    assert b'{"error":{"message":"the control process of herd does not answer' in wire.sent
    lobby.open()
    assert not served


def test_who_leaves_is_forgotten() -> None:
    timers, served = Timers(), list[Exchange]()
    lobby = Lobby(lambda: 30.0, timers)
    exchange, wire = came()
    lobby.hold(exchange, served.append)
    exchange.lost()
    timers.run_out()
    lobby.open()
    assert (served, wire.sent) == ([], b"")


def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    lobby = Lobby(lambda: 30.0, Timers())
    (first, quiet), (second, loud) = came(), came()
    lobby.hold(first, lambda _: None)
    lobby.hold(second, lambda _: None)
    assert not quiet.sent
    assert loud.sent.startswith(b"HTTP/1.1 503 ")
