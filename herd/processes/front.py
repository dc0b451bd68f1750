"""A front: HTTP in and out, in one process. What it does is in `herd.http`; this is its order."""

import asyncio
import contextlib
import gc
import secrets
import socket
import ssl
from collections.abc import Callable
from multiprocessing.connection import Connection

import msgspec

from events import Source
from herd import admin_token, join_token, platform
from herd.config import Settings
from herd.http import endings, tls
from herd.http.detour import detour, lend, socket_of
from herd.http.door import Door
from herd.http.front import LIMITS
from herd.http.front import Front as FrontApp
from herd.http.gate import Gate
from herd.http.guard import Guard
from herd.http.server import Listener, listen
from herd.http.waits import Waits
from herd.link.client import LinkClient
from herd.link.messages import Cancel, Refuse
from herd.link.presence import Presence
from herd.logs import configure_logging
from herd.processes.child import (
    CHANGE,
    LEAVE,
    LEND,
    inherited,
    say_ready,
    send_sockets,
    settings_in,
)
from herd.processes.port import Listeners, hosts

WELCOME_S = 1.0
"""How long nobody is accepted before control's first word; then requests wait inside instead."""
RENEW_S = 10.0
"""Between two looks at the files of the certificate."""
DRAIN_POLL_S = 0.02
LEAVE_S = 600.0
"""For what it serves, where another herd has taken this one's place: nobody waits for its end."""
LEAVE_POLL_S = 0.1
IDLE_S = 20.0
"""How long idle connections then stay open for a request that may be on its way."""
GOODBYE_S = 0.5
"""For the last bytes to leave."""
RETRY_AFTER_S = 5


def run_front(
    settings: Settings,
    number: int,
    listeners: Listeners,
    alive: Connection,
    ready: Connection,
) -> None:
    """Run one front until `alive` ends; it listens on `listeners` where it inherits some."""
    configure_logging(settings)
    platform.run_loop(_main(settings, number, listeners, alive, ready))


async def _main(
    settings: Settings,
    number: int,
    listeners: Listeners,
    alive: Connection,
    ready: Connection,
) -> None:
    front = Front(settings, number)
    front.heed(alive)
    front.link.follow(settings.directory.control_socket, front.app)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(front.link.welcomed(), WELCOME_S)
    await front.listen((*listeners, *inherited.sockets))
    gc.collect()
    gc.freeze()
    say_ready(ready, settings).on_loop()
    await front.told()
    await front.stop()


class Front:
    """A front on the running loop, in a process of its own or beside control."""

    def __init__(self, settings: Settings, number: int) -> None:
        """Make the link and the app; the caller connects the link."""
        self._settings = settings
        self._number = number
        self._lent: asyncio.AbstractServer | None = None
        self._listener: Listener | None = None
        self._told = asyncio.Event()
        self._finished = asyncio.Event()
        self._leaving = asyncio.Event()
        self._tls = tls.renewal(settings)
        tls.believe(settings)
        src = Source(f"f{number}-{secrets.token_hex(3)}")
        self._presence = Presence(settings.directory.sockets, src)
        self._presence.enter()
        self.link = LinkClient(src, number)
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

    def heed(self, alive: Connection, others: Callable[[bytes], None] | None = None) -> None:
        """Do as the supervisor says; `others` hears the words that are not for a front."""

        def hear(word: bytes) -> None:
            if word == LEND:
                own = self._listener is not None and platform.PORT_SHARING == "reuseport"
                send_sockets(alive, self._listener.sockets() if own and self._listener else ())
            elif word == LEAVE:
                self._leaving.set()
                self._told.set()
            if word.startswith(CHANGE):
                self.app.show_settings(settings_in(word))
            if others is not None and word not in {LEND, LEAVE}:
                others(word)

        def finish() -> None:
            self._finished.set()
            self._told.set()

        platform.on_finish(alive, finish, hear)

    async def told(self) -> None:
        """Return once the supervisor wants this front to end, or to leave."""
        await self._told.wait()

    @property
    def finished(self) -> bool:
        """Whether the supervisor wants this front to end."""
        return self._finished.is_set()

    async def listen(self, sockets: Listeners) -> Listener:
        """Take clients; and, where control is another process, lend it connections."""
        if self._settings.workers:
            path = socket_of(self._settings.directory.sockets, self._number)
            self._lent = await lend(path, self.app.tunnels)
        for each in sockets:  # as those that a front binds: what lingers then keeps no port
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener = await listen(
            self.app,
            ahead=self.app.ahead,
            host=hosts(self._settings.host),
            port=self._settings.port,
            limits=msgspec.structs.replace(LIMITS, bodies_bytes=self._settings.bodies_max_bytes),
            reuse_port=platform.PORT_SHARING == "reuseport",
            socks=sockets,
            tls=self._shown(),
        )
        return self._listener

    def _shown(self) -> ssl.SSLContext | None:
        """Return what clients are shown, which is looked after from now on."""
        if self._tls is None:
            return None
        self._renew(self._tls)
        return self._tls.context

    def _renew(self, shown: tls.Renewal) -> None:
        shown.look()
        asyncio.get_running_loop().call_later(RENEW_S, self._renew, shown)

    async def stop(self) -> None:
        """Take no more clients, let requests end or tell them why not, leave control last."""
        listener = self._listener
        if listener is None:
            return
        if self._leaving.is_set() and not self.finished:
            await self._leave(listener)
        listener.close()
        self.app.feed.close()
        self.app.lobby.close()
        await self._drain()
        waiting, in_flight = self.app.carrying()
        for request_id in waiting:
            self.app.refused(Refuse(request_id, 503, endings.STOPPING, RETRY_AFTER_S))
        for carried in in_flight:
            self.app.cancelled(Cancel(carried.request_id, carried.lease, endings.STOPPING))
        await listener.closed(GOODBYE_S)
        if self._lent is not None:
            self._lent.close()
        self.app.close()
        self.link.close()
        self._presence.leave()

    async def _leave(self, listener: Listener) -> None:
        """Serve those that are here to their end, since others take the new ones already."""
        loop = asyncio.get_running_loop()
        listener.leave()
        self.app.feed.close()
        until, idle_until = loop.time() + LEAVE_S, loop.time() + IDLE_S
        while loop.time() < until and not self.finished:
            served = not self.app.inference.active and not listener.busy
            if served and (not listener.connections or loop.time() >= idle_until):
                return
            self.app.tunnels.thin(keep=0 if served else 1)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._finished.wait(), LEAVE_POLL_S)

    async def _drain(self) -> None:
        """Wait for the requests, at most so long as the settings say."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.drain_timeout_s
        while self.app.inference.active and loop.time() < until:  # noqa: ASYNC110 (asked once, at the end)
            await asyncio.sleep(DRAIN_POLL_S)
