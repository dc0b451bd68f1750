"""Two connections made one."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from herd.http.splice import splice
from tests.herd.http.conftest import Run
from tests.herd.http.sockets import Client


@asynccontextmanager
async def spliced(first: bytes = b"") -> AsyncGenerator[tuple[Client, Client, asyncio.Event]]:
    """Return who asks and who is asked, and what hears of the end."""
    loop = asyncio.get_running_loop()
    ours: list[asyncio.Transport] = []
    theirs: list[Client] = []
    for _ in range(2):
        near, far = socket.socketpair()
        transport, _protocol = await loop.create_connection(asyncio.Protocol, sock=near)
        ours.append(transport)
        theirs.append(Client(*await asyncio.open_connection(sock=far)))
    over = asyncio.Event()
    splice(ours[0], ours[1], first, over.set)
    yield theirs[0], theirs[1], over
    for each in theirs:
        each.close()
    await over.wait()


def test_bytes_go_both_ways_in_order(run: Run) -> None:
    async def main() -> None:
        async with spliced(b"read before, ") as (asks, asked, _):
            asks.send(b"then this\n")
            assert await asked.until(b"\n") == b"read before, then this\n"
            asked.send(b"an answer\n")
            assert await asks.until(b"\n") == b"an answer\n"

    run(main())


def test_the_slower_side_sets_the_pace_and_nothing_is_lost(run: Run) -> None:
    data = bytes(range(256)) * 40_000

    async def main() -> None:
        async with spliced() as (asks, asked, _):
            asked.send(data)
            asked.writer.write_eof()
            await asyncio.sleep(0.05)
            assert asked.writer.transport.get_write_buffer_size() > len(data) // 2
            assert await asks.rest() == data, "all of it, though its sender has closed"

    run(main())


def test_who_asks_and_goes_ends_the_other_side(run: Run) -> None:
    async def main() -> None:
        async with spliced() as (asks, asked, over):
            asks.close()
            assert await asked.rest() == b""
            await over.wait()

    run(main())
