"""The beginnings of a prompt, by which a node's cache may know it: hashes, never the text.

A conversation is sent again whole with each turn, so what a node has taken in of the last one is a
beginning of the next. Each beginning ends where a message ends. Of long conversations only the
first is told, which others may share, and those near the end, with which the next turn goes on.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from events import Prefix

NEAR_THE_END: Final = (1, 2, 3, 5)
"""Counted from the last message: a turn adds two, or four where tools were called meanwhile."""
LEAST_BYTES: Final = 1_000
"""Of a body: what a shorter one has in common with another is taken in before it could matter."""
DIGEST_BYTES: Final = 8
MOST_BYTES: Final = 64 * 1024
"""Of a longer part both ends of that size and its length stand for all of it: pictures are long,
and who reads megabytes byte by byte keeps everybody else on the loop waiting."""


def prefixes(
    head: Sequence[bytes | memoryview], messages: Sequence[bytes | memoryview]
) -> tuple[Prefix, ...]:
    """Return the beginnings of a prompt, from what stands before its messages and from these."""
    digest = blake2b(digest_size=DIGEST_BYTES)
    size_bytes = 0
    for part in head:
        if part:
            _update(digest, part)
            size_bytes += len(part)
    left = len(messages)
    found: list[Prefix] = []
    for message in messages:
        _update(digest, message)
        size_bytes += len(message)
        if left in NEAR_THE_END or not found:
            found.append(Prefix(digest.hexdigest(), size_bytes))
        left -= 1
    return tuple(found)


def _update(digest: blake2b, part: bytes | memoryview) -> None:
    if len(part) <= 2 * MOST_BYTES:
        digest.update(part)
        return
    view = memoryview(part)
    digest.update(b"%d" % len(part))
    digest.update(view[:MOST_BYTES])
    digest.update(view[-MOST_BYTES:])
