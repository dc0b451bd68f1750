"""A front: HTTP in and out, in one process. What it does is in `herd.http`; this is its order."""

import asyncio
import contextlib
import gc
import secrets
import ssl
from multiprocessing.connection import Connection

from events import Source
from herd import admin_token, join_token, platform
from herd.config import Settings
from herd.http import tls
from herd.http.detour import detour, lend, socket_of
from herd.http.door import Door
from herd.http.endpoints.inference import Waits
from herd.http.front import LIMITS
from herd.http.front import Front as FrontApp
from herd.http.gate import Gate
from herd.http.guard import Guard
from herd.http.server import Listener, listen
from herd.link.client import LinkClient
from herd.link.messages import Cancel, Refuse
from herd.logs import configure_logging
from herd.processes.child import say_ready
from herd.processes.port import Listeners, hosts

WELCOME_S = 1.0
"""How long the port stays closed for control's first word; then requests wait inside instead."""
RENEW_S = 10.0
"""Between two looks at the files of the certificate."""
DRAIN_S = 4.2
"""For requests that wait or run, once asked to finish."""
DRAIN_POLL_S = 0.02
GOODBYE_S = 0.5
"""For the last bytes to leave."""
STOPPING = "herd_is_stopping"
RETRY_AFTER_S = 5


def run_front(
    settings: Settings,
    number: int,
    listeners: Listeners,
    alive: Connection,
    ready: Connection,
) -> None:
    """Run one front until `alive` ends; `listeners` are inherited where the port is not shared."""
    configure_logging(settings)
    platform.run_loop(_main(settings, number, listeners, alive, ready))


async def _main(
    settings: Settings,
    number: int,
    inherited: Listeners,
    alive: Connection,
    ready: Connection,
) -> None:
    finished = asyncio.Event()
    platform.on_finish(alive, finished.set)
    front = Front(settings, number)
    front.link.follow(settings.directory.control_socket, front.app)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(front.link.welcomed(), WELCOME_S)
    listener = await front.listen(inherited)
    gc.collect()
    gc.freeze()
    say_ready(ready)
    await finished.wait()
    await front.stop(listener)


class Front:
    """A front on the running loop, in a process of its own or beside control."""

    def __init__(self, settings: Settings, number: int) -> None:
        """Make the link and the app; the caller connects the link."""
        self._settings = settings
        self._number = number
        self._lent: asyncio.AbstractServer | None = None
        self._tls = tls.renewal(settings)
        tls.believe(settings)
        self.link = LinkClient(Source(f"f{number}-{secrets.token_hex(3)}"), number)
        waits = Waits(settings.hold_timeout_s, settings.queue_timeout_s)
        self.app = FrontApp(
            self.link,
            gate=Gate(settings),
            guard=Guard(admin_token.read(settings.directory)),
            door=Door(
                join_token.mode(settings),
                join_token.read(settings.directory),
                unsigned=settings.allow_unsigned_nodes,
            ),
            waits=waits,
            logd=settings.directory.logd_socket,
            settings=settings,
        )
        detour.spares = self.app.tunnels

    async def listen(self, inherited: Listeners) -> Listener:
        """Take clients; and, where control is another process, lend it connections."""
        if self._settings.workers:
            path = socket_of(self._settings.directory.sockets, self._number)
            self._lent = await lend(path, self.app.tunnels)
        return await listen(
            self.app,
            host=hosts(self._settings.host),
            port=self._settings.port,
            limits=LIMITS,
            reuse_port=platform.PORT_SHARING == "reuseport",
            socks=inherited,
            tls=self._shown(),
        )

    def _shown(self) -> ssl.SSLContext | None:
        """Return what clients are shown, which is looked after from now on."""
        if self._tls is None:
            return None
        self._renew(self._tls)
        return self._tls.context

    def _renew(self, shown: tls.Renewal) -> None:
        shown.look()
        asyncio.get_running_loop().call_later(RENEW_S, self._renew, shown)

    async def stop(self, listener: Listener) -> None:
        """Take no more clients, let requests end or tell them why not, leave control last."""
        listener.close()
        self.app.feed.close()
        self.app.lobby.close()
        await self._drain()
        waiting, in_flight = self.app.carrying()
        for request_id in waiting:
            self.app.refused(Refuse(request_id, 503, STOPPING, RETRY_AFTER_S))
        for carried in in_flight:
            self.app.cancelled(Cancel(carried.request_id, carried.lease, STOPPING))
        await listener.closed(GOODBYE_S)
        if self._lent is not None:
            self._lent.close()
        self.app.close()
        self.link.close()

    async def _drain(self) -> None:
        """Wait for the requests, at most so long."""
        loop = asyncio.get_running_loop()
        until = loop.time() + DRAIN_S
        while self.app.inference.active and loop.time() < until:  # noqa: ASYNC110 (asked once, at the end)
            await asyncio.sleep(DRAIN_POLL_S)
