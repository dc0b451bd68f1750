"""What every child of the supervisor is, and does first.

A child gets two pipes. `alive` says nothing and ends when the supervisor wants it to finish, or is
gone. Over `ready` the child says once that it works (`say_ready`), or why it cannot: a `HerdError`
raised before that is carried to the supervisor, which shows it and gives up.
"""

import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple, TypeAlias

from herd import platform
from herd.errors import HerdError

Start: TypeAlias = Callable[[Connection, Connection], None]
"""Runs a child until `alive` ends; a module's function or a `partial` of one (spawn pickles it)."""

EXPECTED_EXIT = 3
_READY = b"ready"
_FAILED = b"failed\n"


class ChildSpec(NamedTuple):
    """One child, as the supervisor knows it."""

    name: str
    """Its title and its key in `run/herd.json`: `control`, `logd`, `front 1`."""
    start: Start
    stop_rank: int
    """Lower ranks are stopped first: fronts 0, control 1, logd 2."""
    grace_s: float
    """How long it may take to finish before it is killed."""


def child_main(name: str, start: Start, alive: Connection, ready: Connection) -> None:
    """Run as the child process."""
    platform.set_title(name)
    platform.die_with_parent()
    # A Ctrl-C reaches the whole terminal; the order of finishing is the supervisor's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        start(alive, ready)
    except HerdError as error:
        ready.send_bytes(_FAILED + f"{error.what}\n{error.next_step}".encode())
        sys.exit(EXPECTED_EXIT)


def say_ready(ready: Connection) -> None:
    """Tell the supervisor that this child does its work now."""
    ready.send_bytes(_READY)


def heard(ready: Connection) -> HerdError | None:
    """Return what a child said: None is ready. Raises EOFError if it ended without a word."""
    said = ready.recv_bytes()
    if not said.startswith(_FAILED):
        return None
    what, _, next_step = said.removeprefix(_FAILED).decode().rpartition("\n")
    return HerdError(what, next_step)
