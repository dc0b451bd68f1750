"""Answers as few nodes give them: those that HTTP allows arrive, the others are not passed on."""

import asyncio

import pytest

from events import AttemptFailed, RequestCompleted
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import CHAT, QUIET, Ask, Control, Script, fronting, header, node, post
from tests.herd.http.sockets import client
from tests.herd.http.test_relay import ANSWER, answered


async def _other_protocol(ask: Ask) -> None:
    ask.send(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n\x00\x00\x12")


async def _upgrade_offered(ask: Ask) -> None:
    ask.send(
        b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: %d\r\n\r\n%b"
        % (len(ANSWER), ANSWER)
    )


async def _loud(ask: Ask) -> None:
    ask.send(b"HTTP/1.1 200 OK\r\ntRANSFER-eNCODING: CHUNKED\r\n\r\n")
    ask.chunk(ANSWER)
    ask.end()


async def _no_reason(ask: Ask) -> None:
    ask.send(b"HTTP/1.1 200\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER))


async def _byte_by_byte(ask: Ask) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
    for byte in whole:
        ask.send(b"%c" % byte)
        await asyncio.sleep(0)


async def _many_interim(ask: Ask) -> None:
    ask.send(b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 102 Processing\r\nX-Own: 1\r\n\r\n" * 3)
    ask.answer(ANSWER)


@pytest.mark.parametrize(
    "script", [_upgrade_offered, _loud, _no_reason, _byte_by_byte, _many_interim]
)
def test_what_http_allows_arrives(script: Script, run: Run) -> None:
    async def main() -> None:
        async with node(script) as here:
            control = Control(here.url, here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                for _ in range(2):
                    post(one, "/api/chat", QUIET)
                    head, body = await one.answer()
                    assert body == ANSWER
                    assert b"X-Own" not in head
                    assert b"Upgrade" not in head
            assert control.kinds == ["RequestReceived", "RequestCompleted"] * 2

    run(main())


def test_nobody_is_switched_to_another_protocol(run: Run) -> None:
    async def main() -> None:
        async with node(_other_protocol) as bad, node(answered) as good:
            control = Control(bad.url, good.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", QUIET, b"Connection: Upgrade", b"Upgrade: h2c")
                assert (await one.answer())[1] == ANSWER
            assert (await control.heard(AttemptFailed)).error.startswith("not an HTTP answer")

    run(main())


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_none(status: int, run: Run) -> None:
    async def empty(ask: Ask) -> None:
        ask.send(b"HTTP/1.1 %d X\r\nETag: a\r\n\r\n" % status)

    async def main() -> None:
        async with node(empty) as here:
            control = Control(here.url, here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                for _ in range(2):
                    post(one, "/api/chat", QUIET)
                    head = await one.head()
                    assert head.startswith(b"HTTP/1.1 %d " % status)
                    assert header(head, b"ETag") == b"a"
            assert here.connections == 1

    run(main())


def test_a_node_that_answers_early_is_not_asked_on_the_same_connection(run: Run) -> None:
    """What it has not read of the body before would be in the way of the next request."""
    large = b'{"model":"m:latest","stream":false,"x":"' + b"y" * 30_000_000 + b'"}'
    said = b'{"error":"too long"}'
    done = asyncio.Event()

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
        await done.wait()
        writer.transport.abort()

    async def main() -> None:
        server = await asyncio.start_server(hasty, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        control = Control(url, url)
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/api/chat", large)
            assert (await one.answer())[1] == said
            post(one, "/api/chat", QUIET)
            assert (await one.answer())[1] == said
        done.set()
        server.close()

    run(main())


def test_a_body_that_a_node_takes_slowly_arrives_whole(run: Run) -> None:
    large = b'{"model":"m:latest","stream":false,"x":"' + b"y" * 8_000_000 + b'"}'

    async def main() -> None:
        got = 0

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal got
            await reader.readuntil(b"\r\n\r\n")
            while got < len(large):
                got += len(await reader.read(1 << 18))
                await asyncio.sleep(0.001)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER))
            writer.close()

        server = await asyncio.start_server(slow, "127.0.0.1", 0)
        control = Control(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/api/chat", large)
            assert (await one.answer())[1] == ANSWER
        assert got == len(large)
        server.close()

    run(main())


def test_an_answer_longer_than_it_says_ends_where_it_says(run: Run) -> None:
    async def script(ask: Ask) -> None:
        ask.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ANSWER))
        ask.send(ANSWER + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL")

    async def main() -> None:
        async with node(script) as here:
            control = Control(here.url, here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                for _ in range(2):
                    post(one, "/api/chat", CHAT)
                    assert (await one.answer())[1] == ANSWER
            assert here.connections == 2
            await control.heard(RequestCompleted, 2)

    run(main())
