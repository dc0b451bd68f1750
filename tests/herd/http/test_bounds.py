"""What one connection may hold, and for how long."""

import asyncio
import socket

import msgspec
import pytest

from herd.http import server as server_module
from herd.http.server import Limits
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import CHAT, Ask, Control, fronting, node
from tests.herd.http.sockets import GET, POST, TEXT, Echo, Held, client, serving


def test_after_a_long_answer_a_connection_is_idle_from_its_end_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.02)

    async def main() -> None:
        app = Held()
        limits = Limits(idle_timeout_s=0.4)
        async with serving(app, limits) as listener, client(listener.port) as one:
            one.send(GET)
            exchange = await app.exchange()
            await asyncio.sleep(0.6)
            exchange.respond(200, TEXT, b"late")
            assert (await one.answer())[1] == b"late"
            await asyncio.sleep(0.1)
            one.send(GET)
            (await app.exchange()).respond(200, TEXT, b"again")
            assert (await one.answer())[1] == b"again"

    run(main())


def test_bodies_sent_ahead_are_bounded_together(run: Run) -> None:
    async def main() -> None:
        app = Held()
        limits = Limits(body_bytes=1000)
        async with serving(app, limits) as listener, client(listener.port) as one:
            one.send((POST + b"Content-Length: 600\r\n\r\n" + b"x" * 600) * 10)
            for _ in range(3):
                (await app.exchange()).respond(200, TEXT, b"ok")
            assert (await one.rest()).count(b"HTTP/1.1 200 OK") == 3
        assert len(app.exchanges) == 3

    run(main())


def test_a_refusal_has_the_shape_of_the_family_that_was_asked(run: Run) -> None:
    async def main() -> None:
        limits = Limits(body_bytes=10)
        async with serving(Echo(), limits) as listener:
            for path, key in ((b"/api/chat", "error"), (b"/v1/chat/completions", "message")):
                async with client(listener.port) as one:
                    one.send(b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n" % path)
                    head, body = await one.answer()
                assert head.startswith(b"HTTP/1.1 413 ")
                error = msgspec.json.decode(body)
                assert isinstance(error["error"] if key == "error" else error["error"][key], str)

    run(main())


def _small_socket(port: int) -> socket.socket:
    """A client that reads nothing, and has little room for what it does not read."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.connect(("127.0.0.1", port))
    return small


def test_a_stream_behind_an_unread_answer_waits_for_its_client(run: Run) -> None:
    """The client took nothing before the stream began, so nothing tells of it afterwards."""
    piece = b'{"x":"' + b"b" * (1 << 19) + b'"}\n'
    sent = 0

    async def script(ask: Ask) -> None:
        nonlocal sent
        if b"short" in ask.body:
            ask.answer(b'{"done":true,"x":"' + b"a" * 250_000 + b'"}')
            return
        ask.begin()
        for _ in range(200):
            ask.chunk(piece)
            sent += len(piece)
            await ask.writer.drain()

    def asks(body: bytes) -> bytes:
        head = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        return head % len(body) + body

    async def main() -> None:
        async with node(script) as here:
            control = Control(*[here.url] * 40)
            async with fronting(control) as listener:
                with _small_socket(listener.port) as deaf:
                    for _ in range(30):
                        deaf.sendall(asks(b'{"model":"m:latest","stream":false,"prompt":"short"}'))
                        await asyncio.sleep(0.05)
                        if any(each.blocked for each in listener.connections):
                            break
                    assert [each.blocked for each in listener.connections] == [True]
                    deaf.sendall(asks(CHAT))
                    await asyncio.sleep(1.5)
                    assert 0 < sent < 40_000_000, "of 100 MB; the kernel's buffers have it"

    run(main())
