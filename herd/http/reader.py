"""A client's bytes become whole requests.

Rules
1. What two readers could read in two ways is refused: `Content-Length` beside `Transfer-Encoding`,
   either twice, a missing or second `Host`, an absolute URL of another place, bad chunks. llhttp
   refuses most of it by itself; it does not ask for a Host, and knows no limits.
2. A refusal ends the reading: what follows it cannot be trusted to be a request.
3. `Upgrade` is ignored. llhttp would skip the body of such a request, and take it for the next
   one (Java's HTTP client asks every server for h2c): a fresh parser reads that body instead.
4. A body that may be larger than the memory (`Limits.streamed`) is no part of its request: that one
   is handed over at the end of its head, with an `Upload`.
5. Nothing of a large body is kept before its head has been looked at (`Taker.look`).
"""

import logging
from typing import Final, Protocol

import httptools
import msgspec

from herd.http import wire
from herd.http.bodies import BODIES_BYTES, FULL, SMALL_BYTES, Bodies
from herd.http.exchange import Request
from herd.http.upload import Upload

_LENGTH_DIGITS: Final = 18
_AROUND: Final = 16
"""Bytes around a chunked body for each one in it: a chunk of one byte has five."""
_HEAD_TOO_LARGE: Final = "request header fields too large"
_FRAMING: Final = (wire.CONTENT_LENGTH, wire.TRANSFER_ENCODING)
_NOTED: Final = (wire.NOTED, wire.OWN)
_SPOKEN: Final = ("1.0", "1.1")

_log = logging.getLogger("herd.http.reader")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may ask of one connection, and for how long."""

    head_bytes: int = 32 * 1024
    body_bytes: int = 64 * 1024 * 1024
    bodies_bytes: int = BODIES_BYTES
    """What the bodies of all clients may take together, but for small ones (`herd.http.bodies`)."""
    streamed: tuple[bytes, ...] = ()
    """Beginnings of targets whose POST bodies are passed on while they come, however large."""
    pipelined: int = 16
    """Requests sent ahead of their answers; what comes after them is not read any more."""
    connections: int = 10_000
    handshake_timeout_s: float = 10.0
    """Of TLS, before a client can ask anything."""
    head_timeout_s: float = 30.0
    """From a request's first byte to the end of its head."""
    body_timeout_s: float = 60.0
    """Between two pieces of a body."""
    whole_timeout_s: float = 600.0
    """For all of a large body, which takes room while it comes; not for one that is passed on."""
    idle_timeout_s: float = 300.0
    write_timeout_s: float = 60.0
    """For how long a client may take nothing of what waits for it."""
    linger_s: float = 5.0
    """How long a refused client may go on sending, so that it reads the refusal."""


class Taker(Protocol):
    """Who takes the requests."""

    def take(self, request: Request) -> None:
        """Take a whole request; or one whose body is an `Upload`."""
        ...

    def look(self, request: Request) -> int:
        """Look at the head of a request, whose body may be large, before any of that is read.

        Return how large it may be, in bytes; or close the reader, where it need not be read.
        """
        ...

    def go_on(self) -> None:
        """Ask the client for the body that it keeps back."""
        ...

    def upload(self, length: int | None) -> Upload | None:
        """Make a body of that announced length; None if its request cannot be had without it."""
        ...


class RefusedError(Exception):
    """A request that is not read any further."""

    def __init__(self, status: int, text: str) -> None:
        """Say what the client is told."""
        super().__init__(text)
        self.status = status
        self.text = text


class RequestReader:
    """The parser of one connection, and the request that it is in."""

    __slots__ = (
        "_bodies",
        "_body",
        "_body_bytes",
        "_chunked",
        "_head_bytes",
        "_headers",
        "_length",
        "_limits",
        "_most_body_bytes",
        "_most_head_bytes",
        "_parser",
        "_request",
        "_resuming",
        "_sent_bytes",
        "_taker",
        "_turned",
        "_upgrading",
        "_upload",
        "deaf",
        "expects",
        "in_head",
        "target",
    )

    def __init__(self, limits: Limits, bodies: Bodies, taker: Taker) -> None:
        """Read for somebody, whose bodies are counted there."""
        # Per connection
        self._limits = limits
        self._bodies = bodies
        self._most_head_bytes = limits.head_bytes
        self._taker = taker
        self._parser = httptools.HttpRequestParser(self)
        self._upgrading = False
        self._resuming = False
        self.deaf = False
        """Nothing more is read."""
        # Per request
        self._request: Request | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._most_body_bytes = 0
        self._sent_bytes = 0
        """What a chunked body took so far, with what is around it; of whole reads."""
        self._head_bytes = 0
        self._headers: list[wire.Header] | None = None
        self._length = 0
        self._chunked = False
        self._upload: Upload | None = None
        self.in_head = True
        """Its head has not come to its end."""
        self.expects = False
        """Its body will be sent when the client is told to go on."""
        self.target = b""
        """Of the request that was read last, as far as it came."""
        self._turned = False
        """A request ended in what is being read: what is left is not all of the next one's head."""

    @property
    def under_way(self) -> bool:
        """Whether a part of a request was read."""
        return self._request is not None

    @property
    def uploading(self) -> bool:
        """Whether that request has been handed over, and its body is still coming."""
        return self._upload is not None

    def feed(self, data: bytes) -> None:
        """Read on; `RefusedError` if this cannot be answered but with a refusal."""
        if self.deaf:
            return
        self._turned = False
        within = None if self.in_head else self._request
        skipped = -1
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            skipped = upgrade.args[0]
        except httptools.HttpParserError as error:
            if not self.deaf:
                raise self._refusal(error) from error
        else:
            if self._request is not None and self.in_head and not self._turned:
                self._head_bytes += len(data)
                if self._head_bytes > self._most_head_bytes:
                    raise self._deafen(431, _HEAD_TOO_LARGE)
            if self._chunked and within is not None and within is self._request:
                self._count(len(data))
        if skipped >= 0:  # out here: what is raised inside `except` would hide why it was refused
            self._resume(data[skipped:])

    def close(self) -> None:
        """Read nothing more, and let go what was read of a request that will not be whole.

        At once: the parser and its callbacks hold each other until the garbage is collected.
        """
        self.deaf = True
        if self._request is not None:
            self._bodies.release(self._request)
        self._request = None
        self._upload = None
        self._headers = None
        self._body.clear()

    # The parser's callbacks

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._resuming or self.deaf:
            return
        request = self._request = Request()
        request.bodies = self._bodies
        self._headers = request.headers
        self._head_bytes = 0
        self._body_bytes = 0
        self._most_body_bytes = self._limits.body_bytes
        self._sent_bytes = 0
        self._length = 0
        self._chunked = False
        self.in_head = True
        self.expects = False

    def on_url(self, url: bytes) -> None:
        """Take the target, in one piece or in several."""
        if self._request is not None and not self._resuming:
            self._request.target += url
            self.target = self._request.target

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header; trailers are counted and dropped."""
        value = value.rstrip(b" \t")  # RFC 9110, 5.5: no part of it, but llhttp leaves it there
        headers = self._headers
        if headers is not None:
            headers.append((name, value))
        elif not self._resuming:
            self._head_bytes += len(name) + len(value) + 4
            if self._head_bytes > self._most_head_bytes:
                raise RefusedError(431, _HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Refuse what is ambiguous or too large, before any of its body is read."""
        request = self._request
        if self._resuming or request is None:
            return
        self.in_head = False
        self._headers = None
        parser = self._parser
        version = parser.get_http_version()
        request.method = parser.get_method()
        request.keep_alive = parser.should_keep_alive()
        request.old = version == "1.0"
        if version not in _SPOKEN:
            raise RefusedError(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        _named_once(request, self._note(request))
        if self._chunked and (request.old or self._length):
            raise RefusedError(400, "bad request: two ways to tell the length of the body")
        if parser.should_upgrade():
            if request.method == b"CONNECT":
                raise RefusedError(405, "CONNECT is not served here")
            self._upgrading = True
        if request.target.startswith(self._limits.streamed) and self._streams(request):
            return
        self._begin_body(request)

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body, or pass it on."""
        self._body_bytes += len(body)
        if self._upload is not None:
            self._upload.feed(body)
        elif self._request is not None:
            if self._body_bytes > self._most_body_bytes:
                raise RefusedError(413, self._too_large())
            if not self._bodies.take(self._request, len(body)):
                raise RefusedError(503, FULL)
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand the request over."""
        request = self._request
        if request is None or self._upgrading:
            return
        self._request = None
        self._turned = True
        self.expects = False
        upload = self._upload
        if upload is not None:
            self._upload = None
            upload.finish()
            return
        body = self._body
        if body:
            request.body = body[0] if len(body) == 1 else b"".join(body)
            body.clear()
        self._taker.take(request)

    # Inside

    def _begin_body(self, request: Request) -> None:
        """Let the body come, unless its head says that it need not."""
        if self._chunked or self.expects or self._length > SMALL_BYTES:
            self._most_body_bytes = self._taker.look(request)
            if self.deaf:
                return
        if self._length > self._most_body_bytes:
            raise RefusedError(413, self._too_large())
        if self.expects:
            self._taker.go_on()

    def _streams(self, request: Request) -> bool:
        if request.method != b"POST":
            return False
        upload = self._taker.upload(None if self._chunked else self._length)
        request.upload = self._upload = upload
        if upload is not None:
            self._taker.take(request)
        return upload is not None

    def _note(self, request: Request) -> int:
        """Read what the headers say of this connection and this body; return the Hosts."""
        hosts = 0
        size_bytes = len(request.target)
        for header in request.headers:
            name, value = header
            size_bytes += len(name) + len(value) + 4
            kind = wire.KINDS[name]
            if kind <= wire.CONTENT_TYPE:
                continue
            if kind == wire.HOST:
                hosts += 1
                request.host = value
            elif kind in _NOTED:
                request.noted.append(header)
            elif kind in _FRAMING:
                self._frame(kind, value)
            elif kind == wire.CONNECTION:
                request.connection += b"," + value if request.connection else value
            elif kind == wire.EXPECT:
                if value.lower() != b"100-continue":
                    raise RefusedError(417, "this expectation cannot be met")
                self.expects = not request.old
        self._head_bytes = size_bytes
        if size_bytes > self._most_head_bytes:
            raise RefusedError(431, _HEAD_TOO_LARGE)
        return hosts

    def _frame(self, kind: int, value: bytes) -> None:
        if kind == wire.TRANSFER_ENCODING:
            if self._chunked or value.lower() != b"chunked":
                raise RefusedError(501, "transfer encodings other than chunked are not read")
            self._chunked = True
        elif value.isdigit() and len(value) <= _LENGTH_DIGITS:
            self._length = int(value)
        else:
            raise RefusedError(400, "bad request: Content-Length is not a length")

    def _count(self, read_bytes: int) -> None:
        """Bound what may be around the chunks of a body: extensions, zeros, chunks of a byte."""
        self._sent_bytes += read_bytes
        if self._sent_bytes > self._most_head_bytes + _AROUND * self._body_bytes:
            raise self._deafen(413, "the chunks of this body hold next to nothing")

    def _too_large(self) -> str:
        return f"request body too large: the limit is {self._most_body_bytes} bytes"

    def _resume(self, rest: bytes) -> None:
        """Read the body that llhttp would skip: its framing is all the new parser is told."""
        chunked = b"Transfer-Encoding: chunked"
        framing = chunked if self._chunked else b"Content-Length: %d" % self._length
        self._upgrading = False
        self._resuming = True
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)
        self._resuming = False
        self.feed(rest)

    def _refusal(self, error: httptools.HttpParserError) -> RefusedError:
        cause = error.__context__
        if isinstance(cause, RefusedError):
            return self._deafen(cause.status, cause.text)
        if isinstance(error, httptools.HttpParserCallbackError):
            _log.error("a request could not be read", exc_info=cause)
        return self._deafen(400, f"bad request: {error}")

    def _deafen(self, status: int, text: str) -> RefusedError:
        self.close()
        return RefusedError(status, text)


def _named_once(request: Request, hosts: int) -> None:
    """Refuse a request that does not say, once and for all, whom it asks."""
    if hosts != 1 and not (request.old and hosts == 0):
        raise RefusedError(400, "bad request: exactly one Host header is needed")
    if not wire.HOSTS[request.host]:
        raise RefusedError(400, "bad request: Host is no name of a host")
    anywhere = b"CONNECT" if request.target != b"*" else b"OPTIONS"
    if request.method != anywhere and not wire.one_place(request.target, request.host):
        raise RefusedError(400, "bad request: target and Host name different places")
