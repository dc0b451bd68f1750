"""HTTP/1.1 on the wire, pure: heads are built and headers are told apart here.

Rules
1. A header's name is looked up as it was spelled; the answer is remembered for that spelling.
2. Nothing from the network becomes a header unless it is printable ASCII: `header_value`.
3. `head` refuses a line break that its caller let through: no header can be injected.
"""

import http
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

Header: TypeAlias = tuple[bytes, bytes]
"""Name and value, as they were or will be sent."""

PLAIN: Final = 0
"""Passed on as it is."""
HOP: Final = 1
"""Ends at the next hop: never passed on."""
HOST: Final = 2
CONTENT_LENGTH: Final = 3
TRANSFER_ENCODING: Final = 4
CONNECTION: Final = 5
EXPECT: Final = 6
OWN: Final = 7
"""herd's own business with this client or this node: said anew, or not at all."""
CONTENT_TYPE: Final = 8

_KINDS: Final[dict[bytes, int]] = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"expect": EXPECT,
    b"content-type": CONTENT_TYPE,
    b"keep-alive": HOP,
    b"proxy-connection": HOP,
    b"proxy-authorization": HOP,
    b"proxy-authenticate": HOP,
    b"te": HOP,
    b"trailer": HOP,
    b"upgrade": HOP,
    b"http2-settings": HOP,
    b"date": OWN,
    b"origin": OWN,
    b"accept-encoding": OWN,
}
_OWN_PREFIXES: Final = (b"x-fleet-", b"x-herd-")
_SPELLINGS_KEPT: Final = 2_048
_VISIBLE: Final = range(0x20, 0x7F)

REASONS: Final[dict[int, bytes]] = {s.value: s.phrase.encode() for s in http.HTTPStatus}
_STATUS_LINES: Final[dict[int, bytes]] = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b"Unknown"))
    for status in range(100, 600)
}

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"

_seen: dict[bytes, int] = {}


def kind_of(name: bytes) -> int:
    """Tell which kind of header this name means, in any spelling."""
    kind = _seen.get(name)
    if kind is None:
        lowered = name.lower()
        kind = OWN if lowered.startswith(_OWN_PREFIXES) else _KINDS.get(lowered, PLAIN)
        if len(_seen) < _SPELLINGS_KEPT:
            _seen[name] = kind
    return kind


def head(status: int, headers: Iterable[Header], framing: bytes) -> bytes:
    """Build an answer's head; `framing` is whole lines, each with its CRLF."""
    lines = [b"%b: %b\r\n" % header for header in headers]
    text = b"".join((_STATUS_LINES[status], *lines, framing, b"\r\n"))
    breaks = len(lines) + 2 + framing.count(b"\n")
    if text.count(b"\n") != breaks or text.count(b"\r") != breaks or b"\0" in text:
        raise ValueError("a header with a line break in it")
    return text


def chunk(data: bytes) -> bytes:
    """Frame a piece of a chunked body; an empty piece would end it, so it frames to nothing."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def header_value(text: str) -> bytes:
    """Make any text safe as a header's value: printable ASCII stays, the rest is %-encoded."""
    if text.isascii() and text.isprintable():
        return text.encode("ascii")
    return b"".join(
        b"%c" % byte if byte in _VISIBLE else b"%%%02X" % byte
        for byte in text.encode("utf-8", "surrogateescape")
    )


def without_hops(headers: Sequence[Header]) -> list[Header]:
    """Keep what travels on: no hop-by-hop header, none that `Connection` names, no framing."""
    kept: list[Header] = []
    named: set[bytes] = set()
    for header in headers:
        kind = kind_of(header[0])
        if kind in (PLAIN, CONTENT_TYPE):
            kept.append(header)
        elif kind == CONNECTION and header[1].lower() not in (b"keep-alive", b"close"):
            named.update(token.strip().lower() for token in header[1].split(b","))
    if named:
        return [header for header in kept if header[0].lower() not in named]
    return kept


def request_head(target: bytes, host: bytes, headers: Sequence[Header], body_bytes: int) -> bytes:
    """Build the head of a client's request as a node gets it."""
    lines = [b"%b: %b\r\n" % header for header in without_hops(headers)]
    return b"".join(
        (
            b"POST %b HTTP/1.1\r\nHost: %b\r\n" % (target, host),
            *lines,
            b"Content-Length: %d\r\n\r\n" % body_bytes,
        )
    )
