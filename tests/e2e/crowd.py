"""Many clients at once, each with one connection on which it asks again and again."""

import asyncio
import resource
from urllib.parse import urlsplit

import msgspec

from herd.simulator.faults import Stats
from herd.tasks import spawn
from tests.e2e.wire import ask, chat

LAST_CHUNK = b"0\r\n\r\n"


class Client(asyncio.Protocol):
    """Sends its request whenever it has no answer to wait for."""

    def __init__(self, crowd: "Crowd") -> None:
        self._crowd = crowd
        self._transport: asyncio.Transport | None = None
        self._end = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._crowd.transports.append(transport)
        transport.write(self._crowd.request)

    def data_received(self, data: bytes) -> None:
        if not self._end and not data.startswith(b"HTTP/1.1 200 "):
            self._crowd.refused.append(data[:200])
        self._end = (self._end + data)[-len(LAST_CHUNK) :]
        if self._end == LAST_CHUNK and self._transport is not None:
            self._end = b""
            self._crowd.answered += 1
            self._transport.write(self._crowd.request)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._crowd.lost += 1


class Crowd:
    """So many clients before one address."""

    def __init__(self, url: str, model: str, size: int) -> None:
        self.transports: list[asyncio.Transport] = []
        self.refused: list[bytes] = []
        self.answered = 0
        self.lost = 0
        self._url = url
        self._size = size
        body = msgspec.json.encode(chat(model, stream=True))
        self.request = (
            b"POST /api/chat HTTP/1.1\r\nHost: herd\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )

    async def asks(self, node_url: str, *, enough: int, within_s: float) -> tuple[int, float]:
        """Ask until so many are in flight at the node; return the most and when that was."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        arriving = spawn(self._arrive(), name="crowd")
        peak = 0
        try:
            while peak < enough and loop.time() - began < within_s:
                answer = await asyncio.to_thread(ask, node_url, "/sim/stats")
                peak = msgspec.json.decode(answer.body, type=Stats).peak_in_flight
                await asyncio.sleep(0.1)
            return peak, loop.time() - began
        finally:
            arriving.cancel()
            await asyncio.wait({arriving})
            for transport in self.transports:
                transport.abort()

    async def _arrive(self) -> None:
        parts = urlsplit(self._url)
        loop = asyncio.get_running_loop()
        for number in range(self._size):
            await loop.create_connection(
                lambda: Client(self), parts.hostname or "", parts.port or 0
            )
            if number % 50 == 0:
                await asyncio.sleep(0)


def open_files(wanted: int) -> int:
    """Let this process and those it starts have so many files open; return how many it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(soft, most)
