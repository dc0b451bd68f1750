"""Processes on one machine that cannot slow each other: each with a share of the cores of its own.

A share is a quota of a Linux control group, and its group goes before all others, so that it is
had even while others work. Version 1 and 2 of the groups are written to; version 2 was not run.
Needs root.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PERIOD_US: Final = 10_000
"""How often the quota is given anew: shorter than a step of a model."""
FIRST_1: Final = "100000"
FIRST_2: Final = "10000"
"""Before all others, in each version's unit (others have 1,024 and 100)."""

_V1: Final = Path("/sys/fs/cgroup/cpu")
_V2: Final = Path("/sys/fs/cgroup")


class CannotPartError(Exception):
    """This machine gives no shares of its cores, or not to this user."""


@contextlib.contextmanager
def group(name: str) -> Iterator["Group"]:
    """Make a group that goes before all others; its processes leave it in the end.

    Raises:
        CannotPartError: there are no control groups that we may write.
    """
    made = Group(_root() / f"herd-bench-{name}")
    try:
        yield made
    finally:
        made.end()


class Group:
    """A control group."""

    def __init__(self, folder: Path) -> None:
        """Make it."""
        self._folder = folder
        self._first_version = folder.parent == _V1
        try:
            folder.mkdir(exist_ok=True)
            if self._first_version:
                self._write("cpu.shares", FIRST_1)
            else:
                self._write("cpu.weight", FIRST_2)
        except OSError as error:
            raise CannotPartError(f"no control group at {folder}: {error.strerror}") from error

    def limit(self, cores: float) -> None:
        """Let it have so many cores at most; a part of one is fine."""
        quota_us = round(cores * PERIOD_US)
        if self._first_version:
            self._write("cpu.cfs_period_us", str(PERIOD_US))
            self._write("cpu.cfs_quota_us", str(quota_us))
        else:
            self._write("cpu.max", f"{quota_us} {PERIOD_US}")

    def take(self, pid: int) -> None:
        """Bring a process in, with all its threads and those to come."""
        self._write("cgroup.procs", str(pid))

    def end(self) -> None:
        """Send what is in it away, and remove it."""
        for pid in (self._folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (self._folder.parent / "cgroup.procs").write_text(pid)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _write(self, name: str, content: str) -> None:
        (self._folder / name).write_text(content)


def _root() -> Path:
    if (_V1 / "cpu.shares").exists():
        return _V1
    if (_V2 / "cgroup.controllers").exists():
        with contextlib.suppress(OSError):
            (_V2 / "cgroup.subtree_control").write_text("+cpu")
        return _V2
    raise CannotPartError("no control groups here: this needs Linux")
