"""The one place that reads the wall clock.

Instants that enter a decision come from `Clock`: wall time at its start plus monotonic time since,
never going back, not even across a restart (`not_before` is the last instant of the log). The two
part while the machine sleeps, and when somebody sets its clock: `follow` makes up for that.
"""

import time

US = 1_000_000
LEAST_AHEAD_US = US
"""Clocks that are disciplined drift by less."""


class Clock:
    """Control's clock: microseconds since the epoch, UTC."""

    def __init__(self, not_before_us: int = 0) -> None:
        """Start at the wall clock, or just after `not_before_us` if that is later."""
        start_us = max(wall_us(), not_before_us + 1)
        self._offset_us = start_us - time.monotonic_ns() // 1000

    def now_us(self) -> int:
        """Return the current instant."""
        return time.monotonic_ns() // 1000 + self._offset_us

    def follow(self) -> int:
        """Go on to the wall clock if that is ahead; return by how much, 0 if it is not.

        It is for times when nothing is under way: to all that is, it would have taken so much
        longer.
        """
        ahead_us = wall_us() - self.now_us()
        if ahead_us < LEAST_AHEAD_US:
            return 0
        self._offset_us += ahead_us
        return ahead_us


def wall_s() -> float:
    """Return seconds since the epoch: for log lines and answers, never for a decision."""
    return time.time()  # noqa: TID251 (this is the port)


def wall_us() -> int:
    """Return microseconds since the epoch, as the machine's clock has them."""
    return time.time_ns() // 1000  # noqa: TID251 (this is the port)
