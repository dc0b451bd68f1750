"""What every child of the supervisor is, and does first.

A child gets two pipes. `alive` ends when the supervisor wants it to finish, or is gone; before
that it carries the few words below. Over `ready` the child says once that it works (`say_ready`),
or why it cannot: a `HerdError` raised before that is carried to the supervisor, which shows it and
gives up. After that it gives signs of life there (`herd.processes.beats`).

A child of a herd that takes another's place stands by first: it imports and reads all that it can
without disturbing anybody, says so, and begins at the word `GO`.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Final, NamedTuple, TypeAlias

import msgspec

from herd import platform
from herd.config import Changes, Settings
from herd.errors import HerdError
from herd.processes.beats import BEAT, Beats
from herd.unix_sockets import hand, take

Start: TypeAlias = Callable[[Connection, Connection], None]
"""Runs a child until `alive` ends; a module's function or a `partial` of one (spawn pickles it)."""
Rehearse: TypeAlias = Callable[[], None]
"""What a child can do before its turn comes. Raises `HerdError` for what would keep it from it."""

EXPECTED_EXIT = 3
_READY = b"ready"
_STANDS_BY = b"stands by"
_FAILED = b"failed\n"

# The supervisor's words

GO: Final = b"go "
"""Begin, with as many listening sockets as it says, which follow."""
LEND: Final = b"lend"
"""To a front: send your listening sockets."""
REST: Final = b"rest"
"""To who writes the log: let go of it."""
LEAVE: Final = b"leave"
"""To a front: take no more clients, and end once those that are here are served."""
CHANGE: Final = b"change "
"""To who decides, and to fronts: take these settings, in JSON."""
CHANGED: Final = b"changed "
"""The answer of who decides: which have changed, with the old and the new value, in JSON."""
RESTED: Final = b"rested"
"""The answer of a process that rests and does not end."""


def nothing() -> None:
    """Rehearse nothing."""


class ChildSpec(NamedTuple):
    """One child, as the supervisor knows it."""

    name: str
    """Its title and its key in `run/herd.json`: `control`, `logd`, `front 1`."""
    start: Start
    stop_rank: int
    """Lower ranks are stopped first: fronts 0, control 1, logd 2."""
    grace_s: float
    """How long it may take to finish before it is killed."""
    rehearse: Rehearse = nothing
    listens: bool = False
    """Whether clients come to it."""
    decides: bool = False
    """Whether it writes the log."""
    patience: float = 1.0
    """How many times as long as others it may give no sign of life."""


class _Inherited:
    """What this process got of the herd whose place it takes."""

    def __init__(self) -> None:
        self.place = False
        """Whether there was one."""
        self.sockets: tuple[socket.socket, ...] = ()
        """That listen."""


inherited: Final = _Inherited()


def child_main(
    name: str,
    start: Start,
    alive: Connection,
    ready: Connection,
    rehearse: Rehearse | None = None,
) -> None:
    """Run as the child process; stand by first if there is something to rehearse."""
    platform.set_title(name)
    platform.die_with_parent()
    # A Ctrl-C reaches the whole terminal; the order of finishing is the supervisor's business.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for hangup in platform.reload_signals():
        signal.signal(hangup, signal.SIG_IGN)
    try:
        if rehearse is not None:
            rehearse()
            ready.send_bytes(_STANDS_BY)
            try:
                inherited.sockets = tuple(receive_sockets(alive))
                inherited.place = True
            except (EOFError, OSError):
                return  # not needed after all
        start(alive, ready)
    except HerdError as error:
        ready.send_bytes(_FAILED + f"{error.what}\n{error.next_step}".encode())
        sys.exit(EXPECTED_EXIT)


def say_ready(ready: Connection, settings: Settings | None = None) -> Beats:
    """Tell the supervisor that this child does its work now; return what tells it of that later."""
    ready.send_bytes(_READY)
    return Beats(ready, settings.stuck_after_s if settings else 0.0)


def settings_in(word: bytes) -> Settings:
    """Return the settings of `CHANGE`."""
    return msgspec.json.decode(word.removeprefix(CHANGE), type=Settings)


def say_changed(alive: Connection, changed: Changes) -> None:
    """Answer `CHANGE`."""
    with suppress(OSError):
        alive.send_bytes(CHANGED + msgspec.json.encode(changed))


def heard(ready: Connection) -> HerdError | bool | None:
    """Return what a child said: whether it works, and not only stands by; or why it cannot.

    None is a sign of life. Raises EOFError if it ended without a word.
    """
    said = ready.recv_bytes()
    if said == BEAT:
        return None
    if not said.startswith(_FAILED):
        return said == _READY
    what, _, next_step = said.removeprefix(_FAILED).decode().rpartition("\n")
    return HerdError(what, next_step)


def send_sockets(pipe: Connection, sockets: Sequence[socket.socket]) -> None:
    """Send open sockets over a pipe."""
    pipe.send_bytes(GO + b"%d" % len(sockets))
    if sockets:
        with _raw(pipe) as over:
            hand(over, sockets)


def receive_sockets(pipe: Connection) -> list[socket.socket]:
    """Receive what was lent. Raises `OSError` or EOFError if nothing of the kind comes."""
    said = pipe.recv_bytes()
    if not said.startswith(GO):
        raise OSError(f"no sockets came, but {said!r}")
    count = int(said.removeprefix(GO))
    if not count:
        return []
    with _raw(pipe) as over:
        return take(over, count)


def _raw(pipe: Connection) -> socket.socket:
    """Return the socket below a pipe once more."""
    return socket.socket(fileno=os.dup(pipe.fileno()))
