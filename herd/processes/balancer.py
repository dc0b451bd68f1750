"""One whole `herd run`, in start order: directory, lock, leftovers, port, children; then back.

A herd whose supervisor was killed gives its lock back at once, but its children need until its
requests have ended, and some seconds. The next one takes the lock, waits for them, and only then
takes the port.
"""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec
import psutil

from herd import admin_token, join_token, platform
from herd.clock import wall_s
from herd.config import Settings
from herd.errors import HerdError
from herd.logs import configure_logging
from herd.paths import DataDir
from herd.processes import port as ports
from herd.processes import run_file, stopped
from herd.processes.child import ChildSpec
from herd.processes.place import Place
from herd.processes.reloading import Reloading, Source
from herd.processes.stuck import Stuck
from herd.processes.successor import Predecessor
from herd.processes.supervisor import FINISH_S, Supervisor, Watch
from herd.version import version

LEFTOVER_WAIT_S = 2.0
"""Beyond the time that requests have to end."""
KILL_WAIT_S = 2.0
POLL_S = 0.02

Say: TypeAlias = Callable[[str], None]
Composition: TypeAlias = Callable[[Settings, ports.Claim], Sequence[ChildSpec]]
"""Which children there are; the settings hold the port that was really taken."""


def run_balancer(
    source: Source,
    composition: Composition,
    watch: Callable[[Settings], Watch],
    say: Say,
    *,
    replace: bool = False,
) -> None:
    """Run until a signal; `watch` is asked once the port is known.

    With `replace`, in the place of the herd that runs on this data directory, if one does.
    """
    settings = source.settings
    directory = settings.directory
    directory.create()
    configure_logging(settings)
    before = Predecessor.knock(directory) if replace else None
    lock = platform.FileLock(directory.lock)
    if before is None and not lock.take():
        raise _owned(directory, lock.holder())
    held: Place | None = None
    try:
        if before is None:
            _end_leftovers(directory, settings.drain_timeout_s + LEFTOVER_WAIT_S, say)
            admin_token.ensure(directory)
            join_token.ensure(directory)
            claim = ports.claim(settings.host, settings.port, settings.workers)
        else:
            claim = before.claim(settings)
        settings = msgspec.structs.replace(settings, port=claim.port)
        held = Place(directory, claim, settings.host, lock, say)
        held.held = before is None

        def specs(now: Settings) -> Sequence[ChildSpec]:
            return composition(now, claim)

        supervisor = _supervisor(settings, specs(settings), watch(settings), held, before)
        held.reload = Reloading(source, settings, specs, supervisor, say).again
        held.environment = source.environment
        supervisor.later(stopped.EVERY_S, stopped.Stopped(supervisor, say).look)
        Stuck(supervisor, say, settings.stuck_after_s).begin()
        supervisor.run()
    finally:
        if held is not None:
            if held.held:
                run_file.remove(directory)
            held.release()
        elif before is None:
            lock.release()
        if before is not None:
            before.close()


def _supervisor(
    settings: Settings,
    specs: Sequence[ChildSpec],
    watch: Watch,
    place: Place,
    before: Predecessor | None,
) -> Supervisor:
    started_at = wall_s()
    platform.set_title("supervisor")

    tell_pids = watch.pids_changed

    def pids_changed(children: dict[str, int]) -> None:
        if not place.held:
            return
        pids = {"supervisor": os.getpid(), **children}
        content = run_file.RunFile(
            version=version(),
            host=settings.host,
            port=settings.port,
            data_dir=str(settings.directory.root),
            tls_cert=str(Path(settings.tls_cert).resolve()) if settings.tls_cert else "",
            started_at=started_at,
            pids=pids,
            born={name: run_file.birth(pid) for name, pid in pids.items()},
        )
        try:
            run_file.write(settings.directory, content)
        except OSError as error:  # a full disk stops no supervisor
            watch.say(f"{settings.directory.run_file} is out of date: {error.strerror}")
        tell_pids(children)

    watch = watch._replace(
        pids_changed=pids_changed,
        ended=place.ended,
        read_again=place.read_again,
        stopping=place.accept_no_more,
    )
    finish_s = settings.drain_timeout_s + FINISH_S
    if before is None:
        place.supervisor = Supervisor(specs, watch, finish_s=finish_s)
        place.open()
    else:
        place.supervisor = _succeed(specs, watch, place, before, finish_s)
    return place.supervisor


def _succeed(
    specs: Sequence[ChildSpec],
    watch: Watch,
    place: Place,
    before: Predecessor,
    finish_s: float,
) -> Supervisor:
    """Return a supervisor whose children stand by until the herd before lets go."""
    told = watch.all_ready

    def all_ready() -> None:
        before.all_ready()
        told()

    def stopping() -> None:
        before.stopping()
        place.accept_no_more()

    watch = watch._replace(
        all_stand_by=before.all_stand_by,
        ready=before.ready,
        all_ready=all_ready,
        stopping=stopping,
        errands=(*watch.errands, *before.errands),
    )
    supervisor = Supervisor(specs, watch, finish_s=finish_s, stand_by=True)
    before.follow(supervisor, place, watch.say)
    place.before_is_gone = lambda: before.gone
    return supervisor


# What was here before


def _owned(directory: DataDir, pid: int) -> HerdError:
    found = run_file.read(directory)
    if found is None or found.pids.get("supervisor", 0) != pid:  # of an earlier one, or of none
        named = f": pid {pid}" if pid else ""
        return HerdError(
            f"{directory.root} belongs to a herd that is just starting or ending{named}",
            "wait for it, or choose another directory with --data-dir",
        )
    return HerdError(
        f"{directory.root} belongs to a running herd: pid {pid}, {found.url}",
        f"replace it (--replace), stop it (kill {pid}), or choose another --data-dir and --port",
    )


def _end_leftovers(directory: DataDir, within_s: float, say: Say) -> None:
    """Wait for the children of a killed supervisor; kill those that do not finish."""
    found = run_file.read(directory)
    left = {} if found is None else run_file.living(found)
    if found is None or not left:
        return
    names = ", ".join(f"{name} (pid {process.pid})" for name, process in left.items())
    say(f"the herd before was killed; waiting for what is left of it: {names}")
    for process in _wait_for_end(found, within_s).values():
        say(f"pid {process.pid} does not finish; it is killed")
        process.kill()
    _wait_for_end(found, KILL_WAIT_S)


def _wait_for_end(found: run_file.RunFile, timeout_s: float) -> dict[str, psutil.Process]:
    """Return who is left then. A zombie has ended, though in a container nobody may bury it."""
    until = time.monotonic() + timeout_s
    while (left := run_file.living(found)) and time.monotonic() < until:
        time.sleep(POLL_S)
    return left
