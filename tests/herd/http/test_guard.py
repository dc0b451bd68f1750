"""Only this machine itself may change the fleet."""

from typing import Any, cast

import pytest

from herd.http.exchange import Exchange, Request
from herd.http.guard import from_here

HOST = (b"Host", b"localhost:11435")


def asked(peer: str, *headers: tuple[bytes, bytes]) -> Exchange:
    request = Request()
    request.headers = list(headers)
    return Exchange(cast("Any", None), request, peer)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", [b"localhost:11435", b"LOCALHOST", b"127.0.0.1:1", b"[::1]:11435"])
def test_this_machine_may(peer: str, host: bytes) -> None:
    assert from_here(asked(peer, (b"Host", host)))


@pytest.mark.parametrize("peer", ["192.168.1.4", "10.0.0.1", "fe80::1%eth0", "8.8.8.8", "", "x"])
def test_others_may_not(peer: str) -> None:
    assert not from_here(asked(peer, HOST))


@pytest.mark.parametrize(
    "name", [b"Forwarded", b"X-Forwarded-For", b"x-real-ip", b"CF-Connecting-IP", b"Tailscale-User"]
)
def test_who_was_forwarded_may_not(name: bytes) -> None:
    assert not from_here(asked("127.0.0.1", HOST, (name, b"x")))


def test_a_page_in_a_browser_may_not() -> None:
    assert not from_here(asked("127.0.0.1", (b"Host", b"evil.example:11435")))
    assert not from_here(asked("127.0.0.1", HOST, (b"Origin", b"http://evil.example")))
    assert not from_here(asked("127.0.0.1"))
