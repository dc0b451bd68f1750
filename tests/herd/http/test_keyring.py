"""API keys at the front: who is served, what a node and an event get to see of a key."""

from typing import Any, cast

import msgspec
import pytest

from events import RequestReceived
from herd.config import Settings
from herd.http.exchange import Exchange, Request
from herd.http.front import Front
from herd.http.gate import Gate
from herd.http.guard import Guard
from herd.http.keyring import Keyring, digest
from herd.http.lobby import Lobby
from herd.link.messages import KeyView, Refuse, View
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import CHAT, QUIET, Ask, Control, fronting, header, node, post
from tests.herd.http.sockets import client
from tests.herd.http.test_gate import Wire
from tests.herd.http.timers import Timers

KEY = b"herd-a-key-of-a-test"
TOKEN = "a-token-for-a-test"  # noqa: S105 (it opens nothing)
LAPTOP = KeyView("laptop", digest(KEY))
PATHS = ["/api/chat", "/v1/chat/completions", "/v1/messages"]


def ask(
    keys: Keyring, *shown: tuple[bytes, bytes], target: bytes = b"/api/chat", peer: str = "10.0.0.9"
) -> tuple[Exchange, bytes, bool]:
    """Return the exchange, what was answered, and whether it was let through."""
    request, wire = Request(), Wire()
    request.target, request.headers = target, [(b"Accept", b"*/*"), *shown]
    exchange = Exchange(wire, request, peer)
    came: list[Exchange] = []
    keys.opens("/api/chat", came.append)(exchange)
    return exchange, wire.sent, bool(came)


def ring(*keys: KeyView, **settings: Any) -> Keyring:
    lobby = Lobby(lambda: 1.0, Timers())
    made = Keyring(Settings(**settings), Guard(TOKEN), lambda: False, lobby)
    made.look(keys)
    return made


def test_without_a_key_everybody_is_served_and_nothing_is_taken_away() -> None:
    shown = (b"Authorization", b"Bearer not-needed")
    exchange, _, let = ask(ring(), shown)
    assert let
    assert exchange.key is None
    assert shown in exchange.request.headers


@pytest.mark.parametrize(
    "shown",
    [
        (b"Authorization", b"Bearer " + KEY),
        (b"authorization", b"BEARER  " + KEY),
        (b"Authorization", KEY),
        (b"X-Api-Key", KEY),
        (b"x-api-key", b" " + KEY),
    ],
)
def test_a_key_opens_and_goes_no_further(shown: tuple[bytes, bytes]) -> None:
    exchange, _, let = ask(ring(LAPTOP), shown)
    assert let
    assert exchange.key == LAPTOP
    assert exchange.request.headers == [(b"Accept", b"*/*")]


def test_of_two_that_are_shown_one_is_enough() -> None:
    shown = ((b"Authorization", b"Bearer of-another-server"), (b"x-api-key", KEY))
    assert ask(ring(LAPTOP), *shown)[2]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shown", [b"", b"herd-another", b"\xff\xfe", digest(KEY).encode()])
def test_nobody_else_is_served_in_the_words_of_any_dialect(path: str, shown: bytes) -> None:
    given = ((b"Authorization", b"Bearer " + shown),) if shown else ()
    _, answer, let = ask(ring(LAPTOP), *given, target=path.encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert not let
    assert head.startswith(b"HTTP/1.1 401 ")
    assert b"WWW-Authenticate: Bearer" in head
    said = msgspec.json.decode(body)
    if path == "/api/chat":
        assert "key" in said["error"]
    elif path == "/v1/messages":
        assert said["type"] == "error"
        assert said["error"]["type"] == "authentication_error"
    else:
        assert said["error"]["code"] == "invalid_api_key"
    assert not shown or shown not in answer


def test_the_admin_token_is_as_good_as_a_key() -> None:
    exchange, _, let = ask(ring(LAPTOP), (b"X-Herd-Admin-Token", TOKEN.encode()))
    assert let
    assert exchange.key is None
    assert ask(ring(LAPTOP), (b"Authorization", b"Bearer " + TOKEN.encode()))[2]


@pytest.mark.parametrize("keys", [(), (LAPTOP,)])
@pytest.mark.parametrize("keyless", ["auto", "local"])
@pytest.mark.parametrize(
    "shown",
    [
        (b"Authorization", b"Bearer " + TOKEN.encode()),
        (b"authorization", TOKEN.encode()),
        (b"x-api-key", TOKEN.encode()),
    ],
)
def test_no_node_sees_the_admin_token(
    keys: tuple[KeyView, ...], keyless: str, shown: tuple[bytes, bytes]
) -> None:
    """Open WebUI has it as its key, to pull and delete models; it shows it in every chat too."""
    exchange, _, let = ask(ring(*keys, keyless=keyless), shown)
    assert not let or shown not in exchange.request.headers
    assert let or keys


@pytest.mark.parametrize(
    ("keyless", "keys", "served"),
    [
        ("auto", (), True),
        ("auto", (LAPTOP,), False),
        ("local", (LAPTOP,), True),
        ("local", (), True),
        ("never", (), False),
        ("never", (LAPTOP,), False),
    ],
)
def test_who_is_served_without_a_key_is_a_setting(
    keyless: str,
    keys: tuple[KeyView, ...],
    *,
    served: bool,
) -> None:
    assert ask(ring(*keys, keyless=keyless))[2] == served
    assert ask(ring(*keys, keyless=keyless), (b"x-api-key", b"not-needed"))[2] == served


def test_a_key_that_is_gone_opens_nothing() -> None:
    keys = ring(LAPTOP, KeyView("other", digest(b"x")))
    keys.look((KeyView("other", digest(b"x")),))
    assert not ask(keys, (b"x-api-key", KEY))[2]


def test_a_front_that_never_heard_of_keys_serves_nobody_until_control_is_there() -> None:
    away = True
    keys = Keyring(Settings(), Guard(TOKEN), lambda: away, Lobby(lambda: 1.0, Timers()))
    assert ask(keys)[1:] == (b"", False)
    away = False
    assert ask(keys)[2], "control is there, and told of no key"
    keys.look((LAPTOP,))
    away = True
    assert ask(keys, (b"x-api-key", KEY))[2], "what was told once holds while control is away"
    assert not ask(keys)[2]


# Peers of other networks


def stranger(
    target: bytes, *shown: tuple[bytes, bytes], keys: tuple[KeyView, ...] = (LAPTOP,), **more: Any
) -> bytes:
    """Return what a peer from far away is told; the link takes what goes further."""
    told: list[bytes] = []

    def main() -> bytes:
        wire, request = Wire(), Request()
        request.method, request.target, request.host = b"GET", target, b"localhost"
        request.headers = list(shown)
        gate = Gate(Settings(**more))
        made = ring(*keys, **more)
        made.opens("/api/tags", lambda _: None)
        made.opens("/v1/models/", lambda _: None)
        gate.lets_stranger = made.lets_stranger
        if gate.lets(Exchange(wire, request, "8.8.8.8")):
            told.append(b"in")
        return wire.sent

    return main() or told[0]


def test_a_stranger_comes_in_with_a_key_to_what_keys_open_and_to_nothing_else() -> None:
    shown = (b"Authorization", b"Bearer " + KEY)
    assert stranger(b"/api/tags", shown) == b"in"
    assert stranger(b"/v1/models/a%2Fb", shown) == b"in"
    for target in (b"/", b"/fleet/status", b"/heartbeat", b"/dashboard", b"/api/tags/../fleet"):
        assert stranger(target, shown).startswith(b"HTTP/1.1 403 ")


def test_a_stranger_without_one_stays_outside() -> None:
    shown = (b"Authorization", b"Bearer " + KEY)
    assert b"8.8.8.8" in stranger(b"/api/tags")
    assert b"403" in stranger(b"/api/tags", (b"Authorization", b"Bearer x"))
    assert b"403" in stranger(b"/api/tags", shown, keys=())
    assert b"403" in stranger(b"/api/tags", shown, public_peers=False)
    assert b"403" in stranger(b"/api/tags", keyless="local")
    token = (b"X-Herd-Admin-Token", TOKEN.encode())
    assert b"403" in stranger(b"/api/tags", token), "the admin token is for this network"


# The whole front


@pytest.mark.parametrize("path", PATHS)
def test_a_request_is_known_by_the_name_of_its_key(run: Run, path: str) -> None:
    async def script(ask: Ask) -> None:
        ask.answer(b'{"done":true}')

    async def main() -> None:
        async with node(script) as server:
            control = Control(server.url)
            control.view = View(keys=(msgspec.structs.replace(LAPTOP, priority="normal"),))
            async with fronting(control) as listener, client(listener.port) as one:
                cast("Front", control.front).view_changed(control.view)
                shown = b"Authorization: Bearer " + KEY
                post(one, path, QUIET, shown, b"X-Herd-Priority: interactive")
                head, _ = await one.answer()
                assert head.startswith(b"HTTP/1.1 200 ")
        received = await control.heard(RequestReceived)
        assert (received.key_name, received.app) == ("laptop", "laptop")
        assert received.priority == "normal", "not above that of its key"
        assert KEY not in server.asks[0].head
        assert b"uthorization" not in server.asks[0].head
        assert KEY not in msgspec.json.encode(control.facts)

    run(main())


@pytest.mark.parametrize(
    ("reason", "status", "wait_s"), [("key_model", 403, 0), ("key_rate", 429, 17)]
)
def test_what_control_refuses_is_said_with_the_time_to_come_again(
    run: Run, reason: str, status: int, wait_s: int
) -> None:
    async def main() -> None:
        control = Control()
        control.holds = True
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/v1/messages", CHAT)
            received = await control.heard(RequestReceived)
            assert control.front is not None
            control.front.refused(Refuse(received.request_id, status, reason, wait_s))
            head, body = await one.answer()
        assert head.startswith(b"HTTP/1.1 %d " % status)
        kind = msgspec.json.decode(body)["error"]["type"]
        assert kind == ("permission_error" if status == 403 else "rate_limit_error")
        assert msgspec.json.decode(body)["request_id"] == received.request_id
        if wait_s:
            assert header(head, b"Retry-After") == b"17"

    run(main())


def test_openais_clients_are_told_in_their_words_what_a_key_has_used_up(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.holds = True
        async with fronting(control) as listener, client(listener.port) as one:
            for count, (reason, kind) in enumerate(
                (("key_rate", "requests"), ("key_tokens", "tokens"))
            ):
                post(one, "/v1/chat/completions", CHAT)
                received = await control.heard(RequestReceived, count + 1)
                assert control.front is not None
                control.front.refused(Refuse(received.request_id, 429, reason, 17))
                _, body = await one.answer()
                error = msgspec.json.decode(body)["error"]
                assert (error["type"], error["code"]) == (kind, "rate_limit_exceeded")

    run(main())
