"""A control that grants what it is told to, and nodes that answer from a script."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from events import (
    AttemptFailed,
    Event,
    Lease,
    ModelFacts,
    NodeFacts,
    NodeId,
    RequestId,
    RequestReceived,
    ResidentModel,
)
from herd.http.front import LIMITS, Front
from herd.http.server import Limits, Listener, listen
from herd.link.client import LinkFullError
from herd.link.messages import Grant, NodeView, Refuse, View
from tests.herd.http.sockets import Client

E = TypeVar("E", bound=Event)

_END = (
    b'{"model":"m","done":true,"done_reason":"stop","load_duration":1500000000,'
    b'"prompt_eval_count":7,"eval_count":2}\n'
)
NDJSON = (
    b'{"model":"m","message":{"content":"Hi"},"done":false}\n',
    b'{"model":"m","message":{"content":" you"},"done":false}\n',
    _END,
)
SSE = (
    b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n',
    b'data: {"choices":[{"delta":{"content":" you"}}]}\n\n',
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
)
CHAT = b'{"model":"m:latest","messages":[{"role":"user","content":"canary"}]}'
QUIET = b'{"model":"m:latest","stream":false}'


class Control:
    """Grants each request, and each further attempt, the next of its URLs; then it refuses."""

    def __init__(self, *urls: str) -> None:
        self.view = View()
        self.connected = True
        self.silent = False
        self.full = False
        self.urls = list(urls)
        self.facts: list[Event] = []
        self.front: Front | None = None
        self.probing = False
        self.predicted: dict[str, Any] = {}
        self.holds = False
        """Grant nothing by itself."""
        self._n = 0
        self._told = asyncio.Event()

    @property
    def answers(self) -> bool:
        return self.connected and not self.silent

    def tell(self, event: Event) -> None:
        if self.full:
            raise LinkFullError("the control process does not answer")
        self.facts.append(event)
        self._told.set()
        if isinstance(event, RequestReceived | AttemptFailed) and not self.holds:
            last = event.error if isinstance(event, AttemptFailed) else ""
            asyncio.get_running_loop().call_soon(self.decide, event.request_id, last)

    def decide(self, request_id: RequestId, last_error: str = "") -> None:
        assert self.front is not None
        if self.urls:
            self.grant(request_id, self.urls.pop(0))
        else:
            self.front.refused(Refuse(request_id, 502, "node_failed", 0, last_error))

    def grant(self, request_id: RequestId, url: str) -> Grant:
        assert self.front is not None
        self._n += 1
        node_id = NodeId(f"n{self._n}")
        grant = Grant(request_id, node_id, url, Lease(f"1.{self._n}"), self._n, 1.5, self.probing)
        grant = msgspec.structs.replace(grant, **self.predicted)
        self.front.granted(grant)
        return grant

    async def heard(self, kind: type[E], count: int = 1) -> E:
        """Wait for that many facts of a kind; return the last."""
        while True:
            found = [fact for fact in self.facts if isinstance(fact, kind)]
            if len(found) >= count:
                return found[count - 1]
            self._told.clear()
            await self._told.wait()

    @property
    def kinds(self) -> list[str]:
        return [type(fact).__name__ for fact in self.facts]


class Ask:
    """One request as it came to a node, and the connection to answer it on."""

    def __init__(
        self, head: bytes, body: bytes, writer: asyncio.StreamWriter, reader: asyncio.StreamReader
    ) -> None:
        self.head = head
        self.body = body
        self.writer = writer
        self._reader = reader

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def answer(
        self, body: bytes, status: int = 200, content_type: bytes = b"application/json"
    ) -> None:
        self.send(
            b"HTTP/1.1 %d X\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (status, content_type, len(body), body)
        )

    def begin(self, content_type: bytes = b"application/x-ndjson") -> None:
        self.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
            % content_type
        )

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self.send(b"0\r\n\r\n")

    def close(self) -> None:
        self.writer.close()

    async def gone(self) -> None:
        """Wait until herd has closed the connection."""
        with suppress(ConnectionResetError):
            assert await self._reader.read() == b""


Script: TypeAlias = Callable[[Ask], Awaitable[None]]


class Node:
    """A server that hands each request to its script, and keeps all of them."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asks: list[Ask] = []
        self.connections = 0
        self.url = ""
        self._came = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, count: int = 1) -> Ask:
        while len(self.asks) < count:
            self._came.clear()
            await self._came.wait()
        return self.asks[count - 1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
                ask = Ask(head, await reader.readexactly(size), writer, reader)
                self.asks.append(ask)
                self._came.set()
                await self.script(ask)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def node(script: Script) -> AsyncGenerator[Node]:
    made = Node(script)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        await made.stop()


@asynccontextmanager
async def fronting(
    control: Control, limits: Limits | None = None, logd: Path | None = None
) -> AsyncGenerator[Listener]:
    front = control.front = Front(control, logd=logd)
    front.view_changed(control.view)
    listener = await listen(
        front, ahead=front.ahead, host="127.0.0.1", port=0, limits=limits or LIMITS
    )
    try:
        yield listener
    finally:
        listener.abort()
        front.close()
        await asyncio.sleep(0)


def post(one: Client, path: str, body: bytes, *headers: bytes) -> None:
    lines = b"".join(header + b"\r\n" for header in headers)
    one.send(
        b"POST %b HTTP/1.1\r\nHost: localhost:11435\r\n%bContent-Length: %d\r\n\r\n%b"
        % (path.encode(), lines, len(body), body)
    )


def header(head: bytes, name: bytes) -> bytes:
    """Return a header's value, which must be there exactly once."""
    found = [
        line.partition(b": ")[2]
        for line in head.split(b"\r\n")
        if line.lower().startswith(name.lower() + b": ")
    ]
    assert len(found) == 1, (name, head)
    return found[0]


async def streamed(ask: Ask) -> None:
    """Stream as Ollama does, one chunk a line."""
    ask.begin()
    for line in NDJSON:
        ask.chunk(line)
        await asyncio.sleep(0)
    ask.end()


def view(*nodes: NodeView, settled: bool = True) -> View:
    return View(nodes=nodes, settled=settled)


def node_view(
    name: str,
    *models: ModelFacts,
    resident: tuple[ResidentModel, ...] = (),
    status: str = "online",
    facts: NodeFacts | None = None,
    paused: str = "",
) -> NodeView:
    return NodeView(
        node_id=NodeId(name),
        url=f"http://{name}:11434",
        status=status,
        origin="flag",
        draining=False,
        facts=facts or NodeFacts(version="0.12.3"),
        resident=resident,
        models=models,
        slots={},
        paused=paused,
    )
