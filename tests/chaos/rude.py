"""Clients that nobody wants: they stall, talk nonsense, and open thousands of connections."""

import asyncio
import contextlib
import random
import time
from collections import Counter

from tests.chaos.clients import Ask

NONSENSE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
    b'POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"model":',
    b"POST /heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]",
    b"\r\n" * 500,
    b"A" * 70_000,
)
LONG = Ask("/api/chat", stream=True, tokens=4000)


class Rude:
    """All of them, until they are told to stop."""

    def __init__(self, port: int, chance: random.Random, connections: int) -> None:
        """Do nothing yet; `connections` at once is the flood."""
        self.did: Counter[str] = Counter()
        self.most_open = 0
        self.stopping = False
        self._port = port
        self._chance = chance
        self._connections = connections

    async def run(self) -> None:
        """Be rude until `stopping`."""
        await asyncio.gather(self._talk_nonsense(), self._stall(), self._flood())

    async def _talk_nonsense(self) -> None:
        while not self.stopping:
            with contextlib.suppress(OSError, TimeoutError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                said = self._chance.choice((*NONSENSE, self._chance.randbytes(400)))
                try:
                    writer.write(said)
                    async with asyncio.timeout(0.5):
                        await reader.read(4096)
                finally:
                    writer.transport.abort()
            self.did["nonsense"] += 1
            await asyncio.sleep(0.2)

    async def _stall(self) -> None:
        """Send half a request and wait; or ask for a long answer, and do not read it."""
        while not self.stopping:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1024)
                wire = LONG.wire()
                writer.write(wire if self._chance.random() < 0.5 else wire[: len(wire) // 2])
                await self._pause(4.0)
                writer.transport.abort()
                self.did["stalled"] += 1
            await asyncio.sleep(0.1)

    async def _flood(self) -> None:
        """Open connections and say nothing, as many as there may be."""
        while not self.stopping:
            await self._pause(15.0)
            opened: list[asyncio.StreamWriter] = []
            for _ in range(self._connections):
                if self.stopping:
                    break
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self._port)
                except OSError:
                    await asyncio.sleep(0.01)
                    continue
                opened.append(writer)
            self.most_open = max(self.most_open, len(opened))
            await self._pause(3.0)
            for writer in opened:
                writer.transport.abort()
            self.did["connections"] += len(opened)

    async def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.stopping:  # noqa: ASYNC110 (time passes)
            await asyncio.sleep(0.2)
