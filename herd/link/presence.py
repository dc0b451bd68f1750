"""Which fronts live: each holds a locked file beside control's socket for as long as it does.

The system gives the lock back however a process ends, so a front that is stopped, or slow to come
back to a control that has just started, is told apart from one that is gone. A source is used once,
by one process.
"""

from pathlib import Path
from time import sleep
from typing import Final

from events import Source
from herd.clock import wall_s
from herd.platform import FileLock

_PREFIX: Final = "front-"
_SUFFIX: Final = ".alive"
_STALE_S: Final = 60.0
"""A file so old without a lock is of a front that is gone; a younger one may be just made."""
_TRIES: Final = 50
_TRY_S: Final = 0.01


class Presence:
    """What one front holds."""

    def __init__(self, folder: Path, src: Source) -> None:
        """Name the file."""
        self._path = _path(folder, src)
        self._lock = FileLock(self._path)

    def enter(self) -> None:
        """Be here from now on. A disk that refuses is no reason to serve nobody."""
        try:
            for _ in range(_TRIES):  # somebody may be looking just now
                if self._lock.take():
                    return
                sleep(_TRY_S)
        except OSError:
            return

    def leave(self) -> None:
        """Be gone."""
        self._path.unlink(missing_ok=True)
        self._lock.release()


def lives(folder: Path, src: Source) -> bool:
    """Return whether a front lives."""
    path = _path(folder, src)
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        if not lock.take(mark=False):
            return True
        if wall_s() - path.stat().st_mtime > _STALE_S:
            path.unlink(missing_ok=True)
    except OSError:
        return False
    finally:
        lock.release()
    return False


def sweep(folder: Path) -> None:
    """Take away what killed fronts have left."""
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        lives(folder, Source(path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)))


def _path(folder: Path, src: Source) -> Path:
    return folder / f"{_PREFIX}{src}{_SUFFIX}"
