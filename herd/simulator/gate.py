"""A port that can be shut and opened again, and stays the same port.

Shut, it refuses connections as if nothing ran there: idle ones end, those with an answer under way
end after it.
"""

import asyncio
import socket

from herd.http.server import App, Limits, Listener, listen
from herd.tasks import spawn

REOPEN_TIMEOUT_S = 5.0
_RETRY_S = 0.01
_DRAIN_S = 3600.0
_BACKLOG = 4096
_LIMITS = Limits(streamed=(b"/api/blobs/",))


class Gate:
    """The way into a simulated node."""

    def __init__(self, app: App, host: str, port: int) -> None:
        """Begin shut; port 0 takes any, and keeps it."""
        self.host = host
        self.port = port
        self._app = app
        self._wanted = False
        self._listener: Listener | None = None
        self._opening: asyncio.Task[None] | None = None
        self._draining: list[tuple[Listener, asyncio.Task[None]]] = []

    async def open(self) -> None:
        """Listen, or raise what the system says against it."""
        self._wanted = True
        await self._listen(self._bind())

    def shut(self) -> None:
        """Refuse connections from now on."""
        self._wanted = False
        if self._listener is not None:
            listener, self._listener = self._listener, None
            listener.close()
            drain = spawn(listener.closed(_DRAIN_S), name="simulated node drains")
            self._draining.append((listener, drain))

    def reopen(self) -> None:
        """Listen again, at once if the system lets us."""
        self._wanted = True
        if self._listener is None and self._opening is None:
            self._opening = spawn(self._reopen(self._try()), name="simulated node listens again")

    async def end(self) -> None:
        """End all connections."""
        self.shut()
        for listener, _ in self._draining:
            listener.abort()
        for _, drain in self._draining:
            await drain
        if self._opening is not None:
            await self._opening

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        bound = socket.create_server(
            (self.host, self.port),
            family=family,
            backlog=_BACKLOG,
            dualstack_ipv6=self.host == "::" and socket.has_dualstack_ipv6(),
        )
        self.port = int(bound.getsockname()[1])
        return bound

    def _try(self) -> socket.socket | None:
        try:
            return self._bind()
        except OSError:  # the old socket is not closed before the loop's next turn
            return None

    async def _listen(self, bound: socket.socket) -> None:
        listener = await listen(self._app, socks=(bound,), limits=_LIMITS)
        if self._wanted:
            self._listener = listener
        else:
            listener.abort()

    async def _reopen(self, bound: socket.socket | None) -> None:
        try:
            async with asyncio.timeout(REOPEN_TIMEOUT_S):
                while bound is None and self._wanted:
                    await asyncio.sleep(_RETRY_S)
                    bound = self._try()
                if bound is not None:
                    await self._listen(bound)
        finally:
            self._opening = None
        if self._wanted and self._listener is None:
            self.reopen()
