"""Opens request bodies that come compressed: by zstd, as Codex sends them and Ollama takes them.

The node gets what was in it, plain: other servers than Ollama open nothing. Never more than
`OPENED_BYTES`, whatever the sender says of its size; nor a window that needs more memory than that
of any usual level. Every other coding is refused, as no server behind herd knows it.
"""

from typing import Final

import zstandard

from herd.http.bodies import FULL
from herd.http.exchange import Request
from herd.http.problems import BadRequestError

OPENED_BYTES: Final = 20 * 1024 * 1024
"""As much as Ollama itself opens."""
WINDOW_BYTES: Final = 8 * 1024 * 1024
CODING: Final = b"content-encoding"
ZSTD: Final = b"zstd"
_IDENTITY: Final = b"identity"

_opener = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)


def open_any(request: Request) -> None:
    """Open a request's body if it is compressed; once it is open, it is as if it had never been."""
    for name, value in request.noted:
        if name.lower() == CODING and value.lower() != _IDENTITY:
            open_body(request, value)
            return


def open_body(request: Request, coding: bytes) -> None:
    """Put in a request's body what it holds; `BadRequestError` where that cannot be had."""
    if coding.strip().lower() != ZSTD:
        raise BadRequestError("of compressed bodies only zstd is read", status=415)
    with _opener.stream_reader(request.body, read_across_frames=True) as reader:
        try:
            body = reader.read(OPENED_BYTES + 1)
        except zstandard.ZstdError as error:
            raise BadRequestError(f"the body is no zstd: {error}") from error
    if len(body) > OPENED_BYTES:
        text = f"the body holds more than {OPENED_BYTES // 1024**2} MiB: send it uncompressed"
        raise BadRequestError(text, status=413)
    if request.bodies is not None and not request.bodies.take(request, len(body)):
        raise BadRequestError(FULL, status=503)
    request.body = body
    request.headers = [each for each in request.headers if each[0].lower() != CODING]
    request.noted = [each for each in request.noted if each[0].lower() != CODING]
