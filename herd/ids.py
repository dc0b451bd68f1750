"""Identifiers made by a front: UUIDv7, so that they sort by the time they were made.

48 bits of Unix milliseconds, 12 bits that count within one millisecond, 62 bits that begin at
random in each process and count on. Within one process ids rise strictly, even when the clock goes
back.
"""

import secrets
from collections.abc import Callable

from events import RequestId
from herd.clock import wall_s

_COUNT = (1 << 48) - 1


class RequestIds:
    """A source of request ids."""

    __slots__ = ("_chance", "_count", "_last", "_now_s")

    def __init__(self, now_s: Callable[[], float] = wall_s) -> None:
        """Take the time from `now_s`: seconds since the epoch."""
        self._now_s = now_s
        self._last = 0
        self._chance = f"{0x8000 | secrets.randbits(14):04x}"
        self._count = secrets.randbits(48)

    def next(self) -> RequestId:
        """Return an id greater than any before."""
        tick = int(self._now_s() * 1000) << 12
        last = self._last
        if tick <= last:
            tick = last + 1
        self._last = tick
        count = self._count = (self._count + 1) & _COUNT
        time = f"{tick:015x}"
        return RequestId(f"{time[:8]}-{time[8:12]}-7{time[12:]}-{self._chance}-{count:012x}")
