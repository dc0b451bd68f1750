"""Starts herd with the variables of a file: `python -m herd.services.start FILE LOG WORDS...`.

For launchd and Windows, which cannot read such a file themselves; systemd can, and the file is
written as it reads it. What is said goes into LOG, or where it always goes if that is `-`.
"""

import os
import sys
from pathlib import Path
from typing import Final

from herd.errors import HerdError
from herd.services.plan import Service
from herd.settings_file import read

TERMINAL: Final = "-"


def words_for(service: Service, log: str = TERMINAL) -> list[str]:
    """Return the whole command that starts a service by this module."""
    file = str(service.environment_file)
    return [sys.executable, "-P", "-m", "herd.services.start", file, log, *service.words]


def main(arguments: list[str]) -> None:
    """Take the variables, then be herd."""
    file, log, *words = arguments
    path = Path(file)
    if path.exists():
        try:
            os.environ.update(read(path.read_text("utf-8"), named=file))
        except HerdError as error:
            raise SystemExit(f"herd: {error.what}") from error
    if log != TERMINAL:
        _say_into(Path(log))
    from herd.cli import main as herd

    herd(words)


def _say_into(path: Path) -> None:
    """Write what is said to a file: a task of Windows has no terminal, and nobody to listen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(descriptor, number)
        setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False, buffering=1))


if __name__ == "__main__":
    main(sys.argv[1:])
