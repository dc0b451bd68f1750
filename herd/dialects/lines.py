"""JSON for streams that are split into lines. Pure.

Three characters end a line for some who read streams (Python's `str.splitlines`, and with it httpx
and Ollama's package), and may stand in a JSON text as they are. Go escapes two of them, so that no
stream of an Ollama holds them.
"""

from typing import Final

import msgspec

_ENDS: Final = tuple((end.encode(), b"\\u%04x" % ord(end)) for end in "\u0085\u2028\u2029")


def one_line(value: object) -> bytes:
    """Write a value so that nobody sees the end of a line in it; without one."""
    text = msgspec.json.encode(value)
    if not text.isascii():
        for end, escaped in _ENDS:
            text = text.replace(end, escaped)
    return text
