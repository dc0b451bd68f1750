"""How bytes come to stay on a disk, and how room on it is kept.

What a system lacks (`fdatasync`, syncing a folder, allocating) is replaced by the nearest thing.
"""

import os
from pathlib import Path

BINARY = getattr(os, "O_BINARY", 0)
"""Without it Windows rewrites line ends."""

_ZEROS = bytes(1 << 20)


def sync_data(descriptor: int) -> None:
    """Return once the file's bytes are on the disk."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


def sync_file(path: Path) -> None:
    """Return once a closed file's bytes are on the disk."""
    descriptor = os.open(path, os.O_RDWR | BINARY)
    try:
        sync_data(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Return once the names in a folder are on the disk, where folders can be synced."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def allocate(path: Path, size_bytes: int) -> None:
    """Make a file that really occupies `size_bytes`; a shorter one is replaced.

    Raises `OSError` if there is no room, and then leaves no file.
    """
    if path.exists() and path.stat().st_size == size_bytes:
        return
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, 0o600)
    try:
        _fill(descriptor, size_bytes)
    except OSError:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    os.close(descriptor)


def _fill(descriptor: int, size_bytes: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size_bytes)
        return
    left = size_bytes
    while left > 0:
        left -= os.write(descriptor, _ZEROS[:left])
