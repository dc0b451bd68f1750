"""The way to a node that nobody can dial: `relay://NODE`, whose agent keeps connections open here.

A front has them (`herd.http.tunnels`); control has none, and is lent one by a front, at a Unix
socket that is its owner's alone: a line with the node's name, an answer of one line that is empty
if there is one, then the connection. Where a process finds them is set once, at its start.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Final, Protocol, cast

from events import NodeId
from herd.http.splice import splice
from herd.unix_sockets import open_unix, serve_unix

SCHEME: Final = "relay"
LENT_S: Final = 5.0
"""How long a front waits for a connection that it is to lend."""
_SOCKETS: Final = "relay-*.sock"
_NONE: Final = "the node's agent has no connection here"


class Spares(Protocol):
    """Who has connections to agents."""

    async def take(self, node_id: NodeId) -> asyncio.Transport:
        """Return a connection that is as good as dialled, as soon as there is one."""
        ...


class Detour:
    """Where this process finds them."""

    def __init__(self) -> None:
        """Begin with nowhere."""
        self.spares: Spares | None = None
        """Its own."""
        self.folder: Path | None = None
        """Where those are that lend theirs."""


detour: Final = Detour()


def socket_of(folder: Path, front: int) -> Path:
    """Return where a front lends its connections."""
    return folder / _SOCKETS.replace("*", str(front))


async def attach(node: str, protocol: asyncio.Protocol) -> None:
    """Make a protocol speak on a connection of this process's own. Raises `OSError`."""
    if detour.spares is None:
        raise ConnectionRefusedError(_NONE)
    transport = await detour.spares.take(NodeId(node))
    transport.set_protocol(protocol)
    protocol.connection_made(transport)


async def opened(node: str, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection as streams, our own or a lent one. Raises `OSError`."""
    if detour.spares is None:
        return await _lent(node)
    reader = asyncio.StreamReader(limit=limit)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport = await detour.spares.take(NodeId(node))
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())


async def _lent(node: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    folder = detour.folder
    for path in sorted(folder.glob(_SOCKETS)) if folder is not None else ():
        try:
            reader, writer = await open_unix(path)
        except OSError:
            continue  # of a front that is gone
        with contextlib.suppress(OSError):
            writer.write(node.encode() + b"\n")
            if await reader.readline() == b"\n":
                return reader, writer
        writer.transport.abort()
    raise ConnectionRefusedError(_NONE)


async def lend(path: Path, spares: Spares) -> asyncio.AbstractServer:
    """Lend connections to the other processes of this herd, until the server is closed."""
    lent: set[asyncio.StreamWriter] = set()  # who is dropped is closed

    async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(LENT_S):
                node = (await reader.readline()).decode("ascii", "replace").strip()
                transport = await spares.take(NodeId(node))
        except (TimeoutError, ValueError, OSError):
            writer.write(b"none\n")
            writer.close()
        else:
            writer.write(b"\n")
            lent.add(writer)
            splice(
                cast("asyncio.Transport", writer.transport),
                transport,
                over=lambda: lent.discard(writer),
            )

    return await serve_unix(path, asked)
