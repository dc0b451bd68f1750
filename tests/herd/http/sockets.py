"""A client that says exactly the bytes it is told, and keeps what it hears."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from herd.http.server import App, Limits, Listener, listen

LAST_CHUNK = b"0\r\n\r\n"


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
