"""Identifiers made by a front: UUIDv7, so that they sort by the time they were made.

48 bits of Unix milliseconds, 12 bits that count within one millisecond, 62 random bits. Within one
process they rise strictly, even when the clock goes back.
"""

import secrets
from collections.abc import Callable

from events import RequestId
from herd.clock import wall_s

_VERSION = 7 << 76
_VARIANT = 2 << 62


class RequestIds:
    """A source of request ids."""

    __slots__ = ("_last", "_now_s")

    def __init__(self, now_s: Callable[[], float] = wall_s) -> None:
        """Take the time from `now_s`: seconds since the epoch."""
        self._now_s = now_s
        self._last = 0

    def next(self) -> RequestId:
        """Return an id greater than any before."""
        tick = int(self._now_s() * 1000) << 12
        tick = self._last = tick if tick > self._last else self._last + 1
        number = (tick >> 12) << 80 | _VERSION | (tick & 0xFFF) << 64 | _VARIANT
        text = f"{number | secrets.randbits(62):032x}"
        return RequestId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")
