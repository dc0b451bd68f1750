"""Virtual time: what is due next, in order; what is due at one instant, in the order it was set."""

import heapq
from collections.abc import Callable
from itertools import count
from math import ceil

from actors.core.state import US


class Agenda:
    """Time itself. It only goes on when it is told to."""

    def __init__(self, start_us: int) -> None:
        """Begin at an instant; seconds are counted from there."""
        self.start_us = start_us
        self.now_us = start_us
        self._order = count()
        self._due: list[tuple[int, int, Callable[[], None]]] = []

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return (self.now_us - self.start_us) / US

    def instant(self, at_s: float) -> int:
        """Return the first instant at which `seconds` is at least so many."""
        after_us = ceil(at_s * US)
        return self.start_us + after_us + (after_us / US < at_s)  # the product may be rounded down

    def at(self, at_us: int, act: Callable[[], None]) -> None:
        """Do something at an instant; one that is past is now."""
        heapq.heappush(self._due, (at_us, next(self._order), act))

    def next_us(self) -> int | None:
        """Return when something is due next; None if nothing is."""
        return self._due[0][0] if self._due else None

    def until(self, at_us: int) -> None:
        """Do all that is due up to an instant, and let it be that instant."""
        while self._due and self._due[0][0] <= at_us:
            due_us, _, act = heapq.heappop(self._due)
            self.now_us = max(self.now_us, due_us)
            act()
        self.now_us = max(self.now_us, at_us)
