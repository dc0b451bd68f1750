"""Only this machine itself may change the fleet, and whoever shows the admin token."""

from typing import Any, cast

import msgspec
import pytest

from herd.http.exchange import Exchange, Request
from herd.http.guard import Guard, from_here
from herd.http.wire import Header

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


def test_a_page_of_herd_itself_may() -> None:
    assert from_here(asked("127.0.0.1", HOST, (b"Origin", b"http://localhost:11435")))
    assert from_here(asked("127.0.0.1", HOST, (b"Origin", b"https://localhost:11435")))
    assert not from_here(asked("127.0.0.1", HOST, (b"Origin", b"http://localhost:3000")))
    assert not from_here(asked("127.0.0.1", HOST, (b"Origin", b"null")))


# The token

FAR = ((b"Host", b"herd.lan:11435"),)
TOKEN = "a-token-for-a-test"  # noqa: S105 (it opens nothing)


class Told:
    """Takes the answer in place of a connection."""

    blocked = False
    last = False
    date = b""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def answered(self, *, keep: bool) -> None:
        del keep


def guarded(guard: Guard, *headers: Header, target: bytes = b"/fleet/drain") -> bytes:
    """Return what is answered to a request from another machine; empty if it was let through."""
    told = Told()
    request = Request()
    request.headers, request.target = list(headers), target
    came: list[Exchange] = []
    guard.admin(came.append)(Exchange(cast("Any", told), request, "192.168.1.4"))
    assert bool(came) != bool(told.data), "let through, or answered: one of them"
    return told.data


@pytest.mark.parametrize(
    "shown",
    [
        (b"Authorization", b"Bearer " + TOKEN.encode()),
        (b"authorization", b"bearer  " + TOKEN.encode()),
        (b"X-Herd-Admin-Token", TOKEN.encode()),
    ],
)
def test_the_token_opens_from_anywhere(shown: Header) -> None:
    assert guarded(Guard(TOKEN), *FAR, shown) == b""


def test_without_the_token_it_is_said_what_to_do() -> None:
    answer = guarded(Guard(TOKEN), *FAR)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"WWW-Authenticate: Bearer\r\n" in answer
    text = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])["error"]
    assert "balancer's own machine" in text
    assert "X-Herd-Admin-Token" in text
    assert guarded(Guard(TOKEN), *FAR, (b"Authorization", b"Basic eDp5")).startswith(
        b"HTTP/1.1 401"
    )


@pytest.mark.parametrize("token", [TOKEN, ""])
def test_another_token_is_refused(token: str) -> None:
    answer = guarded(Guard(token), *FAR, (b"Authorization", b"Bearer x"))
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"not the admin token" in answer


def test_the_refusal_has_the_shape_of_its_family() -> None:
    answer = guarded(Guard(TOKEN), *FAR, target=b"/v1/anything")
    assert (
        msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_api_key"
    )


def test_http_1_0_is_what_a_proxy_beside_herd_speaks() -> None:
    exchange = asked("127.0.0.1", HOST)
    exchange.request.old = True
    assert not from_here(exchange)
