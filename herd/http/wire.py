"""HTTP/1.1 on the wire, pure: heads are built and headers are told apart here.

Rules
1. A header's name is looked up as it was spelled; the answer is remembered for that spelling.
2. Nothing from the network becomes a header unless it is printable ASCII: `header_value`.
3. `head` refuses a line break that its caller let through: no header can be injected.
"""

import http
import re
from collections.abc import Sequence
from typing import Final, TypeAlias

Header: TypeAlias = tuple[bytes, bytes]
"""Name and value, as they were or will be sent."""

PLAIN: Final = 0
"""Passed on as it is."""
CONTENT_TYPE: Final = 1
"""Passed on, and looked at."""
NOTED: Final = 2
"""Passed on, and looked at for some requests."""
HOP: Final = 3
"""Ends at the next hop: never passed on; nor is anything below."""
HOST: Final = 4
CONTENT_LENGTH: Final = 5
TRANSFER_ENCODING: Final = 6
CONNECTION: Final = 7
EXPECT: Final = 8
OWN: Final = 9
"""herd's own business with this client or this node: said anew, or not at all."""

_KINDS: Final[dict[bytes, int]] = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"expect": EXPECT,
    b"content-type": CONTENT_TYPE,
    b"content-encoding": NOTED,
    b"traceparent": NOTED,
    b"user-agent": NOTED,
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
_OWN_PREFIXES: Final = (b"x-fleet-", b"x-herd-", b"access-control-")
_SPELLINGS_KEPT: Final = 2_048
_VALUES_KEPT: Final = 4_096
_VISIBLE: Final = range(0x20, 0x7F)

REASONS: Final[dict[int, bytes]] = {s.value: s.phrase.encode() for s in http.HTTPStatus}
STATUSES: Final = range(100, 600)
"""Those that mean anything (RFC 9110): what says another is no HTTP answer."""
_STATUS_LINES: Final[dict[int, bytes]] = {
    status: b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b"Unknown")) for status in STATUSES
}

_USUAL: Final = (b"", b"keep-alive", b"close")
_NONE: Final[frozenset[bytes]] = frozenset()

_HOST: Final = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._~-]+)?\])(?::[0-9]*)?"
)
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]*)(?:[/?][^#]*)?", re.IGNORECASE)

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"


class Kinds(dict[bytes, int]):
    """Which kind of header a name means, by its spelling; looked up several times a header."""

    def __missing__(self, name: bytes) -> int:
        """Tell the kind of a spelling not seen before."""
        lowered = name.lower()
        kind = OWN if lowered.startswith(_OWN_PREFIXES) else _KINDS.get(lowered, PLAIN)
        if len(self) < _SPELLINGS_KEPT:
            self[name] = kind
        return kind


KINDS: Final = Kinds()


class Hosts(dict[bytes, bool]):
    """Whether a text can be a `Host`: a name or an address, with or without a port (RFC 9112)."""

    def __missing__(self, text: bytes) -> bool:
        """Tell it of a text not seen before."""
        good = _HOST.fullmatch(text) is not None
        if len(self) < _VALUES_KEPT:
            self[text] = good
        return good


HOSTS: Final = Hosts()


def one_place(target: bytes, host: bytes) -> bool:
    """Whether target and `Host` name one place: an absolute URL must say what the header says."""
    if target.startswith(b"/"):
        return True
    found = _ABSOLUTE.fullmatch(target)
    return found is not None and found[1].lower() == host.lower() and found[1] != b""


def head(status: int, headers: Sequence[Header], framing: bytes) -> bytes:
    """Build an answer's head; `framing` is whole lines, each with its CRLF."""
    if not headers:
        return _STATUS_LINES[status] + framing + b"\r\n"
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


class Values(dict[str, bytes]):
    """Names as headers' values: the same few come again and again."""

    def __missing__(self, text: str) -> bytes:
        """Make the value of a text not seen before."""
        value = header_value(text)
        if len(self) < _VALUES_KEPT:
            self[text] = value
        return value


VALUES: Final = Values()


def hops(connection: bytes) -> frozenset[bytes]:
    """Return the headers that a `Connection` names, and that go no further."""
    if connection.lower() in _USUAL:
        return _NONE
    tokens = (token.strip().lower() for token in connection.split(b","))
    return frozenset(tokens) - {b"close", b"keep-alive"}


def request_head(
    target: bytes, host: bytes, headers: Sequence[Header], hops: frozenset[bytes], body_bytes: int
) -> bytes:
    """Build the head of a client's request as a node gets it."""
    if hops:
        headers = [header for header in headers if header[0].lower() not in hops]
    return b"".join(
        (
            b"POST %b HTTP/1.1\r\nHost: %b\r\n" % (target, host),
            *[b"%b: %b\r\n" % header for header in headers if KINDS[header[0]] <= NOTED],
            b"Content-Length: %d\r\n\r\n" % body_bytes,
        )
    )


def upload_head(target: bytes, host: bytes, body_bytes: int | None) -> bytes:
    """Build the head of a request whose body comes behind it, of a length that may be unknown."""
    chunked = b"Transfer-Encoding: chunked"
    framing = chunked if body_bytes is None else b"Content-Length: %d" % body_bytes
    return b"POST %b HTTP/1.1\r\nHost: %b\r\n%b\r\n\r\n" % (target, host, framing)
