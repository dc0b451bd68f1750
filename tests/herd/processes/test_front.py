"""How a front ends: requests may finish, and who cannot is told why, never cut without a word."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import pytest

from events import Lease, NodeId
from herd.config import Settings
from herd.http.server import Listener
from herd.link.messages import Grant, View
from herd.processes.front import Front

Run = Callable[[Coroutine[Any, Any, None]], None]
BODY = b'{"model":"m:1","messages":[]}'
ASK = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
BEGINNING = b'{"message":{"content":"a"},"done":false}\n'
END = b'{"message":{"content":"b"},"done":true}\n'
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
)


class Node:
    """Answers with a beginning at once, and with the end when it may."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"[]}")
            writer.write(HEAD + b"%x\r\n%b\r\n" % (len(BEGINNING), BEGINNING))
            await self.may_end.wait()
            writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(END), END))
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def running(drain_timeout_s: float = 4.0) -> AsyncGenerator[tuple[Front, Listener, Node]]:
    node = Node()
    server = await asyncio.start_server(node.answer, "127.0.0.1", 0)
    node.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            host="127.0.0.1", port=0, data_dir=folder, drain_timeout_s=drain_timeout_s
        )
        settings.directory.create()
        front = Front(settings, 1)
        front.app.view_changed(View(settled=True))  # control was heard once: nobody needs a key
        listener = await front.listen(())
        async with server:
            yield front, listener, node
            node.may_end.set()


async def asking(listener: Listener) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(ASK)
    return reader, writer


async def granted(front: Front, node: Node) -> None:
    """Be control: give the one request that waits to the node."""
    async with asyncio.timeout(5):
        while not (waiting := front.app.carrying()[0]):  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.005)
    grant = Grant(waiting[0], NodeId("node"), node.url, Lease("1.1"), attempt=1, score=1.0)
    front.app.granted(grant)


def test_a_request_that_can_end_in_time_does(on_each_loop: Run) -> None:
    async def main() -> None:
        async with running() as (front, listener, node):
            reader, writer = await asking(listener)
            await granted(front, node)
            await reader.readuntil(BEGINNING)
            stopping = asyncio.ensure_future(front.stop())
            await asyncio.sleep(0.05)
            assert not stopping.done()
            node.may_end.set()
            assert END in await reader.readuntil(b"0\r\n\r\n")
            await asyncio.wait_for(stopping, 2)
            writer.close()

    on_each_loop(main())


def test_a_stream_that_cannot_end_in_time_is_told_why(on_each_loop: Run) -> None:
    async def main() -> None:
        async with running(0.1) as (front, listener, node):
            reader, writer = await asking(listener)
            await granted(front, node)
            await reader.readuntil(BEGINNING)
            await asyncio.wait_for(front.stop(), 2)
            rest = b""
            with contextlib.suppress(ConnectionError):
                rest = await reader.read()
            assert b'{"error":"this request was ended: herd is stopping"}\n' in rest
            assert not rest.endswith(b"0\r\n\r\n")
            writer.close()

    on_each_loop(main())


def test_a_request_that_still_waits_is_sent_elsewhere(on_each_loop: Run) -> None:
    async def main() -> None:
        async with running(0.1) as (front, listener, _):
            reader, writer = await asking(listener)
            await asyncio.sleep(0.02)
            await asyncio.wait_for(front.stop(), 2)
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 5\r\n" in answer
            assert b"herd is stopping" in answer
            writer.close()

    on_each_loop(main())


def test_no_new_client_is_taken_while_it_ends(on_each_loop: Run) -> None:
    async def main() -> None:
        async with running() as (front, listener, _):
            port = listener.port
            await asyncio.wait_for(front.stop(), 2)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)

    on_each_loop(main())


def test_each_life_of_a_front_has_its_own_name(on_each_loop: Run) -> None:
    async def main() -> None:
        settings = Settings()
        lives = [Front(settings, 1) for _ in range(2)]
        names = {vars(front.link)["_src"] for front in lives}
        assert len(names) == 2
        assert all(str(name).startswith("f1-") for name in names)
        for front in lives:
            front.app.close()

    on_each_loop(main())
