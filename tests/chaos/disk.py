"""A disk that can be filled and made read-only: a small one of its own where that may be mounted.

Without the right to mount, a limit on the size of files stands in for a full disk (EFBIG, not
ENOSPC). Folders without the right to write stand in for a disk that went read-only; for that herd
runs without root's power to write everywhere.
"""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import psutil

FILLER_BYTES = 1 << 20


class Disk:
    """Where the data directory is."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        """Mount a disk of that size in the folder if that is allowed."""
        self.root = folder / "disk"
        self.root.mkdir(exist_ok=True)
        self.data = self.root / "herd"
        self.before: list[str] = []
        if os.geteuid() == 0 and shutil.which("setpriv"):
            self.before = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"]
        self.small = _mounted(self.root, size_bytes)
        if not self.small:
            sys.stderr.write("NOT a real full disk: this user may not mount one, limits stand in\n")

    @contextlib.contextmanager
    def full(self, writers: dict[str, psutil.Process]) -> Generator[None]:
        """Leave no byte; those who write are needed where only limits can be set."""
        if self.small:
            filler = self.root / "filler"
            try:
                _fill(filler)
                yield
            finally:
                filler.unlink(missing_ok=True)
            return
        try:
            _limit(writers, 0)
            yield
        finally:
            _limit(writers, resource.RLIM_INFINITY)

    def fill_again(self) -> None:
        """Take what was freed meanwhile, as the journal's reserve."""
        if self.small:
            _fill(self.root / "filler")

    @contextlib.contextmanager
    def read_only(self) -> Generator[None]:
        """Let nothing be made anew; files that are open stay writable."""
        folders = [self.data, *(each for each in self.data.rglob("*") if each.is_dir())]
        modes = {each: each.stat().st_mode for each in folders}
        try:
            for each in folders:
                each.chmod(0o500)
            yield
        finally:
            for each, mode in modes.items():
                with contextlib.suppress(FileNotFoundError):
                    each.chmod(mode)

    def close(self) -> None:
        """Give the disk back."""
        if self.small:
            subprocess.run(["umount", "--lazy", str(self.root)], check=False)


def _mounted(root: Path, size_bytes: int) -> bool:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    words = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0700", "herd-chaos", str(root)]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as filler:
        for size in (FILLER_BYTES, 4096, 1):
            with contextlib.suppress(OSError):
                while filler.write(bytes(size)):
                    pass


def _limit(writers: dict[str, psutil.Process], size_bytes: int) -> None:
    for process in writers.values():
        with contextlib.suppress(psutil.Error, PermissionError):
            _, hard = process.rlimit(psutil.RLIMIT_FSIZE)
            process.rlimit(psutil.RLIMIT_FSIZE, (size_bytes, hard))
