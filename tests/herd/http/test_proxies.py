"""Behind a trusted proxy it is the client that counts, and no client can choose who it is."""

import pytest

from herd.config import Settings
from herd.errors import HerdError
from herd.http.exchange import Exchange, Request
from herd.http.gate import Gate, trusted_proxies
from herd.http.guard import from_here
from herd.http.proxies import UNKNOWN
from tests.herd.http.test_gate import Wire

PROXY = "127.0.0.1"
GATE = Gate(Settings(trusted_proxies="127.0.0.1, 192.168.1.0/30 2001:db8::2"))
LISTED, FORWARDED = "X-Forwarded-For", "Forwarded"


def come(
    *headers: tuple[str, str], peer: str = PROXY, gate: Gate = GATE, wire: Wire | None = None
) -> Exchange:
    """Return a request as it is once it is in, or was refused."""
    request = Request()
    request.method, request.target, request.host = b"GET", b"/api/tags", b"localhost:11435"
    request.headers = [(b"Host", b"localhost:11435")]
    request.headers += [(name.encode(), value.encode("latin-1")) for name, value in headers]
    exchange = Exchange(wire or Wire(), request, peer)
    gate.lets(exchange)
    return exchange


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("10.0.0.5, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.5,203.0.113.9 ,192.168.1.2", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::9]:4711", "2001:db8::9"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("2001:DB8::9, 2001:db8::2", "2001:db8::9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.168.1.1, 192.168.1.2", "192.168.1.1"),
        ("nonsense, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, nonsense", UNKNOWN),
        ("203.0.113.9, 192.168.1.2, unknown", UNKNOWN),
        ("unknown", UNKNOWN),
        ("unix:", UNKNOWN),
        ("localhost", UNKNOWN),
        ("", UNKNOWN),
        ("203.0.113.9,", UNKNOWN),
        ("[", UNKNOWN),
        ("127.1", UNKNOWN),
        ("0x7f000001", UNKNOWN),
        ("10.0.0.5 203.0.113.9", UNKNOWN),
        (", ".join(["192.168.1.1"] * 40), UNKNOWN),
    ],
)
def test_the_first_from_the_right_who_is_no_trusted_proxy_is_the_client(
    said: str, client: str
) -> None:
    assert come((LISTED, said)).peer == client
    assert come((LISTED.lower(), said), peer="192.168.1.2").peer == client


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("for=203.0.113.9", "203.0.113.9"),
        ('For="[2001:db8::9]:4711";proto=https;by=10.0.0.1', "2001:db8::9"),
        ("for=10.0.0.5, for=203.0.113.9;host=herd", "203.0.113.9"),
        ('proto=http;for="203.0.113.9" , for=192.168.1.2', "203.0.113.9"),
        ("for=203.0.113.9:4711", "203.0.113.9"),
        ('for=10.0.0.5;x="a,for=10.0.0.6\\"", for=203.0.113.9', "203.0.113.9"),
        ("for=203.0.113.9, proto=https", UNKNOWN),
        ("for=_hidden", UNKNOWN),
        ("for=unknown", UNKNOWN),
        ('for="10.0.0.5, for=203.0.113.9', UNKNOWN),
        ("203.0.113.9", UNKNOWN),
        ("", UNKNOWN),
        ("for=10.0.0.5;;for=10.0.0.6", UNKNOWN),
    ],
)
def test_the_standard_s_own_header_says_the_same(said: str, client: str) -> None:
    assert come((FORWARDED, said)).peer == client


def test_several_headers_are_one_list() -> None:
    assert come((LISTED, "10.0.0.5"), (LISTED, "203.0.113.9")).peer == "203.0.113.9"
    assert come((FORWARDED, "for=10.0.0.5"), (FORWARDED, "for=203.0.113.9")).peer == "203.0.113.9"


def test_two_headers_that_disagree_are_believed_as_little_as_none() -> None:
    both = come((LISTED, "203.0.113.9"), (FORWARDED, "for=10.0.0.5"))
    assert both.peer == UNKNOWN
    assert come((LISTED, "203.0.113.9"), (FORWARDED, "for=203.0.113.9")).peer == "203.0.113.9"


@pytest.mark.parametrize("peer", ["192.168.1.9", "10.0.0.5", "203.0.113.5", "2001:db8::3"])
def test_from_anybody_else_it_is_a_story(peer: str) -> None:
    assert come((LISTED, "127.0.0.1"), (FORWARDED, "for=127.0.0.1"), peer=peer).peer == peer
    unlisted = Gate(Settings())
    assert come((LISTED, "10.0.0.5"), peer=PROXY, gate=unlisted).peer == PROXY


def test_a_proxy_that_says_nothing_stands_for_its_client() -> None:
    assert come(peer="192.168.1.2").peer == "192.168.1.2"
    assert come(peer="::ffff:192.168.1.2").peer == "::ffff:192.168.1.2"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("203.0.113.9", b"203.0.113.9 is not in this network"),
        ("127.0.0.1, 8.8.8.8", b"8.8.8.8 is not in this network"),
        ("unknown", b"does not say clearly who asks"),
    ],
)
def test_a_stranger_behind_a_proxy_is_a_stranger(said: str, told: bytes) -> None:
    wire = Wire()
    assert come((LISTED, said), wire=wire).ended, "refused"
    assert wire.sent.startswith(b"HTTP/1.1 403 ")
    assert told in wire.sent
    assert not come((LISTED, "10.0.0.5")).ended


@pytest.mark.parametrize("said", ["127.0.0.1", "::1", "10.0.0.5", "unknown", ""])
@pytest.mark.parametrize("name", [LISTED, FORWARDED])
def test_who_comes_through_a_proxy_is_never_this_machine(name: str, said: str) -> None:
    assert not from_here(come((name, said if name == LISTED else f"for={said}")))
    assert from_here(come()), "its own commands, who come through none"


def test_what_is_no_proxy_is_named() -> None:
    with pytest.raises(HerdError, match=r"FLEET_TRUSTED_PROXIES: 'nginx'"):
        trusted_proxies(Settings(trusted_proxies="127.0.0.1 nginx"))
    for everybody in ("0.0.0.0/0", "::/0"):
        with pytest.raises(HerdError, match="everybody"):
            trusted_proxies(Settings(trusted_proxies=everybody))
