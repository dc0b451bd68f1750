"""Bodies of requests in plain writing: what Go reads kindly, and strict readers refuse. Pure.

Ollama is written in Go, which takes the keys at the top of a body in any case, and puts U+FFFD in
the place of what is no UTF-8, and of half a surrogate pair: JavaScript writes one where it cut a
text inside an emoji.
"""

import re
from typing import Final

import msgspec

_HIGH_LOW: Final = rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE: Final = re.compile(_HIGH_LOW + rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\.", re.DOTALL)
_HALF_LENGTH: Final = 6
_REPLACEMENT: Final = rb"\ufffd"
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def plain(body: bytes) -> bytes:
    """Return the same body, written so that everybody reads it alike; what is no JSON stays."""
    if not body.isascii():
        body = body.decode("utf-8", "replace").encode()
    if rb"\ud" in body or rb"\uD" in body:
        body = _ESCAPE.sub(_whole, body)
    try:
        pairs = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return body
    if all(key == key.casefold() for key in pairs):
        return body
    known = {key.casefold(): value for key, value in pairs.items() if bytes(value) != b"null"}
    return msgspec.json.encode(known)


def _whole(escape: re.Match[bytes]) -> bytes:
    found = escape[0]
    return _REPLACEMENT if len(found) == _HALF_LENGTH else found
