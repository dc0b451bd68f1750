"""One HTTP/1.1 server: a client's bytes become exchanges, an exchange becomes bytes.

Rules
1. The app is called once a request, on the loop, when the whole body is there. It answers then or
   later, through the exchange. Answers leave in the order of the requests.
2. Reading is never paused: a paused transport sees neither FIN nor RST, and a client that leaves
   must be seen at once. What a client sends ahead is bounded instead (`Limits.pipelined`). The one
   exception is a body that is passed on while it comes (`herd.http.upload`).
3. `ahead` is called with requests whose bodies are large, when their heads have come: it may answer
   those that need not be read any further, and says how large the body of another may be.
4. FIN means that the client has gone, as Ollama has it.
5. No Task, Future or timer for a request: one sweep a second bounds every wait.
"""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Sequence
from email.utils import formatdate
from typing import Final

from herd.clock import wall_s
from herd.http.bodies import Bodies
from herd.http.connection import SWEEP_S, Ahead, App, Connection
from herd.http.exchange import Exchange, Request
from herd.http.reader import Limits
from herd.http.wire import Header

__all__ = [
    "App",
    "Connection",
    "Exchange",
    "Header",
    "Limits",
    "Listener",
    "Request",
    "listen",
]

BACKLOG: Final = 4_096

_log = logging.getLogger("herd.http.server")


class Listener:
    """A listening socket, its connections, and the one timer that bounds them."""

    def __init__(
        self,
        app: App,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        ahead: Ahead | None = None,
    ) -> None:
        """Start the sweep; `listen` adds the socket."""
        self.app = app
        self.ahead = ahead or self._as_large_as_any
        self.limits = limits
        self.bodies = Bodies(limits.bodies_bytes)
        self.connections: set[Connection] = set()
        self.closing = False
        self._loop = loop
        self._servers: list[asyncio.Server] = []
        self._empty: asyncio.Event | None = None
        self._sweep()

    @property
    def port(self) -> int:
        """The port of the first socket."""
        sockets = [sock for server in self._servers for sock in server.sockets]
        return int(sockets[0].getsockname()[1]) if sockets else 0

    @property
    def busy(self) -> bool:
        """Whether somebody is being answered, or asks just now."""
        return any(connection.busy for connection in self.connections)

    def sockets(self) -> list[socket.socket]:
        """Return the sockets that it listens on once more, for another process to listen on."""
        bound = [each for server in self._servers for each in server.sockets]
        return [socket.socket(fileno=os.dup(each.fileno())) for each in bound]

    def leave(self) -> None:
        """Accept nothing more; every answer from now on says that it is its connection's last.

        Idle connections stay, since a request may be on its way: `close` ends them.
        """
        self.closing = True
        for server in self._servers:
            server.close()

    def close(self) -> None:
        """Accept nothing more; idle connections end now, the others after their answer."""
        self.leave()
        for connection in tuple(self.connections):
            connection.retire()

    async def closed(self, timeout_s: float) -> None:
        """Wait for the last connection, at most so long; then end what is left."""
        self._empty = asyncio.Event()
        if self.connections:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._empty.wait()
            except TimeoutError:
                _log.warning("%d connections were cut at the end", len(self.connections))
        self.abort()
        await asyncio.sleep(0)  # the transports say goodbye

    def abort(self) -> None:
        """End everything now."""
        self.close()
        self._timer.cancel()
        for connection in tuple(self.connections):
            connection.drop()

    def attach(self, server: asyncio.Server) -> None:
        """Take a server over."""
        self._servers.append(server)

    def forget(self, connection: Connection) -> None:
        """Let a lost connection go."""
        self.connections.discard(connection)
        if self._empty is not None and not self.connections:
            self._empty.set()

    def _as_large_as_any(self, _exchange: Exchange) -> int:
        return self.limits.body_bytes

    def _sweep(self) -> None:
        self.now_s = self._loop.time()
        self.date = b"Date: %b\r\n" % formatdate(wall_s(), usegmt=True).encode("ascii")
        for connection in tuple(self.connections):
            connection.sweep(self.now_s)
        self._timer = self._loop.call_later(SWEEP_S, self._sweep)


async def listen(  # noqa: PLR0913 (each is one of the ways to listen)
    app: App,
    *,
    ahead: Ahead | None = None,
    host: str | Sequence[str] = (),
    port: int = 0,
    limits: Limits | None = None,
    reuse_port: bool = False,
    socks: Sequence[socket.socket] = (),
    tls: ssl.SSLContext | None = None,
) -> Listener:
    """Listen on an address or several, or on sockets that somebody else has bound."""
    loop = asyncio.get_running_loop()
    listener = Listener(app, limits or Limits(), loop, ahead)

    def connection() -> Connection:
        return Connection(listener)

    waits_s = None if tls is None else listener.limits.handshake_timeout_s
    for sock in socks:
        server = await loop.create_server(
            connection, sock=sock, backlog=BACKLOG, ssl=tls, ssl_handshake_timeout=waits_s
        )
        listener.attach(server)
    if not socks:
        server = await loop.create_server(
            connection,
            host,
            port,
            backlog=BACKLOG,
            reuse_port=reuse_port or None,
            ssl=tls,
            ssl_handshake_timeout=waits_s,
        )
        listener.attach(server)
    return listener
