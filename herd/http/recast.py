"""The headers of what is said in other words: of a request for OpenAI's API, and of its answer."""

from collections.abc import Sequence
from typing import Final

from herd.http.wire import Header

_OF_BODY: Final = frozenset(
    {
        b"content-type",
        b"content-encoding",
        b"content-digest",
        b"content-md5",
        b"digest",
        b"repr-digest",
        b"etag",
        b"last-modified",
    }
)
"""Headers of the node's body, which the client gets in other words."""


def asked(headers: Sequence[Header]) -> list[Header]:
    """Return the headers of a body that herd wrote, with the client's key where OpenAI has it.

    Ollama takes any type of body, vLLM only JSON's.
    """
    named = {name.lower(): value for name, value in headers}
    kept = [header for header in headers if header[0].lower() != b"content-type"]
    if b"authorization" not in named and (key := named.get(b"x-api-key")):
        kept.append((b"Authorization", b"Bearer " + key))
    return [*kept, (b"Content-Type", b"application/json")]


def told(lines: bytes, content_type: bytes, left_out: Sequence[str]) -> bytes:
    """Return those of an answer, in whole lines, with the names of what was left out of it."""
    kept = [
        line
        for line in lines.splitlines(keepends=True)
        if line.partition(b":")[0].lower() not in _OF_BODY
    ]
    if left_out:
        names = ", ".join(left_out).encode("ascii", "replace")
        kept.append(b"X-Herd-Left-Out: %b\r\n" % names)
    return b"".join((*kept, b"Content-Type: %b\r\n" % content_type))
