"""Timers that a test lets run out when it likes."""

from collections.abc import Callable


class Timer:
    """One that was set."""

    def __init__(self, after_s: float, what: Callable[[], None]) -> None:
        self.after_s = after_s
        self.what = what
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Timers:
    """In the place of a loop's `call_later`."""

    def __init__(self) -> None:
        self.set: list[Timer] = []

    def __call__(self, after_s: float, what: Callable[[], None]) -> Timer:
        self.set.append(Timer(after_s, what))
        return self.set[-1]

    def run_out(self) -> None:
        """Let all those happen that were not cancelled."""
        due, self.set = self.set, []
        for timer in due:
            if not timer.cancelled:
                timer.what()
