"""Unix sockets: how the processes of one herd, and two herds that change places, reach each other.

What Windows lacks of them is an `OSError` here; `herd.platform.HAS_UNIX_SOCKETS` says it before.
"""

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

MOST_AT_ONCE: Final = 64
"""Sockets in one message; Linux takes 253."""
_LACKING: Final = "this system has no Unix sockets that Python could use"


def bind_unix(path: Path) -> socket.socket:
    """Return a socket at this path, in place of what a killed process left, for its owner only."""
    if sys.platform == "win32":
        raise OSError(_LACKING)
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound.bind(str(path))
    path.chmod(0o600)
    return bound


def connect_unix(path: Path, timeout_s: float) -> socket.socket:
    """Return a connection to a socket at this path, whose every wait is bounded so."""
    if sys.platform == "win32":
        raise OSError(_LACKING)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.settimeout(timeout_s)
        made.connect(str(path))
    except OSError:
        made.close()
        raise
    return made


def send_datagram(address: str, said: bytes) -> None:
    """Send a datagram to a socket; nobody there is no error. `@` begins an abstract name."""
    if sys.platform == "win32":
        raise OSError(_LACKING)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, suppress(OSError):
        sender.settimeout(1.0)
        sender.sendto(said, "\0" + address[1:] if address.startswith("@") else address)


async def serve_unix(
    path: Path,
    hear: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]],
) -> asyncio.AbstractServer:
    """Listen on a socket at this path."""
    if sys.platform == "win32":
        raise OSError(_LACKING)
    return await asyncio.start_unix_server(hear, sock=bind_unix(path))


async def open_unix(
    path: Path, limit_bytes: int = 64 * 1024
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a socket at this path."""
    if sys.platform == "win32":
        raise OSError(_LACKING)
    return await asyncio.open_unix_connection(str(path), limit=limit_bytes)


async def speak_unix(path: str, protocol: asyncio.Protocol) -> None:
    """Make a protocol speak on a connection to a socket at this path."""
    if sys.platform == "win32":
        raise OSError(_LACKING)
    await asyncio.get_running_loop().create_unix_connection(lambda: protocol, path)


def hand(over: socket.socket, sockets: Sequence[socket.socket]) -> None:
    """Send open sockets to another process; it has to `take` as many."""
    if sys.platform == "win32":
        raise OSError(_LACKING)
    for at in range(0, len(sockets), MOST_AT_ONCE):
        some = [each.fileno() for each in sockets[at : at + MOST_AT_ONCE]]
        socket.send_fds(over, [b"+"], some)


def take(over: socket.socket, count: int) -> list[socket.socket]:
    """Receive so many open sockets. Raises `OSError` if fewer come."""
    if sys.platform == "win32":
        raise OSError(_LACKING)
    found: list[socket.socket] = []
    while len(found) < count:
        said, descriptors, _, _ = socket.recv_fds(over, 1, MOST_AT_ONCE)
        found += [socket.socket(fileno=each) for each in descriptors]
        if not said or not descriptors:
            for each in found:
                each.close()
            raise OSError(f"{count} sockets were to come, {len(found)} came")
    return found
