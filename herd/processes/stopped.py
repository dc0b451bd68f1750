"""A child that was stopped (SIGSTOP) and forgotten is set going again.

It has not ended, so nothing tells of it: the system takes connections for a stopped front, and all
that it has and gets waits; for a stopped control every new request does. One that goes on has lost
nothing, while one that is killed would. Looks are counted, not seconds: where everything was
stopped, as with a laptop that slept, nobody was looking. What a debugger has stopped is left alone.
"""

from collections.abc import Callable
from typing import Final

import psutil

from herd.processes.supervisor import Supervisor

EVERY_S = 5.0
"""Between two looks."""
LOOKS: Final = 6
"""That find a child stopped, one after the other, before it is set going: some 30 s."""


class Stopped:
    """Looks again and again, and remembers what it saw."""

    def __init__(self, supervisor: Supervisor, say: Callable[[str], None]) -> None:
        """Know whose children to look at; `look` begins, and is called again from then on."""
        self._supervisor = supervisor
        self._say = say
        self._found: dict[int, int] = {}
        """How often each process was found stopped, one look after the other."""

    def look(self) -> None:
        """Look at every child once, and again after a while."""
        found: dict[int, int] = {}
        for child in self._supervisor.children():
            pid = 0 if child.life is None else child.life.process.pid or 0
            process = _if_stopped(pid)
            if process is None:
                continue
            found[pid] = self._found.get(pid, 0) + 1
            if found[pid] >= LOOKS:
                self._resume(child.spec.name, process)
        self._found = found
        self._supervisor.later(EVERY_S, self.look)

    def _resume(self, name: str, process: psutil.Process) -> None:
        try:
            process.resume()
        except psutil.Error:
            return
        self._say(
            f"{name} (pid {process.pid}) was stopped by a signal for {LOOKS * EVERY_S:g} s, and "
            "clients wait for it: it is set going again"
        )


def _if_stopped(pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return process if pid and process.status() == psutil.STATUS_STOPPED else None
    except psutil.Error:
        return None
