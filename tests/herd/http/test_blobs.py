"""Uploads of blobs to a node that is watched from inside."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from herd.http import uploading
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting, node_view, view
from tests.herd.http.sockets import Client, client

PATH = f"/api/blobs/sha256:{'a' * 64}".encode()
ASK = b"POST %b HTTP/1.1\r\nHost: localhost\r\n" % PATH
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"

Take = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Coroutine[Any, Any, None]]


@asynccontextmanager
async def before(take: Take) -> AsyncGenerator[Client]:
    """A client before a front before a node that has no blob, and takes one so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"HEAD "):
                writer.write(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n")
            else:
                await take(reader, writer, head)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    control = Control()
    port = server.sockets[0].getsockname()[1]
    node = msgspec.structs.replace(node_view("ada"), url=f"http://127.0.0.1:{port}")
    control.view = view(node)
    try:
        async with fronting(control) as listener, client(listener.port) as one:
            yield one
    finally:
        server.close()


@pytest.mark.parametrize("chunked", [True, False])
def test_a_node_gets_it_as_it_comes_framed_as_it_came(chunked: bool, run: Run) -> None:  # noqa: FBT001 (drawn)
    async def main() -> None:
        halves: list[bytes] = []
        half_came = asyncio.Event()

        async def take(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
        ) -> None:
            framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 6"
            assert b"\r\n%b\r\n" % framing in head
            assert b"Expect" not in head
            for size in (8, 8 + 5) if chunked else (3, 3):
                halves.append(await reader.readexactly(size))
                half_came.set()
            writer.write(CREATED)

        async with before(take) as one:
            framing = CHUNKED if chunked else b"Content-Length: 6\r\n\r\n"
            one.send(ASK + b"Expect: 100-continue\r\n" + framing)
            assert (await one.head()).startswith(b"HTTP/1.1 100 ")
            one.send(b"3\r\nabc\r\n" if chunked else b"abc")
            await half_came.wait()
            one.send(b"3\r\ndef\r\n0\r\n\r\n" if chunked else b"def")
            head, _ = await one.answer()
            assert head.startswith(b"HTTP/1.1 201 ")
            assert b"X-Fleet-Node: ada\r\n" in head
            assert b"Connection: close" not in head
        frames = [b"3\r\nabc\r\n", b"3\r\ndef\r\n0\r\n\r\n"]
        assert halves == (frames if chunked else [b"abc", b"def"])

    run(main())


def test_a_node_that_dies_meanwhile_is_told_with_how_far_it_was(run: Run) -> None:
    async def main() -> None:
        async def take(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
        ) -> None:
            del head
            await reader.readexactly(3)
            writer.close()

        async with before(take) as one:
            one.send(ASK + b"Content-Length: 6\r\n\r\nabc")
            head, body = await one.answer()
            assert head.startswith(b"HTTP/1.1 502 ")
            assert b"node failed: connection" in body
            assert b", after 3 bytes of the upload" in body
            assert await one.rest() == b""

    run(main())


def test_what_a_node_answers_before_the_end_is_the_answer(run: Run) -> None:
    async def main() -> None:
        closed = asyncio.Event()

        async def take(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
        ) -> None:
            del head
            writer.write(b"HTTP/1.1 507 X\r\nContent-Length: 4\r\n\r\nfull")
            await reader.read()
            closed.set()

        async with before(take) as one:
            one.send(ASK + b"Content-Length: 6\r\n\r\n")
            head, body = await one.answer()
            assert (head[:13], body) == (b"HTTP/1.1 507 ", b"full")
            assert b"Connection: close\r\n" in head
            assert await one.rest() == b""
            await closed.wait()  # never to be used again

    run(main())


def test_a_node_that_takes_nothing_is_given_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "SEND_TIMEOUT_S", 0.2)
    monkeypatch.setattr(uploading, "LOOK_S", 0.02)

    async def main() -> None:
        over = asyncio.Event()

        async def take(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
        ) -> None:
            del reader, writer, head
            await over.wait()

        async with before(take) as one:
            size = 64 * 1024 * 1024
            one.send(ASK + b"Content-Length: %d\r\n\r\n" % size + bytes(size))
            head, body = await one.answer()
            over.set()
            assert head.startswith(b"HTTP/1.1 502 ")
            assert b"it took nothing for 0.2 s, after " in body

    run(main())


def test_a_client_that_leaves_ends_it_at_the_node(run: Run) -> None:
    async def main() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def take(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
        ) -> None:
            del writer, head
            await reader.readexactly(3)
            begun.set()
            try:
                assert await reader.read() == b""
            finally:
                ended.set()

        async with before(take) as one:
            one.send(ASK + b"Content-Length: 6\r\n\r\nabc")
            await begun.wait()
            one.close()
            await ended.wait()

    run(main())


def test_an_unreachable_node_is_told_before_the_client_sends(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = view(msgspec.structs.replace(node_view("ada"), url="http://127.0.0.1:1"))
        async with fronting(control) as listener, client(listener.port) as one:
            one.send(ASK + b"Expect: 100-continue\r\nContent-Length: 6\r\n\r\n")
            head, body = await one.answer()
            assert head.startswith(b"HTTP/1.1 502 ")
            assert b"connection refused" in body

    run(main())
