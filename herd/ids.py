"""Identifiers made by a front: UUIDv7, so that they sort by the time they were made.

48 bits of Unix milliseconds, 12 bits that count within one millisecond, 62 random bits. Within one
process they rise strictly, even when the clock goes back.
"""

import random
from collections.abc import Callable

from events import RequestId
from herd.clock import wall_s

_FORM = "%08x-%04x-7%03x-%04x-%012x"


class RequestIds:
    """A source of request ids."""

    __slots__ = ("_chance", "_last", "_now_s")

    def __init__(self, now_s: Callable[[], float] = wall_s) -> None:
        """Take the time from `now_s`: seconds since the epoch."""
        self._now_s = now_s
        self._last = 0
        seed = random.SystemRandom().getrandbits(128)
        self._chance = random.Random(seed)  # noqa: S311 (an id is no secret)

    def next(self) -> RequestId:
        """Return an id greater than any before."""
        tick = int(self._now_s() * 1000) << 12
        tick = self._last = tick if tick > self._last else self._last + 1
        chance = self._chance.getrandbits(62)
        return RequestId(
            _FORM
            % (
                tick >> 28,
                tick >> 12 & 0xFFFF,
                tick & 0xFFF,
                0x8000 | chance >> 48,
                chance & 0xFFFFFFFFFFFF,
            )
        )
