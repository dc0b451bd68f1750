"""One small HTTP request, from start to end: for probes, agents and commands, not for relaying.

A connection serves one request and is closed. Nothing is followed, decompressed or taken from the
environment (no proxy: fleets are local). One deadline bounds all phases together, and sizes are
bounded too.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import httptools
import msgspec

from herd.http import wire
from herd.http.target import FetchError, FetchPhase, Target, reason

__all__ = ["FetchError", "FetchPhase", "Response", "Target", "fetch", "follow", "reason"]

Header = tuple[bytes, bytes]

HEAD_LIMIT_BYTES = 64 * 1024
BODY_LIMIT_BYTES = 16 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
_OF_BODY = (b"content-type", b"content-encoding")


class Response(msgspec.Struct, frozen=True, gc=False):
    """A whole answer, whatever its status."""

    status: int
    headers: tuple[Header, ...]
    """As received."""
    body: bytes

    def header(self, name: bytes) -> bytes:
        """Return the first header of that lower-case name, or nothing."""
        return next((value for key, value in self.headers if key.lower() == name), b"")

    def of_body(self) -> list[Header]:
        """Return the headers without which its body cannot be read."""
        return [header for header in self.headers if header[0].lower() in _OF_BODY]


async def fetch(  # noqa: PLR0913 (all but two are limits with a default)
    method: str,
    url: str,
    *,
    headers: Sequence[Header] = (),
    body: bytes = b"",
    timeout_s: float = 5.0,
    max_bytes: int = BODY_LIMIT_BYTES,
) -> Response:
    """Send one request and return its whole answer; `FetchError` if there is none in time."""
    target = Target(url)
    exchange = _Exchange(method, max_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            return await exchange.asked(target, _request(method, target, headers, body))
    except TimeoutError as error:
        raise FetchError(exchange.phase, f"no answer within {timeout_s:g} s") from error


async def follow(  # noqa: PLR0913 (all but three are limits with a default)
    method: str,
    url: str,
    hear: Callable[[int, bytes], None],
    *,
    headers: Sequence[Header] = (),
    body: bytes = b"",
    silent_s: float = 60.0,
    max_bytes: int = BODY_LIMIT_BYTES,
) -> Response:
    """Send one request and hand its answer's status and body on as they come.

    There is no deadline but for silence. `hear` may raise what ends it.
    """
    target = Target(url)
    exchange = _Exchange(method, max_bytes)
    exchange.hear = hear
    exchange.silent_s = silent_s
    try:
        return await exchange.asked(target, _request(method, target, headers, body))
    except TimeoutError as error:
        raise FetchError(exchange.phase, f"silent for {silent_s:g} s") from error


def _request(method: str, target: Target, headers: Sequence[Header], body: bytes) -> bytes:
    lines = [
        f"{method} {target.path} HTTP/1.1".encode("ascii"),
        b"Host: " + target.authority.encode("ascii"),
        b"Connection: close",
        b"Accept-Encoding: identity",
    ]
    lines += [name + b": " + value for name, value in headers]
    if body or method in {"POST", "PUT"}:
        lines.append(b"Content-Length: %d" % len(body))
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
        raise FetchError("address", "a line break in a header")
    return head + b"\r\n\r\n" + body


class _Exchange:
    """One request on its own connection; the parser's callbacks fill it in."""

    def __init__(self, method: str, max_bytes: int) -> None:
        self.phase: FetchPhase = "connect"
        self.status = 0
        self.headers: list[Header] = []
        self.body = bytearray()
        self._bodiless = method == "HEAD"
        self._max_bytes = max_bytes
        self._head_bytes = 0
        self._head_ended = False
        self._ended = False
        self._delimited = False
        self._parser = httptools.HttpResponseParser(self)
        self.hear: Callable[[int, bytes], None] | None = None
        self.silent_s: float | None = None

    async def asked(self, target: Target, request: bytes) -> Response:
        """Return the whole answer, or raise why there is none."""
        try:
            await self.run(target, request)
        except TimeoutError:
            raise
        except (OSError, UnicodeError) as error:
            raise FetchError(self.phase, reason(error)) from error
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            why = error.__context__ or error  # the first is what a callback has raised
            raise FetchError(self.phase, f"not an HTTP answer: {why}") from error
        return Response(self.status, tuple(self.headers), bytes(self.body))

    async def run(self, target: Target, request: bytes) -> None:
        """Connect, send, read to the end of the answer."""
        async with asyncio.timeout(self.silent_s):
            reader, writer = await target.opened(CHUNK_BYTES)
        try:
            self.phase = "send"
            writer.write(request)
            with contextlib.suppress(ConnectionError):  # it may have answered without reading all
                await writer.drain()
            self.phase = "first_byte"
            while not self._ended:
                async with asyncio.timeout(self.silent_s):
                    data = await reader.read(CHUNK_BYTES)
                self._take(data)
                if self.hear is not None and self.body:
                    piece = bytes(self.body)
                    self.body.clear()
                    self.hear(self.status, piece)
        finally:
            writer.transport.abort()

    def _take(self, data: bytes) -> None:
        if not data:
            if not self._head_ended or self._delimited:
                raise FetchError(self.phase, "connection closed before the end of the answer")
            self._ended = True
            return
        if not self._head_ended:
            self._head_bytes += len(data)
        self._parser.feed_data(data)
        if not self._head_ended and self._head_bytes > HEAD_LIMIT_BYTES:
            raise FetchError(self.phase, f"more than {HEAD_LIMIT_BYTES} bytes of headers")
        if len(self.body) > self._max_bytes:
            raise FetchError(self.phase, f"more than {self._max_bytes} bytes of body")

    # The parser's callbacks.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value.rstrip(b" \t")))
        lowered = name.lower()
        self._delimited |= lowered == b"content-length"
        self._delimited |= lowered == b"transfer-encoding" and b"chunked" in value.lower()

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status not in wire.STATUSES:
            raise ValueError(f"a status of {self.status}")
        if self.status < 200:  # noqa: PLR2004 (1xx: the answer is still to come)
            return
        self.phase = "body"
        self._head_ended = True
        self._ended = self._bodiless

    def on_body(self, body: bytes) -> None:
        if not self._bodiless:
            self.body += body

    def on_message_complete(self) -> None:
        if self._head_ended:
            self._ended = True
        else:
            self.headers.clear()
            self._delimited = False
