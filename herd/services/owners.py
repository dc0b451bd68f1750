"""Who asks, and whose a file is: asked of what a system offers, since not each has owners."""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from herd.errors import HerdError

_NO_LINKS: Final[int] = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


def is_superuser() -> bool:
    """Return whether this process may change the machine: root, or an administrator."""
    effective: Callable[[], int] | None = getattr(os, "geteuid", None)
    if effective is not None:
        return effective() == 0
    windows: Any = getattr(ctypes, "windll", None)
    return windows is not None and bool(windows.shell32.IsUserAnAdmin())


def user_id() -> int:
    """Return the number of this process's user; 0 where users have none."""
    real: Callable[[], int] | None = getattr(os, "getuid", None)
    return 0 if real is None else real()


def make_folder(folder: Path, user: str) -> None:
    """Make a folder that is a user's alone; only root can make another's."""
    folder.mkdir(mode=0o700, parents=True)
    if _NO_LINKS:
        descriptor = os.open(folder, os.O_RDONLY | _NO_LINKS)
        try:
            give(descriptor, user)
        finally:
            os.close(descriptor)


def give(descriptor: int, user: str) -> None:
    """Make what is open a user's own, if we are root; `LookupError` if there is no such user.

    What is open, not what has a name: who owns the folder could put a link there meanwhile.
    """
    if hasattr(os, "geteuid") and is_superuser():
        shutil.chown(descriptor, user)


def become(words: tuple[str, ...]) -> NoReturn:
    """Be another program until it ends."""
    path = shutil.which(words[0])
    if path is None:
        raise HerdError(f"{words[0]} is not installed here")
    try:
        ended = subprocess.run([path, *words[1:]], check=False)  # noqa: S603 (fixed words)
    except KeyboardInterrupt:  # the way out of --follow
        sys.exit(0)
    sys.exit(ended.returncode)
