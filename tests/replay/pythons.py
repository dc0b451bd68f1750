"""The Pythons that are here, and msgspec for each of them, kept below the environment's folder."""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

OLDEST, NEWEST = 11, 14
"""Minor versions of Python 3."""
_SAY = "import sys; print(*sys.version_info[:3]); print(sys.executable)"


class Python(NamedTuple):
    """Another interpreter."""

    version: tuple[int, int, int]
    path: str


def others() -> list[Python]:
    """Return one interpreter of each version but this one's: the newest that works."""
    found: dict[int, Python] = {}
    for candidate in _candidates():
        python = _asked(candidate)
        if python is None or python.version[1] == sys.version_info.minor:
            continue
        known = found.get(python.version[1])
        if known is None or known.version < python.version:
            found[python.version[1]] = python
    return [found[minor] for minor in sorted(found)]


def library(python: Python) -> Path:
    """Return a folder with this environment's msgspec for another interpreter.

    Raises `CalledProcessError` where it cannot be had.
    """
    wanted = metadata.version("msgspec")
    folder = Path(sys.prefix) / "pythons" / f"3.{python.version[1]}-msgspec-{wanted}"
    if not folder.exists():
        fresh = folder.with_name(f"{folder.name}.{os.getpid()}")
        command = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check"]
        command += ["--python", python.path, "install", "--no-deps", "--target", str(fresh)]
        subprocess.run([*command, f"msgspec=={wanted}"], check=True, capture_output=True, text=True)
        if folder.exists():
            shutil.rmtree(fresh)
        else:
            fresh.rename(folder)
    return folder


def _candidates() -> list[str]:
    """Return what may be an interpreter: on PATH, and those of pyenv behind its shims."""
    minors = range(OLDEST, NEWEST + 1)
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    behind = [str(path) for minor in minors for path in root.glob(f"3.{minor}.*/bin/python3")]
    on_path = [shutil.which(f"python3.{minor}") for minor in minors]
    return behind + [path for path in on_path if path is not None]


def _asked(candidate: str) -> Python | None:
    """Return which version answers: a shim answers only where its version was chosen."""
    done = subprocess.run([candidate, "-c", _SAY], capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    version, path = done.stdout.splitlines()
    major, minor, patch = (int(part) for part in version.split())
    return Python((major, minor, patch), path) if (major, minor) >= (3, OLDEST) else None
