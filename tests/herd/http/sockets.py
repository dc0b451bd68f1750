"""A client that says exactly the bytes it is told, and keeps what it hears."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from herd.http.server import App, Exchange, Limits, Listener, listen

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"
TEXT = ((b"Content-Type", b"text/plain"),)


class Echo:
    """Answers each request with its method, path and body, and keeps them."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, str, bytes]] = []
        self.exchanges: list[Exchange] = []

    def __call__(self, exchange: Exchange) -> None:
        asked = exchange.request
        self.seen.append((asked.method, asked.path, asked.body))
        self.exchanges.append(exchange)
        exchange.respond(200, TEXT, b"%b %b %b" % (asked.method, asked.path.encode(), asked.body))


class Held:
    """Answers nothing by itself."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.came = asyncio.Event()

    def __call__(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        self.came.set()

    async def exchange(self) -> Exchange:
        await self.came.wait()
        self.came.clear()
        return self.exchanges[-1]


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def until(self, end: bytes) -> bytes:
        return await self.reader.readuntil(end)

    async def answer(self) -> tuple[bytes, bytes]:
        """One whole answer: its head, and its body without the framing."""
        head = await self.head()
        lowered = head.lower()
        if b"\r\ntransfer-encoding: chunked" in lowered:
            return head, await self._chunks()
        if b"\r\ncontent-length: " in lowered:
            size = int(lowered.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
            return head, await self.reader.readexactly(size)
        return head, await self.reader.read()

    async def get(self, path: str, method: bytes = b"GET") -> tuple[bytes, bytes]:
        self.send(b"%b %b HTTP/1.1\r\nHost: a\r\n\r\n" % (method, path.encode()))
        return await self.answer()

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        return await self.reader.read()

    def close(self) -> None:
        self.writer.transport.abort()

    def reset(self) -> None:
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()

    async def _chunks(self) -> bytes:
        parts: list[bytes] = []
        while size := int(await self.reader.readline(), 16):
            parts.append((await self.reader.readexactly(size + 2))[:-2])
        assert await self.reader.readline() == b"\r\n"
        return b"".join(parts)


async def until(true: Callable[[], bool]) -> None:
    """Wait until something holds that tells nobody."""
    while not true():  # noqa: ASYNC110 (it has no event)
        await asyncio.sleep(0.005)


@asynccontextmanager
async def client(port: int) -> AsyncGenerator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    made = Client(reader, writer)
    try:
        yield made
    finally:
        made.close()


@asynccontextmanager
async def serving(app: App, limits: Limits | None = None) -> AsyncGenerator[Listener]:
    listener = await listen(app, host="127.0.0.1", port=0, limits=limits)
    try:
        yield listener
    finally:
        listener.abort()
        await asyncio.sleep(0)
