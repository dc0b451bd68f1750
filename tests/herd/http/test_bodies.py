"""Large bodies: refused by their heads, and never more of them than there is room for."""

import asyncio
from typing import cast

import msgspec
import pytest
import zstandard

from events import RequestReceived
from herd.http import server as server_module
from herd.http.bodies import SMALL_BYTES, Bodies
from herd.http.exchange import Request
from herd.http.front import LIMITS, ORDER_BYTES, Front
from herd.http.server import Limits
from herd.link.messages import KeyView, View
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import QUIET, Ask, Control, fronting, header, node, post
from tests.herd.http.sockets import POST, TEXT, Held, client, serving, until
from tests.herd.http.test_keyring import KEY, LAPTOP

LARGE = 1_000_000
BOOK = b'{"model":"llama3.2:3b","stream":false,"prompt":"%b"}' % (b"x" * LARGE)


async def answers(ask: Ask) -> None:
    ask.answer(b'{"done":true}')


def head(target: str, *lines: str, method: str = "POST") -> bytes:
    told = [f"{method} {target} HTTP/1.1", "Host: localhost:11435", *lines]
    if not any(line.startswith(("Content-Length", "Transfer-Encoding")) for line in lines):
        told.append(f"Content-Length: {LARGE}")
    return "\r\n".join([*told, "", ""]).encode()


# What the head says


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (head("/nowhere"), 404),
        (head("/v1/chat/completions", method="PUT"), 405),
        (head("/api/chat", "Origin: https://elsewhere.example"), 403),
        (head("/api/chat").replace(b"localhost:11435", b"elsewhere.example"), 403),
        (head("/v1/chat/completions"), 401),
        (head("/v1/messages", "x-api-key: wrong"), 401),
        (head("/api/embed", "Transfer-Encoding: chunked"), 401),
        (head("/api/embed", "Content-Length: 9", "Expect: 100-continue"), 401),
        (head("/v1/messages/count_tokens"), 401),
        (head("/heartbeat", f"Content-Length: {ORDER_BYTES + 1}"), 413),
        (head("/fleet/drain", f"Content-Length: {LIMITS.body_bytes}"), 413),
    ],
)
def test_nobody_waits_for_the_body_of_what_is_refused_anyway(
    run: Run, said: bytes, status: int
) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            cast("Front", control.front).view_changed(View(keys=(LAPTOP,)))
            one.send(said)
            told, _ = await one.answer()
            assert told.startswith(b"HTTP/1.1 %d " % status)
            assert header(told, b"connection") == b"close"
            assert await one.rest() == b""
        assert control.facts == []

    run(main())


@pytest.mark.parametrize("keys", [(), (LAPTOP,)])
def test_whoever_may_ask_is_read_and_answered(run: Run, keys: tuple[KeyView, ...]) -> None:
    async def main() -> None:
        async with node(answers) as here:
            control = Control(here.url, here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                cast("Front", control.front).view_changed(View(keys=keys))
                for path in ("/v1/chat/completions", "/api/generate"):
                    post(one, path, BOOK, b"Authorization: Bearer " + KEY)
                    told, _ = await one.answer()
                    assert told.startswith(b"HTTP/1.1 200 "), told
                    assert listener.bodies.held_bytes == 0
        assert [ask.body for ask in here.asks] == [BOOK, BOOK]
        assert (KEY in here.asks[0].head) == (not keys)
        received = await control.heard(RequestReceived)
        assert received.key_name == ("laptop" if keys else "")

    run(main())


def test_a_large_one_behind_others_is_looked_at_in_its_turn(run: Run) -> None:
    async def main() -> None:
        async with node(answers) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/generate", QUIET)
                one.send(head("/nowhere") + b"x" * LARGE)
                assert (await one.answer())[0].startswith(b"HTTP/1.1 200 ")
                assert (await one.answer())[0].startswith(b"HTTP/1.1 404 ")
                assert listener.bodies.held_bytes == 0

    run(main())


# How much there is room for


def test_a_quarter_more_is_for_small_ones() -> None:
    bodies = Bodies(1_000_000)
    large, small, later = Request(), Request(), Request()
    assert bodies.take(large, 900_000)
    assert not bodies.take(later, 200_000)
    assert bodies.take(small, SMALL_BYTES)
    assert bodies.take(Request(), SMALL_BYTES)
    assert not bodies.take(small, 1), "it is large now"
    while bodies.take(Request(), SMALL_BYTES):
        assert bodies.held_bytes <= 1_250_000
    bodies.release(large)
    bodies.release(large)
    assert bodies.take(later, 200_000)


def test_that_it_is_full_is_noted_once(caplog: pytest.LogCaptureFixture) -> None:
    bodies = Bodies(1_000_000)
    for _ in range(2):
        large = Request()
        assert bodies.take(large, 1_000_000)
        for _ in range(3):
            assert not bodies.take(Request(), 100_000)
        bodies.release(large)
    assert len(caplog.records) == 2, "once each time"


def test_one_too_many_is_told_to_come_again_and_small_ones_go_on(run: Run) -> None:
    async def main() -> None:
        app = Held()
        limits = Limits(bodies_bytes=2 * LARGE)
        async with (
            serving(app, limits) as listener,
            client(listener.port) as first,
            client(listener.port) as second,
            client(listener.port) as third,
        ):
            first.send(POST + b"Content-Length: %d\r\n\r\n" % LARGE + b"x" * LARGE)
            answered = await app.exchange()
            second.send(POST + b"Content-Length: %d\r\n\r\n" % (LARGE + 1) + b"x" * LARGE)
            await until(lambda: listener.bodies.held_bytes == 2 * LARGE)
            third.send(POST + b"Content-Length: %d\r\n\r\n" % LARGE + b"x" * (SMALL_BYTES + 1))
            told, _ = await third.answer()
            assert told.startswith(b"HTTP/1.1 503 ")
            assert header(told, b"retry-after") == b"1"
            async with client(listener.port) as small:
                small.send(POST + b"Content-Length: 5\r\n\r\nhello")
                (await app.exchange()).respond(200, TEXT, b"ok")
                assert (await small.answer())[1] == b"ok"
            answered.respond(200, TEXT, b"ok")
            assert (await first.answer())[1] == b"ok"
            await until(lambda: listener.bodies.held_bytes == LARGE)
            second.close()
            await until(lambda: listener.bodies.held_bytes == 0)

    run(main())


@pytest.mark.parametrize("end", ["abort", "cut", "gone", "refused", "handed over", "too large"])
def test_however_a_request_ends_its_body_counts_no_more(run: Run, end: str) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app, Limits(body_bytes=LARGE)) as listener, client(listener.port) as one:
            one.send((POST + b"Content-Length: 9000\r\n\r\n" + b"x" * 9_000) * 3)
            exchange = await app.exchange()
            await until(lambda: listener.bodies.held_bytes == 27_000)
            if end == "abort":
                exchange.abort()
            elif end == "cut":
                exchange.start(200, TEXT)
                exchange.cut(b"over")
            elif end == "gone":
                one.close()
            elif end == "refused":
                one.send(b"garbage\r\n\r\n")
                for _ in range(3):
                    await until(lambda: not app.exchanges[-1].ended)
                    app.exchanges[-1].respond(200, TEXT, b"ok")
                assert b"HTTP/1.1 400 " in await one.rest()
            elif end == "handed over":
                transport = exchange.hand_over(b"HTTP/1.1 200 OK\r\n\r\n")
                assert transport is not None
                transport.abort()
            else:
                one.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
                one.send(b"%x\r\n%b" % (LARGE + 1, b"x" * (LARGE + 1)))
                one.close()
            await until(lambda: listener.bodies.held_bytes == 0)

    run(main())


def test_a_large_one_that_trickles_has_its_time(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.02)

    async def main() -> None:
        limits = Limits(whole_timeout_s=0.3)
        async with serving(Held(), limits) as listener, client(listener.port) as one:
            one.send(POST + b"Content-Length: %d\r\n\r\n" % LARGE)
            async with asyncio.TaskGroup() as group:
                answer = group.create_task(one.answer())
                while not answer.done():
                    one.send(b"x")
                    await asyncio.sleep(0.02)
            told, _ = answer.result()
            assert told.startswith(b"HTTP/1.1 408 ")
            await until(lambda: listener.bodies.held_bytes == 0)

    run(main())


def test_a_compressed_body_counts_as_what_it_holds(run: Run) -> None:
    async def main() -> None:
        async with node(answers) as here:
            control = Control(here.url)
            limits = msgspec.structs.replace(LIMITS, bodies_bytes=LARGE)
            async with fronting(control, limits) as listener, client(listener.port) as one:
                packed = zstandard.compress(BOOK)
                assert len(packed) < SMALL_BYTES
                post(one, "/api/generate", packed, b"Content-Encoding: zstd")
                told, body = await one.answer()
                assert told.startswith(b"HTTP/1.1 503 ")
                assert header(told, b"retry-after") == b"1"
                assert b"FLEET_BODIES_MAX_BYTES" in body
                assert listener.bodies.held_bytes == 0

    run(main())
