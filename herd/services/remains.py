"""What a service leaves behind: how large it is, and how to be rid of it.

Balancer and agent may share a directory, and ollama-herd may have files there, too: only what is
herd's own, and of the one that goes, is counted and taken away.
"""

import shutil
from pathlib import Path

from herd.errors import HerdError
from herd.paths import DataDir
from herd.platform import FileLock


def of_balancer(directory: DataDir) -> list[Path]:
    """Return what belongs to a balancer; `run` last, since its lock is there."""
    jsonl = directory.jsonl
    found = [
        directory.journal.parent,
        *sorted(jsonl.parent.glob(f"{jsonl.name}*")),
        directory.admin_token,
        directory.join_token,
        directory.settings_file,
        directory.root / "logs" / "herd-balancer.out",
        directory.run,
    ]
    return [path for path in found if path.exists()]


def of_node(directory: DataDir) -> list[Path]:
    """Return what belongs to an agent: its key, what it learned of its owner."""
    key = directory.node_key
    found = [
        *sorted(key.parent.glob(f"{key.name}*")),
        *sorted(directory.root.glob("owner-*.json")),
        directory.root / "logs" / "herd-node.out",
    ]
    return [path for path in found if path.exists()]


def size_bytes(paths: list[Path]) -> int:
    """Return how much room files and folders take."""
    return sum(
        each.lstat().st_size
        for path in paths
        for each in ([path] if path.is_file() else path.rglob("*"))
        if each.is_file()
    )


def purge(directory: DataDir, paths: list[Path]) -> None:
    """Delete them, and the directory itself if nothing else is in it.

    Raises `HerdError` while a herd runs on it, or where it is not ours to delete.
    """
    if directory.run in paths:
        lock = FileLock(directory.lock)
        if not lock.take():
            raise HerdError(
                f"a herd still runs on {directory.root}: nothing was deleted", "stop it first"
            )
        lock.release()
    try:
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for folder in (directory.root / "logs", directory.root):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise HerdError(f"not everything could be deleted: {error}") from error
