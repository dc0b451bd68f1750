"""A child that runs, and does nothing, is killed and started again.

A loop that never turns again, or a deadlock: the process lives, so nothing else tells of it, and
clients wait. Rules

1. Each child gives signs of life from where its work is (`herd.processes.beats`), as soon as it
   works; who still starts, or reads a long log, has given none, and is left alone.
2. Looks without a sign are counted, not seconds: where everything was stopped, as with a laptop
   that slept, nobody was looking.
3. Who is stopped, held by a debugger, or waits for a disk, does not count as stuck: the first is
   set going (`herd.processes.stopped`), the second is somebody's will, the third would not end.
4. Who writes the database has longer: nobody waits for it, and some of its steps are long.
"""

from collections.abc import Callable
from math import ceil
from typing import Final

import psutil

from herd.processes.beats import pause_s
from herd.processes.lives import Child
from herd.processes.supervisor import Supervisor

_AT_WORK: Final = {psutil.STATUS_RUNNING, psutil.STATUS_SLEEPING, psutil.STATUS_IDLE}


class Stuck:
    """Looks again and again, and remembers who gave no sign."""

    def __init__(
        self, supervisor: Supervisor, say: Callable[[str], None], stuck_after_s: float
    ) -> None:
        """Know whose children to look at; `look` begins, and is called again from then on."""
        self._supervisor = supervisor
        self._say = say
        self._after_s = stuck_after_s
        self._pause_s = pause_s(stuck_after_s)
        self._silent: dict[int, int] = {}
        """How many looks found no sign of each process, one after the other."""

    def begin(self) -> None:
        """Look from now on, if anybody wants it."""
        if self._after_s:
            self._supervisor.later(self._pause_s, self.look)

    def look(self) -> None:
        """Look at every child once, and again after a while."""
        silent: dict[int, int] = {}
        for child in self._supervisor.children():
            pid = 0 if child.life is None else child.life.process.pid or 0
            signs, child.signs = child.signs, 0
            if signs or not child.gives_signs or not pid:
                continue
            silent[pid] = self._silent.get(pid, 0) + _at_work(pid)
            limit_s = self._after_s * child.spec.patience
            if silent[pid] >= ceil(limit_s / self._pause_s):
                silent[pid] = 0
                self._kill(child, pid, limit_s)
        self._silent = silent
        self._supervisor.later(self._pause_s, self.look)

    def _kill(self, child: Child, pid: int, silent_s: float) -> None:
        if child.life is not None:
            self._say(
                f"{child.spec.name} (pid {pid}) runs, but has done nothing for {silent_s:g} s: it "
                "is killed"
            )
            child.life.process.kill()


def _at_work(pid: int) -> bool:
    """Whether a process could give a sign now, if it wanted."""
    try:
        return psutil.Process(pid).status() in _AT_WORK
    except psutil.Error:
        return False
