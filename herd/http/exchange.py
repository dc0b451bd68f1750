"""One request on one connection, and its answer.

Rules
1. An answer has a head, then its body, then an end: `start`, `write`, `finish`; or `respond`.
2. An end is clean only if the framing is whole. `abort` is RST; `cut` sends what was written and
   closes without the last chunk: the client gets the last words and still sees a broken answer.
3. Once the client has gone (`on_gone` was called), or the answer has ended, calls do nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

from herd.http import problems, wire
from herd.http.bodies import Bodies
from herd.http.problems import Family
from herd.http.upload import Upload
from herd.http.wire import Header
from herd.link.messages import KeyView

NEW: Final = 0
STARTED: Final = 1
ENDED: Final = 2

_BODILESS: Final = (204, 304)


class Request:
    """A whole request."""

    __slots__ = (
        "bodies",
        "body",
        "connection",
        "headers",
        "held_bytes",
        "host",
        "id",
        "keep_alive",
        "method",
        "noted",
        "old",
        "target",
        "upload",
    )

    def __init__(self) -> None:
        """Begin empty; the server fills it in."""
        self.method = b""
        self.target = b""
        self.headers: list[Header] = []
        """As sent, in order."""
        self.noted: list[Header] = []
        """Those of them that herd may look at."""
        self.connection = b""
        """What `Connection` says."""
        self.host = b""
        """What `Host` says."""
        self.id = ""
        """herd's own name of it, where clients expect one: on `/v1` routes."""
        self.body = b""
        """De-chunked."""
        self.bodies: Bodies | None = None
        """Where its body is counted."""
        self.held_bytes = 0
        """What it counts for there."""
        self.keep_alive = True
        self.old = False
        """HTTP/1.0: no chunks for this client."""
        self.upload: Upload | None = None
        """The body, where it is still coming."""

    @property
    def path(self) -> str:
        """Without the query, decoded once."""
        path = self.target.partition(b"?")[0]
        if not path.startswith(b"/"):  # the absolute form, as sent to a proxy
            path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
        if b"%" in path:
            path = unquote_to_bytes(path)
        return path.decode("utf-8", "replace")

    @property
    def query(self) -> str:
        """As sent, without the question mark."""
        return self.target.partition(b"?")[2].decode("latin-1")

    def header(self, name: bytes) -> bytes:
        """Return the first header of that lower-case name, or nothing."""
        for spelling, value in self.headers:
            if len(spelling) == len(name) and spelling.lower() == name:
                return value
        return b""


class Downstream(Protocol):
    """What an exchange needs of its connection."""

    blocked: bool

    def write(self, data: bytes) -> None:
        """Send."""
        ...

    def answered(self, *, keep: bool) -> None:
        """End the answer well."""
        ...

    def abort(self) -> None:
        """End by RST."""
        ...

    def cut(self) -> None:
        """Send what was written, then close."""
        ...

    def hand_over(self, head: bytes) -> asyncio.Transport:
        """Send this head, and leave the connection."""
        ...

    @property
    def date(self) -> bytes:
        """The Date header's line."""
        ...

    @property
    def last(self) -> bool:
        """Whether the client is to ask nothing more on this connection."""
        ...


class Exchange:
    """A request, and the way to answer it."""

    __slots__ = (
        "_chunked",
        "_connection",
        "_keep",
        "_left_bytes",
        "_phase",
        "_silent",
        "key",
        "lines",
        "on_blocked",
        "on_gone",
        "on_writable",
        "peer",
        "request",
    )

    def __init__(
        self, connection: Downstream, request: Request, peer: str, *, ahead: bool = False
    ) -> None:
        """Begin with nothing sent; `ahead`: of its body, which is large, nothing has come yet."""
        self.request = request
        self.peer = peer
        """The client's address; empty on a Unix socket."""
        self.lines = b""
        """Headers for whatever answer it gets, in whole lines that are known to be safe."""
        self.key: KeyView | None = None
        """The API key that it came with."""
        self.on_gone: Callable[[], None] | None = None
        """The client left before the answer ended; called once."""
        self.on_blocked: Callable[[], None] | None = None
        """The client does not take what was written: write no more for now."""
        self.on_writable: Callable[[], None] | None = None
        """The client takes bytes again."""
        self._connection = connection
        self._phase = NEW
        self._keep = request.keep_alive and not ahead
        self._chunked = False
        self._silent = False
        self._left_bytes = -1

    @property
    def started(self) -> bool:
        """A head was sent, so that its status stands."""
        return self._phase != NEW

    @property
    def ended(self) -> bool:
        """Nothing more can be sent."""
        return self._phase == ENDED

    @property
    def blocked(self) -> bool:
        """The client does not take what was written."""
        return self._connection.blocked

    def start(
        self,
        status: int,
        headers: Sequence[Header],
        length: int | None = None,
        first: bytes = b"",
        lines: bytes = b"",
    ) -> None:
        """Send the head, with a first piece of the body; without a length the body is chunked.

        `lines` are headers too, in whole lines that the caller knows to be safe.
        """
        if self._phase != NEW:
            if self._phase == ENDED:
                return
            raise RuntimeError("an answer starts once")
        head = self._head(status, headers, length, lines)
        self._phase = STARTED
        self._connection.write(head + self._framed(first) if first else head)

    def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        if self._phase == STARTED and data and not self._silent:
            self._connection.write(wire.chunk(data) if self._chunked else self._framed(data))

    def finish(self, last: bytes = b"") -> None:
        """End well; an answer that is short of its announced length is aborted instead."""
        if self._phase != STARTED:
            return
        data = self._framed(last)
        if self._chunked and not self._silent:
            data += wire.LAST_CHUNK
        if self._left_bytes > 0 and not self._silent:
            self.abort()
            return
        if data:
            self._connection.write(data)
        self._phase = ENDED
        self._connection.answered(keep=self._keep)

    def respond(
        self,
        status: int,
        headers: Sequence[Header],
        body: bytes,
        lines: bytes = b"",
        *,
        chunked: bool = False,
    ) -> None:
        """Answer in one go; in chunks, for a client that knows them, if it is part of a stream."""
        if self._phase == NEW:
            length = None if chunked and not self.request.old else len(body)
            head = self._head(status, headers, length, lines)
            self._phase = ENDED
            if self._chunked and not self._silent:
                body = wire.chunk(body) + wire.LAST_CHUNK
            self._connection.write(head if self._silent else head + body)
            self._connection.answered(keep=self._keep)

    def refuse(  # noqa: PLR0913 (what an error may have beside its text, by name)
        self,
        status: int,
        text: str,
        headers: Sequence[Header] = (),
        lines: bytes = b"",
        *,
        family: Family | None = None,
        reason: str = "",
    ) -> None:
        """Answer with an error in the shape of a family: of the one asked, unless it is said."""
        request = self.request
        family = family or problems.family_of(request.target)
        body = problems.body(family, status, text, request.id, reason)
        self.respond(status, (problems.content_type(family), *headers), body, lines)

    def abort(self) -> None:
        """End by RST, never cleanly."""
        if self._phase != ENDED:
            self._phase = ENDED
            self._connection.abort()

    def cut(self, last: bytes = b"") -> None:
        """Send last words, then end without the end of the framing; RST where there is none."""
        if self._phase == STARTED and self._chunked:
            self._connection.write(self._framed(last))
            self._phase = ENDED
            self._connection.cut()
        else:
            self.abort()

    def hand_over(self, head: bytes) -> asyncio.Transport | None:
        """Answer with this head, and return the connection, which is the caller's from now on."""
        if self._phase != NEW:
            return None
        self._phase = ENDED
        return self._connection.hand_over(head)

    def lost(self) -> None:
        """Be told by the connection that the client has gone."""
        if self._phase != ENDED:
            self._phase = ENDED
            if self.on_gone is not None:
                self.on_gone()

    def fail(self) -> None:
        """End after an error in the app: 500 if nothing was sent, else RST."""
        if self._phase == NEW:
            self.refuse(500, "internal error")
        else:
            self.abort()

    def _head(
        self, status: int, headers: Sequence[Header], length: int | None, lines: bytes
    ) -> bytes:
        bodiless = status in _BODILESS
        upload = self.request.upload
        if upload is not None and not upload.ended:
            self._keep = False  # the next request is behind what nobody wants
        if self._connection.last:
            self._keep = False
        self._silent = bodiless or self.request.method == b"HEAD"
        framing = self.lines + lines + self._connection.date
        if self.request.id:
            framing += self._id_line(lines)
        if length is not None:
            self._left_bytes = length
            if not bodiless:
                framing += b"Content-Length: %d\r\n" % length
        elif self.request.old:
            self._keep = False
        elif not bodiless:
            self._chunked = True
            framing += b"Transfer-Encoding: chunked\r\n"
        if not self._keep:
            framing += b"Connection: close\r\n"
        elif self.request.old:
            framing += b"Connection: keep-alive\r\n"
        return wire.head(status, headers, framing)

    def _id_line(self, lines: bytes) -> bytes:
        """Return the header with the id; none where the node has said one of its own."""
        name = problems.id_header(self.request.target)
        if b"\n%b:" % name in b"\n" + lines.lower():
            return b""
        return b"%b: %b\r\n" % (name, self.request.id.encode("ascii"))

    def _framed(self, data: bytes) -> bytes:
        if self._silent:
            return b""
        if self._chunked:
            return wire.chunk(data)
        if self._left_bytes >= 0:
            if len(data) > self._left_bytes:
                raise ValueError("more than the announced length")
            self._left_bytes -= len(data)
        return data
