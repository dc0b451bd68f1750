"""Strangers, rebound names and pages of other sites stay outside."""

import asyncio
from ipaddress import ip_network

import pytest

from herd.config import Settings
from herd.errors import HerdError
from herd.http.exchange import Exchange, Request
from herd.http.gate import Gate, trusted_networks


class Wire:
    """A client's connection that only remembers."""

    def __init__(self) -> None:
        self.sent = b""
        self.blocked = self.last = False
        self.date = b""

    def write(self, data: bytes) -> None:
        self.sent += data

    def answered(self, *, keep: bool) -> None:
        del keep

    def abort(self) -> None:
        self.sent += b"(reset)"

    def cut(self) -> None:
        self.sent += b"(cut)"

    def hand_over(self, head: bytes) -> asyncio.Transport:
        raise AssertionError(head)


def ask(
    gate: Gate,
    *,
    peer: str = "127.0.0.1",
    host: str = "localhost:11435",
    origin: str = "",
    method: bytes = b"GET",
    target: bytes = b"/api/tags",
    **headers: str,
) -> tuple[bool, bytes]:
    """Return whether it may go on, and what was sent, with an empty answer if it may."""
    request = Request()
    request.method, request.target, request.host = method, target, host.encode()
    request.headers = [
        (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
    ]
    request.noted = [(b"User-Agent", b"curl/8")]
    if origin:
        request.noted.append((b"Origin", origin.encode()))
    wire = Wire()
    exchange = Exchange(wire, request, peer)
    lets = gate.lets(exchange)
    if lets:
        exchange.respond(200, (), b"")
    return lets, wire.sent


PLAIN = Gate(Settings())


@pytest.mark.parametrize(
    "peer",
    [
        "",
        "127.0.0.1",
        "::1",
        "10.1.2.3",
        "172.31.0.1",
        "192.168.7.7",
        "169.254.9.9",
        "100.100.1.1",
        "fe80::1%eth0",
        "fd00::5",
        "::ffff:192.168.0.9",
    ],
)
def test_a_local_peer_comes_in(peer: str) -> None:
    assert ask(PLAIN, peer=peer)[0]


@pytest.mark.parametrize("peer", ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1", "x"])
def test_a_public_peer_is_told_which_setting_lets_it_in(peer: str) -> None:
    lets, sent = ask(PLAIN, peer=peer, target=b"/v1/models")
    assert not lets
    assert sent.startswith(b"HTTP/1.1 403 ")
    assert peer.encode() in sent
    assert b"FLEET_TRUSTED_NETWORKS" in sent
    assert b'"type":' in sent, "in the shape of its family"


def test_a_trusted_network_comes_in() -> None:
    gate = Gate(Settings(trusted_networks="203.0.113.0/24, 2001:db8::/32"))
    assert ask(gate, peer="203.0.113.9")[0]
    assert ask(gate, peer="::ffff:203.0.113.9")[0]
    assert ask(gate, peer="2001:db8::7")[0]
    assert not ask(gate, peer="203.0.114.9")[0]


def test_what_is_no_network_is_named() -> None:
    with pytest.raises(HerdError, match=r"'203\.0\.113'"):
        trusted_networks(Settings(trusted_networks="10.0.0.0/8 203.0.113"))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:11435",
        "127.0.0.1:11435",
        "[::1]:11435",
        "192.168.1.20:11435",
        "studio",
        "studio.local:11435",
        "studio.lan",
        "herd.tail1234.ts.net",
        "herd.internal",
        "host.docker.internal:11435",
        "studio.local.",
        "",
    ],
)
def test_a_name_of_this_machine_is_served(host: str) -> None:
    assert ask(PLAIN, host=host)[0]


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:11435", "a.b c", "[", ":1"]
)
def test_a_rebound_name_is_refused(host: str) -> None:
    lets, sent = ask(PLAIN, host=host)
    assert not lets
    assert b"FLEET_ALLOWED_HOSTS" in sent


def test_an_allowed_name_is_served_with_any_port() -> None:
    gate = Gate(Settings(allowed_hosts="herd.example"))
    assert ask(gate, host="HERD.example:80")[0]
    assert not ask(gate, host="x.herd.example")[0]
    assert ask(Gate(Settings(allowed_hosts="*")), host="anything.example")[0]


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:11435",
        "http://localhost:3000",
        "https://127.0.0.1",
        "http://[::1]:8080",
        "app://obsidian.md",
        "tauri://localhost",
        "vscode-webview://1a2b",
    ],
)
def test_a_page_of_this_machine_may_ask_and_read(origin: str) -> None:
    lets, sent = ask(PLAIN, origin=origin, method=b"POST")
    assert lets
    assert b"Access-Control-Allow-Origin: %b\r\n" % origin.encode() in sent
    assert b"Vary: Origin\r\n" in sent


def test_a_page_of_herds_own_may_ask_by_any_of_its_names() -> None:
    own = "http://studio.local:11435"
    assert ask(PLAIN, host="studio.local:11435", origin=own, method=b"POST")[0]
    lets, _ = ask(PLAIN, host="studio.local:11435", origin="http://other.local", method=b"POST")
    assert not lets


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://", "chrome://x"])
def test_a_strange_page_changes_nothing_and_reads_nothing(origin: str) -> None:
    lets, sent = ask(PLAIN, origin=origin, method=b"POST")
    assert not lets
    assert b"FLEET_CORS_ORIGINS" in sent
    lets, sent = ask(PLAIN, origin=origin)
    assert lets, "as any reader may"
    assert b"Access-Control" not in sent, "but its browser keeps it from the page"


@pytest.mark.parametrize("allowed", ["https://chat.example", "*"])
def test_a_listed_page_may(allowed: str) -> None:
    gate = Gate(Settings(cors_origins=allowed))
    assert ask(gate, origin="https://chat.example", method=b"POST")[0]


def test_a_browser_asks_beforehand() -> None:
    lets, sent = ask(
        PLAIN,
        origin="http://localhost:3000",
        method=b"OPTIONS",
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="content-type,authorization",
    )
    assert not lets, "it is answered"
    assert sent.startswith(b"HTTP/1.1 204 ")
    assert b"Access-Control-Allow-Methods: GET, HEAD, POST" in sent
    assert b"Access-Control-Allow-Headers: content-type,authorization\r\n" in sent
    lets, sent = ask(PLAIN, origin="http://localhost:3000", method=b"OPTIONS")
    assert lets, "no question of a browser's"


def test_a_network_that_this_machine_has_joined_since_is_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate(Settings())
    assert not ask(gate, peer="203.0.113.9")[0]
    monkeypatch.setattr("herd.http.gate.own_networks", lambda: (ip_network("203.0.113.0/24"),))
    assert not ask(gate, peer="203.0.113.9")[0], "they were read a moment ago"
    monkeypatch.setattr("herd.http.gate.READ_AGAIN_S", 0.0)
    assert ask(gate, peer="203.0.113.9")[0]
