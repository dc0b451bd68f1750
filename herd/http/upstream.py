"""Connections to nodes: kept alive, used again, given up at once when nobody wants the answer.

Rules
1. One pool for a node's address; the connection used last is used first.
2. A connection carries one request at a time. It goes back to its pool only after a whole answer
   with nothing behind it; bytes that nobody asked for end it.
3. A pooled connection may have died meanwhile (llama.cpp closes after 5 s and 100 requests): the
   receiver is told `reused`, and may ask once more on a fresh one.
4. The parser knows the framing; body bytes are handed on as they are.
5. A receiver that raises is logged, and told `failed` in its turn: nobody is left waiting.
"""

import asyncio
import logging
from typing import Final, cast

import httptools

from herd.dialects.asking import Node
from herd.http import wire
from herd.http.target import Target, reason
from herd.http.upload import Upload
from herd.http.ways import Receiver
from herd.http.wire import Header
from herd.tasks import spawn

CONNECT_TIMEOUT_S: Final = 5.0
IDLE_S: Final = 60.0
MOST_IDLE: Final = 256
HEAD_BYTES: Final = 64 * 1024
WRITE_APART_BYTES: Final = 16 * 1024
_CODING_BYTES: Final = len(b"content-encoding")
"""No other header that is noted is as long."""

_log = logging.getLogger("herd.http.upstream")


class _FramingError(ValueError):
    """An answer whose body cannot be told from its framing, or whose status from its head."""


class Connection(asyncio.Protocol):
    """One connection to a node."""

    __slots__ = (
        "_body",
        "_delimited",
        "_ended",
        "_head_bytes",
        "_headers",
        "_hops",
        "_in_head",
        "_parser",
        "_paused",
        "_pool",
        "_receiver",
        "_spoiled",
        "_transport",
        "_upload",
        "coding",
        "content_type",
        "idle_s",
        "length",
        "reused",
        "silent",
        "status",
    )

    _transport: asyncio.Transport

    def __init__(self, pool: "Pool") -> None:
        """Wait for the transport."""
        # Per connection
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._paused = False
        self._spoiled = False
        self.idle_s = 0.0
        self.reused = False
        """It carried a request before."""
        # Per request
        self._receiver: Receiver | None = None
        self._upload: Upload | None = None
        """What is still being sent."""
        self._body: list[bytes] = []
        self._in_head = True
        self._head_bytes = 0
        self._ended = True
        self._delimited = False
        self.silent = True
        """No byte of this answer has come."""
        self.status = 0
        self._headers: list[Header] = []
        self._hops: frozenset[bytes] = frozenset()
        self.content_type = b""
        self.coding = b""
        """Of its body, if it is compressed or the like; empty where it can be read."""
        self.length: int | None = None

    @property
    def usable(self) -> bool:
        """Whether it can carry a request now."""
        return not self._spoiled and not self._transport.is_closing()

    def lines(self) -> bytes:
        """Return the headers that travel on, in whole lines; the parser let no break through."""
        headers = self._headers
        if self._hops:
            headers = [header for header in headers if header[0].lower() not in self._hops]
        return b"".join([b"%b: %b\r\n" % header for header in headers])

    def ask(self, data: bytes, body: bytes, receiver: Receiver) -> None:
        """Send a request: its head, and its body."""
        self._receiver = receiver
        self._ended = False
        self.silent = True
        self._begin_head()
        if len(body) < WRITE_APART_BYTES:
            self._transport.write(data + body)
        else:
            self._transport.write(data)
            self._transport.write(body)

    def carry(self, upload: Upload) -> None:
        """Send a body behind its head, as it comes."""
        if self._receiver is not None:
            self._upload = upload
            upload.open(self)

    def piece(self, data: bytes) -> None:
        """Send a piece of it."""
        if self._upload is not None:
            self._transport.write(data if self._upload.length is not None else wire.chunk(data))

    def whole(self) -> None:
        """Send its end."""
        upload, self._upload = self._upload, None
        if upload is not None and upload.length is None:
            self._transport.write(wire.LAST_CHUNK)

    def abort(self) -> None:
        """Give up at once: a node stops generating when its client goes."""
        self._receiver = self._upload = None
        self._spoiled = True
        self._transport.abort()

    def pause(self) -> None:
        """Read no more for now: the client is slower than the node."""
        if not self._paused and self.usable:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._paused = False
            if self.usable:
                self._transport.resume_reading()

    # The transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read on; what was read goes to the receiver in one piece."""
        if self._receiver is None:
            self.abort()
            return
        self.silent = False
        failed = ""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._spoiled = True
            failed = f"not an HTTP answer: {_why(error)}" if not self._ended else ""
        if self._in_head and not failed:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                failed = "more headers than fit"
        receiver = self._receiver
        try:
            if failed or self._ended or len(self._body) != 1:
                self._pass_on(failed)
            else:  # the next token of a stream
                receiver.heard(self._body.pop(), ended=False)
        except Exception:  # noqa: BLE001 (whatever it was, its client waits)
            self.abort()
            _end(receiver)

    def eof_received(self) -> bool:
        """Let the transport close itself."""
        return False

    def pause_writing(self) -> None:
        """Let the client send no more for now."""
        if self._upload is not None:
            self._upload.hold()

    def resume_writing(self) -> None:
        """Let it send again."""
        if self._upload is not None:
            self._upload.read_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the receiver, if one still waits."""
        self._spoiled = True
        self._pool.forget(self)
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        try:
            if exc is None and not self._in_head and not self._delimited:
                receiver.heard(b"", ended=True)
            else:
                receiver.lost("connection closed" if exc is None else "connection reset")
        except Exception:  # noqa: BLE001 (the same)
            _end(receiver)

    # The parser's callbacks

    def on_message_begin(self) -> None:
        """Begin a head: the first, or the one after an interim answer."""
        if self._ended:
            self._spoiled = True  # an answer to no question
        else:
            self._begin_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep what travels on, note what concerns this hop; trailers are dropped."""
        if not self._in_head or self._ended:
            return
        kind = wire.KINDS[name]
        # RFC 9110, 5.5: blanks behind it are no part of it. llhttp knows no `chunked` before a tab.
        value = value.rstrip(b" " if kind == wire.TRANSFER_ENCODING else b" \t")
        if kind <= wire.NOTED:
            self._headers.append((name, value))
            if kind == wire.CONTENT_TYPE:
                self.content_type = value
            elif kind == wire.NOTED and len(name) == _CODING_BYTES:
                self.coding = b"" if value.lower() == b"identity" else value
        elif kind == wire.CONTENT_LENGTH and value.isdigit():
            self.length = int(value)
            self._delimited = True
        elif kind == wire.TRANSFER_ENCODING:
            if self._delimited or value.lower() != b"chunked":
                raise _FramingError("a transfer encoding other than chunked")
            self._delimited = True
        elif kind == wire.CONNECTION:
            self._hops |= wire.hops(value)

    def on_headers_complete(self) -> None:
        """Know the status; after an interim one, the answer is still to come."""
        if not self._ended:
            if (status := self._parser.get_status_code()) not in wire.STATUSES:
                raise _FramingError(f"a status of {status}")
            self.status = status
            self._in_head = self.status < 200  # noqa: PLR2004 (1xx)

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body until all of this read is parsed."""
        if not self._ended:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Know the end."""
        if not self._in_head:
            self._ended = True
            if not self._parser.should_keep_alive():
                self._spoiled = True

    # Inside

    def _begin_head(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        self._delimited = False
        self.status = 0
        self._headers = []
        self._hops = frozenset()
        self.content_type = b""
        self.coding = b""
        self.length = None

    def _pass_on(self, failed: str) -> None:
        parts = self._body
        body = b""
        if parts:
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
        receiver = self._receiver
        if receiver is None:
            return
        if failed:
            self.abort()
            if body:
                receiver.heard(body, ended=False)
            receiver.lost(failed)
        elif self._ended:
            self._receiver = None
            if self._upload is not None or self._transport.get_write_buffer_size():
                self._upload, self._spoiled = None, True  # answered before it was all sent
            self.resume()
            self._pool.take_back(self)
            receiver.heard(body, ended=True)
        elif body:
            receiver.heard(body, ended=False)


class Pool:
    """The connections to one address."""

    __slots__ = ("_closed", "_idle", "_target", "host", "known", "prefix", "routes")

    def __init__(self, url: str) -> None:
        """Belong to the node at that URL, which may have a path of its own."""
        self._target = Target(url)
        self._idle: list[Connection] = []
        self._closed = False
        self.host = self._target.authority.encode("ascii")
        """What the node calls itself: an Ollama refuses other Hosts."""
        self.prefix = self._target.path.rstrip("/").encode("ascii")
        self.routes: dict[bytes, tuple[bool, float]] = {}
        """Whether the node has a route, and until when that is taken for true (the loop's time)."""
        self.known = Node()

    def ask(self, head: bytes, body: bytes, receiver: Receiver) -> asyncio.Task[None] | None:
        """Send a request on a pooled connection, or on a new one: then return its task."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                connection.ask(head, body, receiver)
                receiver.connected(connection)
                return None
        return self.dial(head, body, receiver)

    def dial(self, head: bytes, body: bytes | Upload, receiver: Receiver) -> asyncio.Task[None]:
        """Send a request on a new connection."""
        return spawn(self._dial(head, body, receiver), name="connect")

    def take_back(self, connection: Connection) -> None:
        """Keep a connection for the next request, if it can be used again."""
        if connection.usable and not self._closed and len(self._idle) < MOST_IDLE:
            connection.reused = True
            connection.idle_s = 0.0
            self._idle.append(connection)
        else:
            connection.abort()

    def forget(self, connection: Connection) -> None:
        """Let a connection go that died while it was idle."""
        if connection in self._idle:
            self._idle.remove(connection)

    def sweep(self, elapsed_s: float) -> None:
        """Close what was idle for too long."""
        for connection in tuple(self._idle):
            connection.idle_s += elapsed_s
            if connection.idle_s > IDLE_S:
                self._idle.remove(connection)
                connection.abort()

    def close(self) -> None:
        """Close all idle connections, and keep none from now on."""
        self._closed = True
        while self._idle:
            self._idle.pop().abort()

    async def _dial(self, head: bytes, body: bytes | Upload, receiver: Receiver) -> None:
        connection, target = Connection(self), self._target
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connection.reused = bool(target.relay)  # it was opened before, and may have died
                await target.connect(connection)
        except TimeoutError:
            receiver.unreachable(f"no connection within {CONNECT_TIMEOUT_S:g} s")
        except (OSError, UnicodeError) as error:  # the second: no name that DNS could know
            receiver.unreachable(reason(error))
        else:
            upload = body if isinstance(body, Upload) else None
            connection.ask(head, b"" if isinstance(body, Upload) else body, receiver)
            receiver.connected(connection)
            if upload is not None:
                connection.carry(upload)


def _why(error: Exception) -> str:
    """Return what a parser has to say, or the one of our own that it has wrapped."""
    cause = error.__context__
    return str(cause if isinstance(cause, _FramingError) else error)


def _end(receiver: Receiver) -> None:
    """End the request of a receiver that has just raised."""
    _log.exception("an answer could not be passed on")
    try:
        receiver.failed()
    except Exception:  # noqa: BLE001 (the same)
        _log.exception("nor could its request be ended")
