"""One whole `herd run`, in start order: directory, lock, leftovers, port, children; then back.

A herd whose supervisor was killed gives its lock back at once, but its children need up to five
seconds to finish. The next one takes the lock, waits for them, and only then takes the port.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
import psutil

from herd import platform
from herd.clock import wall_s
from herd.config import Settings
from herd.errors import HerdError
from herd.processes import port as ports
from herd.processes import run_file
from herd.processes.child import ChildSpec
from herd.processes.supervisor import Supervisor, Watch
from herd.version import version

LEFTOVER_WAIT_S = 6.0
KILL_WAIT_S = 2.0

Say: TypeAlias = Callable[[str], None]
Composition: TypeAlias = Callable[[Settings, ports.Claim], Sequence[ChildSpec]]
"""Which children there are; the settings hold the port that was really taken."""


class Balancer:
    """A herd between taking its lock and giving it back."""

    def __init__(self, settings: Settings, composition: Composition, say: Say) -> None:
        """Take nothing yet."""
        self.settings = settings
        self._directory = settings.directory
        self._composition = composition
        self._say = say
        self._started_at = 0.0

    def run(self, watch: Callable[[Settings], Watch]) -> None:
        """Run until a signal; `watch` is asked once the port is known."""
        self._directory.create()
        lock = platform.FileLock(self._directory.lock)
        if not lock.take():
            raise self._owned()
        try:
            self._end_leftovers()
            claim = ports.claim(self.settings.host, self.settings.port)
            self.settings = msgspec.structs.replace(self.settings, port=claim.port)
            self._run_children(claim, watch(self.settings))
        finally:
            lock.release()

    def _run_children(self, claim: ports.Claim, watch: Watch) -> None:
        def pids_changed(pids: dict[str, int]) -> None:
            self._write(pids)
            watch.pids_changed(pids)

        self._started_at = wall_s()
        platform.set_title("supervisor")
        specs = self._composition(self.settings, claim)
        try:
            Supervisor(specs, watch._replace(pids_changed=pids_changed)).run()
        finally:
            run_file.remove(self._directory)
            for held in {claim.held, claim.listener} - {None}:
                if held is not None:
                    held.close()

    def _write(self, children: dict[str, int]) -> None:
        pids = {"supervisor": psutil.Process().pid, **children}
        content = run_file.RunFile(
            version=version(),
            host=self.settings.host,
            port=self.settings.port,
            data_dir=str(self._directory.root),
            started_at=self._started_at,
            pids=pids,
            born={name: run_file.birth(pid) for name, pid in pids.items()},
        )
        try:
            run_file.write(self._directory, content)
        except OSError as error:  # a full disk stops no supervisor
            self._say(f"{self._directory.run_file} is out of date: {error.strerror}")

    # What was here before

    def _owned(self) -> HerdError:
        found = run_file.read(self._directory)
        if found is None:
            return HerdError(
                f"{self._directory.root} belongs to a herd that is just starting",
                "use that one, or choose another directory with --data-dir",
            )
        pid = found.pids.get("supervisor", 0)
        return HerdError(
            f"{self._directory.root} belongs to a running herd: pid {pid}, {found.url}",
            f"use that one, stop it (kill {pid}), or choose others: --data-dir and --port",
        )

    def _end_leftovers(self) -> None:
        """Wait for the children of a killed supervisor; kill those that do not finish."""
        found = run_file.read(self._directory)
        left = {} if found is None else run_file.living(found)
        if not left:
            return
        names = ", ".join(f"{name} (pid {process.pid})" for name, process in left.items())
        self._say(f"the herd before was killed; waiting for what is left of it: {names}")
        _, stuck = psutil.wait_procs(left.values(), timeout=LEFTOVER_WAIT_S)
        for process in stuck:
            self._say(f"pid {process.pid} does not finish; it is killed")
            process.kill()
        psutil.wait_procs(stuck, timeout=KILL_WAIT_S)
