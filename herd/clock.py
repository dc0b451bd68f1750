"""The one place that reads the wall clock.

Instants that enter a decision come from `Clock`: wall time at its start plus monotonic time since,
never going back, not even across a restart (`not_before` is the last instant of the log).
"""

import time


class Clock:
    """Control's clock: microseconds since the epoch, UTC."""

    def __init__(self, not_before_us: int = 0) -> None:
        """Start at the wall clock, or just after `not_before_us` if that is later."""
        start_us = max(time.time_ns() // 1000, not_before_us + 1)  # noqa: TID251 (this is the port)
        self._offset_us = start_us - time.monotonic_ns() // 1000

    def now_us(self) -> int:
        """Return the current instant."""
        return time.monotonic_ns() // 1000 + self._offset_us


def wall_s() -> float:
    """Return seconds since the epoch: for log lines and answers, never for a decision."""
    return time.time()  # noqa: TID251 (this is the port)
