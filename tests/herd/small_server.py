"""A server whose answers a test sets: path -> status and body; remembers what it was asked."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import msgspec

from herd.tasks import spawn

OLLAMA_TAGS = {
    "models": [
        {
            "name": "llama3.2:3b",
            "model": "llama3.2:3b",
            "modified_at": "2026-01-02T03:04:05.678Z",
            "size": 2_000_000_000,
            "digest": "925b2caf",
            "details": {
                "parent_model": "",
                "format": "gguf",
                "family": "llama",
                "families": ["llama"],
                "parameter_size": "3.2B",
                "quantization_level": "Q4_K_M",
            },
            "capabilities": ["completion", "tools"],
        },
        {"name": "library/nomic-embed-text", "size": 270_000_000, "details": {"families": None}},
    ]
}
OLLAMA_PS = {
    "models": [
        {
            "name": "llama3.2:3b",
            "model": "llama3.2:3b",
            "size": 3_500_398_346,
            "digest": "925b2caf",
            "details": {"families": ["llama"]},
            "expires_at": "2318-01-02T03:04:05.678+01:00",
            "size_vram": 3_000_000_000,
            "context_length": 8192,
        }
    ]
}
DEEP = b'{"error": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
"""JSON that nests deeper than any reader of it goes."""


class SmallServer:
    """Answers GET and POST from `answers`; 404 for the rest; silent while `silent`."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, object]] = {}
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.silent = False
        self.changed = asyncio.Condition()
        self.url = ""
        self.port = 0
        self._connections: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self, port: int = 0) -> AsyncGenerator["SmallServer", None]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        try:
            yield self
        finally:
            server.close()
            for task in self._connections:
                task.cancel()
            if self._connections:
                await asyncio.wait(self._connections)

    def ollama(self) -> None:
        self.answers = {
            "/": (200, b"Ollama is running"),
            "/api/ps": (200, OLLAMA_PS),
            "/api/tags": (200, OLLAMA_TAGS),
            "/api/version": (200, {"version": "0.33.0"}),
        }

    async def asked_times(self, path: str, times: int) -> None:
        """Wait until a path was asked that often in all."""
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(lambda: self.asked.count(path) >= times)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = spawn(self._serve(reader, writer), name="small server")
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        body = await reader.readexactly(length)
        async with self.changed:
            self.asked.append(path)
            if length:
                self.bodies.append(body)
            self.changed.notify_all()
        if self.silent:
            await asyncio.Event().wait()
        status, content = self.answers.get(path, (404, b"404 page not found"))
        answer = content if isinstance(content, bytes) else msgspec.json.encode(content)
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(answer)))
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        await reader.read()
