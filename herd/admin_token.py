"""The admin token: made at the first start, kept in the data directory, readable by its owner only.

Who knows it may change the fleet from another machine: `herd.http.guard` compares it.
"""

import os
import secrets
from pathlib import Path

from herd.errors import HerdError
from herd.paths import DataDir

VARIABLE = "FLEET_ADMIN_TOKEN"
"""Where commands find the token of a balancer on another machine."""
TOKEN_BYTES = 32
LONGEST_CHARACTERS = 1_024
_MODE = 0o600


def headers() -> list[tuple[bytes, bytes]]:
    """Return what commands send along: the token that the environment holds, if it holds one."""
    token = os.environ.get(VARIABLE, "").strip()
    return [(b"X-Herd-Admin-Token", token.encode("latin-1", "replace"))] if token else []


def ensure(directory: DataDir) -> None:
    """Make the token if there is none; one that somebody wrote there himself is left alone."""
    make(directory.admin_token)


def read(directory: DataDir) -> str:
    """Return the token; nothing where there is none, or none that we may read."""
    return held(directory.admin_token)


def make(path: Path) -> None:
    """Make a file that holds a token, if it is not there."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        return
    except OSError as error:
        raise HerdError(
            f"the token {path} cannot be written: {error.strerror}",
            "choose another data directory with --data-dir or FLEET_DATA_DIR",
        ) from error
    with os.fdopen(file, "w", encoding="ascii") as opened:
        opened.write(secrets.token_urlsafe(TOKEN_BYTES) + "\n")


def held(path: Path) -> str:
    """Return the token that a file holds; nothing where there is none that we may read."""
    try:
        with path.open(encoding="ascii") as opened:
            return opened.read(LONGEST_CHARACTERS).strip()
    except (OSError, UnicodeDecodeError):
        return ""
