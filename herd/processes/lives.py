"""A child through all its lives: the process that it has now, and when it is to have the next."""

from collections import deque
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import NamedTuple

from herd.processes.child import ChildSpec

FIRST_RESTART_S = 0.1
SLOWEST_RESTART_S = 5.0
QUICK_DEATHS = 5
QUICK_WINDOW_S = 60.0
LONG_LIFE_S = 5.0
"""A child that lived so long does not die of its start: it is started again at once."""


class Child:
    """One child through all its lives."""

    def __init__(self, spec: ChildSpec) -> None:
        """Begin without a process."""
        self.spec = spec
        self.was_ready = False
        """In any of its lives."""
        self.stands_by = False
        """It has rehearsed, and waits for the word to begin."""
        self.rests = False
        """It is not started again when it ends."""
        self.due: float | None = None
        """When to start it (again)."""
        self.gives_signs = False
        """Its present life has given a sign of itself."""
        self.signs = 0
        """How many since somebody looked."""
        self.born = 0.0
        """When its present life began."""
        self.deaths: deque[float] = deque(maxlen=QUICK_DEATHS)
        self.life: Life | None = None

    def delay_s(self, now: float) -> float:
        """Count a death, and return how long to wait before the next life."""
        if now - self.born >= LONG_LIFE_S:
            self.deaths.clear()
        self.deaths.append(now)
        quick = sum(1 for death in self.deaths if now - death < QUICK_WINDOW_S)
        if quick == QUICK_DEATHS:
            return SLOWEST_RESTART_S
        return min(SLOWEST_RESTART_S, FIRST_RESTART_S * (1 << (quick - 1)))


class Life(NamedTuple):
    """One process of a child."""

    process: SpawnProcess
    alive: Connection
    """Our end; closing it tells the child to finish."""
    ready: Connection

    def end(self) -> None:
        """Collect a process that has ended."""
        self.process.join()
        self.process.close()
        self.alive.close()
        self.ready.close()


def how_it_ended(exit_code: int | None) -> str:
    """Say by which signal, or with which exit code."""
    if exit_code is not None and exit_code < 0:
        return f"signal {-exit_code}"
    return f"exit {exit_code}"
