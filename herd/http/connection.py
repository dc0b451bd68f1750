"""One client's connection: its bytes become exchanges, an exchange becomes bytes.

The rules are those of `herd.http.server`, which makes it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, cast

from herd.http import problems, wire
from herd.http.bodies import Bodies
from herd.http.exchange import Exchange, Request
from herd.http.flow import Stall, reset
from herd.http.reader import Limits, RefusedError, RequestReader
from herd.http.upload import Tap, Upload

App: TypeAlias = Callable[[Exchange], None]
"""Called on the loop with every whole request; must not block."""
Ahead: TypeAlias = Callable[[Exchange], int]
"""Called with the head of a request whose body may be large: answers it, or says how large, in
bytes, that body may be."""

SWEEP_S: Final = 1.0
_UNAVAILABLE: Final = 503
WRITE_HIGH_BYTES: Final = 256 * 1024
_MAPPED: Final = "::ffff:"
"""How an IPv4 address looks on a socket for both."""

_log = logging.getLogger("herd.http.server")


class Host(Protocol):
    """What a connection needs of the listener that accepted it."""

    app: App
    ahead: Ahead
    limits: Limits
    bodies: Bodies
    connections: "set[Connection]"
    closing: bool
    """No connection is kept for another request."""
    now_s: float
    date: bytes

    def forget(self, connection: "Connection") -> None:
        """Let a lost connection go."""
        ...


class Connection(asyncio.Protocol):
    """One client's connection."""

    __slots__ = (
        "_closing",
        "_closing_s",
        "_current",
        "_large_since_s",
        "_last_words",
        "_listener",
        "_reader",
        "_stall",
        "_tap",
        "_touched_s",
        "_transport",
        "_waiting",
        "blocked",
        "peer",
    )

    _transport: asyncio.Transport

    def __init__(self, listener: Host) -> None:
        """Wait for the transport."""
        # Per process
        self._listener = listener
        # Per connection
        self._reader = RequestReader(listener.limits, listener.bodies, self)
        self._touched_s = listener.now_s
        self._large_since_s: float | None = None
        """Since when the body of the request that comes is coming, if it is large."""
        self._stall: Stall | None = None
        self._tap: Tap | None = None
        self._closing = False
        self._closing_s = 0.0
        self._last_words = b""
        self.peer = ""
        self.blocked = False
        # Per request
        self._current: Exchange | None = None
        self._waiting: deque[Request] | None = None

    # The transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, or refuse it."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES)
        address: object = transport.get_extra_info("peername")
        if isinstance(address, tuple):
            self.peer = str(cast("tuple[object, ...]", address)[0]).removeprefix(_MAPPED)
        connections = self._listener.connections
        connections.add(self)
        if len(connections) > self._listener.limits.connections:
            self._reader.close()
            self._refuse(RefusedError(503, "too many connections"))

    def data_received(self, data: bytes) -> None:
        """Read requests."""
        if not self._reader.under_way or not self._reader.in_head:
            self._touched_s = self._listener.now_s
        try:
            self._reader.feed(data)
        except RefusedError as refused:
            self._refuse(refused)

    def eof_received(self) -> bool:
        """Take FIN as gone; the transport then closes itself."""
        self._lose()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; tell whoever is still answering."""
        del exc
        self._listener.forget(self)
        self._lose()

    def pause_writing(self) -> None:
        """Pass the back-pressure on."""
        self.blocked = True
        self._stall = Stall(self._listener.now_s)
        if self._current is not None and self._current.on_blocked is not None:
            self._current.on_blocked()

    def resume_writing(self) -> None:
        """Pass the relief on."""
        self.blocked = False
        self._stall = None
        if self._current is not None and self._current.on_writable is not None:
            self._current.on_writable()

    # What an exchange asks for

    def write(self, data: bytes) -> None:
        """Send."""
        self._transport.write(data)

    def answered(self, *, keep: bool) -> None:
        """Go on to the next request, or close."""
        self._leave()
        self._touched_s = self._listener.now_s
        if not keep:
            self._end(linger=bool(self._waiting) or self._reader.under_way)
        elif self._waiting:
            self._open(self._waiting.popleft())
        elif self._reader.deaf:
            if self._last_words:
                self._transport.write(self._last_words)
            self._end(linger=True)
        elif self._listener.closing:
            self._end(linger=False)
        elif self._reader.expects:
            self.go_on()

    def abort(self) -> None:
        """End by RST."""
        self._leave()
        self._closing = True
        self._reader.close()
        reset(self._transport)

    def hand_over(self, head: bytes) -> asyncio.Transport:
        """Send this head; what follows it is somebody else's business."""
        self._leave()
        self._closing = True
        self._reader.close()
        self._empty()
        self._listener.forget(self)
        self._transport.write(head)
        return self._transport

    def cut(self) -> None:
        """Send what was written, then close, whatever the framing still promises."""
        self._leave()
        self._end(linger=False)

    @property
    def date(self) -> bytes:
        """The Date header's line, as of this second."""
        return self._listener.date

    @property
    def last(self) -> bool:
        """Whether the client is to ask nothing more on this connection."""
        return self._listener.closing and not self._waiting

    # What the listener asks for

    def sweep(self, now_s: float) -> None:
        """Bound every wait on this connection."""
        limits = self._listener.limits
        if self._stall is not None and self._stall.length_s(self._transport, now_s) > (
            limits.write_timeout_s
        ):
            self.drop()
        elif self._closing:
            self._sweep_closing(now_s)
        elif self._stall is not None:
            return
        elif self._tap is not None and self._tap.held:
            self._touched_s = now_s
        elif self._current is not None and not self._reader.uploading:
            return
        elif self._reader.under_way:
            if self._is_late(now_s):
                self._reader.close()
                self._refuse(RefusedError(408, "the request did not come to its end in time"))
        elif now_s - self._touched_s > limits.idle_timeout_s:
            self._end(linger=False)

    def _is_late(self, now_s: float) -> bool:
        """Whether the request that is coming has had its time."""
        limits, since_s = self._listener.limits, self._large_since_s
        if since_s is not None and now_s - since_s > limits.whole_timeout_s:
            return True
        limit_s = limits.head_timeout_s if self._reader.in_head else limits.body_timeout_s
        return now_s - self._touched_s > limit_s

    def _sweep_closing(self, now_s: float) -> None:
        self._closing_s += SWEEP_S
        if not self._transport.get_write_buffer_size():
            self._stall = None
            if self._closing_s > self._listener.limits.linger_s:
                self._transport.abort()
        elif self._stall is None:
            self._stall = Stall(now_s)

    @property
    def busy(self) -> bool:
        """Whether its client is being answered, or asks just now."""
        return self._current is not None or self._reader.under_way

    def retire(self) -> None:
        """Close now if idle; if not, after the answer."""
        if self._current is None and not self._closing:
            self._end(linger=False)

    def drop(self) -> None:
        """End at once, whatever is under way."""
        self._lose()
        self.abort()

    # What the reader tells

    def take(self, request: Request) -> None:
        """Answer a request, or let it wait for its turn."""
        self._touched_s = self._listener.now_s
        self._large_since_s = None
        if self._current is None:
            self._open(request)
            return
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(request)
        limits = self._listener.limits
        kept_bytes = sum(len(each.body) for each in self._waiting)
        if len(self._waiting) >= limits.pipelined or kept_bytes >= limits.body_bytes:
            self._reader.deaf = True

    def look(self, request: Request) -> int:
        """Let a request be answered by its head; return how large its body may be."""
        listener = self._listener
        self._large_since_s = listener.now_s
        if self._current is not None:
            return listener.limits.body_bytes  # answers leave in order: it is looked at in its turn
        most_bytes = 0
        exchange = self._current = Exchange(self, request, self.peer, ahead=True)
        try:
            most_bytes = listener.ahead(exchange)
        except Exception:  # noqa: BLE001 (whatever it was, the client gets its answer)
            _log.exception("a request could not be looked at")
            exchange.fail()
        if exchange.ended:
            return 0
        self._current = None
        return most_bytes

    def upload(self, length: int | None) -> Upload | None:
        """Return a body that is still to come; None where its request is behind others."""
        if self._current is not None:
            return None
        self._tap = Tap(self._transport, self.go_on)
        return Upload(self._tap, length)

    def go_on(self) -> None:
        """Ask for the body that the client keeps back, once it is its turn."""
        if self._reader.expects and (self._current is None or self._reader.uploading):
            self._reader.expects = False
            self._transport.write(wire.CONTINUE)

    # Inside

    def _open(self, request: Request) -> None:
        exchange = self._current = Exchange(self, request, self.peer)
        try:
            self._listener.app(exchange)
        except Exception:  # noqa: BLE001 (whatever it was, the client gets its answer)
            _log.exception("a request could not be answered")
            exchange.fail()

    def _leave(self) -> None:
        """Let go of the request that has been answered."""
        current, self._current = self._current, None
        if current is not None:
            self._listener.bodies.release(current.request)

    def _empty(self) -> None:
        """Let go of those that wait for their turn."""
        if self._waiting is not None:
            for request in self._waiting:
                self._listener.bodies.release(request)
            self._waiting.clear()

    def _refuse(self, refused: RefusedError) -> None:
        """Answer in place of the app, after the answers that are due."""
        current = self._current
        if current is not None and (upload := current.request.upload) and not upload.ended:
            self._current = None
            if current.started:
                current.lost()
                self.abort()
                return
            current.lost()
        family = problems.family_of(self._reader.target)
        body = problems.body(family, refused.status, refused.text)
        framing = b"Content-Length: %d\r\nConnection: close\r\n" % len(body)
        if refused.status == _UNAVAILABLE:
            framing += b"Retry-After: 1\r\n"
        self._last_words = (
            wire.head(
                refused.status, (problems.content_type(family),), self._listener.date + framing
            )
            + body
        )
        if self._current is None:
            self._transport.write(self._last_words)
            self._end(linger=True)

    def _end(self, *, linger: bool) -> None:
        """Close; with `linger` only our half, so that the client reads what we said last."""
        self._closing = True
        self._reader.close()
        if self._tap is not None:
            self._tap.read_on()
        if not linger or self._transport.is_closing():
            self._transport.close()
        elif self._transport.can_write_eof():
            self._transport.write_eof()

    def _lose(self) -> None:
        self._closing = True
        self._reader.close()
        self._empty()
        current = self._current
        self._leave()
        if current is not None:
            current.lost()
