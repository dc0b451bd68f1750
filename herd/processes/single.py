"""One process for front and control: the same parts on one loop, over a pair of sockets.

`herd run --workers 0` has it, and every system where fronts cannot share a port. When another herd
takes its place, control stops, and the front follows the other's.
"""

import asyncio
import contextlib
import gc
import socket
from multiprocessing.connection import Connection

from herd import platform
from herd.config import Settings
from herd.control.control import Control
from herd.logs import configure_logging
from herd.processes.child import (
    CHANGE,
    GO,
    REST,
    RESTED,
    inherited,
    say_changed,
    say_ready,
    settings_in,
)
from herd.processes.front import WELCOME_S, Front
from herd.processes.port import Listeners
from herd.tasks import spawn

LEFT_S = 1.0
"""For the front's last words on the way."""


def run_single(
    settings: Settings, listeners: Listeners, alive: Connection, ready: Connection
) -> None:
    """Run front and control until `alive` ends, on the loop of the standard library."""
    configure_logging(settings)
    platform.run_loop(_main(settings, listeners, alive, ready), fast=False)


async def _main(
    settings: Settings, listeners: Listeners, alive: Connection, ready: Connection
) -> None:
    single = _Single(settings, alive)
    await single.start((*listeners, *inherited.sockets))
    gc.collect()
    gc.freeze()
    say_ready(ready, settings).on_loop()
    await single.run()


class _Single:
    """Front and control, and which of them is at work."""

    def __init__(self, settings: Settings, alive: Connection) -> None:
        self._settings = settings
        self._alive = alive
        self._control: Control | None = None
        self._paired = True
        """The front's link is to the control of this process, and is lost only by a mistake."""
        self._words: asyncio.Queue[bytes] = asyncio.Queue()
        self._front = Front(settings, 1)
        self._front.heed(alive, self._words.put_nowait)

    async def start(self, sockets: Listeners) -> None:
        """Start control, then take clients."""
        control = self._control = Control(self._settings)
        await control.start()
        if platform.HAS_UNIX_SOCKETS:  # fronts of the herd before may be here
            await control.listen()
        controls_end, fronts_end = socket.socketpair()
        await control.adopt(controls_end)
        await self._front.link.over(fronts_end, self._front.app)
        await control.recover(1)
        await asyncio.wait_for(self._front.link.welcomed(), WELCOME_S)
        await self._front.listen(sockets)

    async def run(self) -> None:
        """Do as the supervisor says, to the end."""
        told = spawn(self._front.told(), name="told")
        gone = spawn(self._front.link.gone(), name="link")
        while not told.done() and not (gone.done() and self._paired):
            word = spawn(self._words.get(), name="word")
            waits = {told, word, gone} if self._paired else {told, word}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if word.done():
                await self._obey(word.result())
            word.cancel()
        lost = not told.done()
        await self._front.stop()
        if self._control is not None:
            await self._control.fronts_left(LEFT_S)
            await self._control.stop()
        if lost:
            raise SystemExit("front and control lost one another")

    async def _obey(self, word: bytes) -> None:
        if word.startswith(CHANGE):
            self._settings = settings_in(word)
            if self._control is not None:
                say_changed(self._alive, self._control.change(self._settings))
        elif word == REST and self._control is not None:
            control, self._control, self._paired = self._control, None, False
            await control.stop()
            self._front.link.follow(self._settings.directory.control_socket, self._front.app)
            with contextlib.suppress(OSError):
                self._alive.send_bytes(RESTED)
        elif word.startswith(GO) and self._control is None:  # nobody took this place after all
            control = Control(self._settings)
            await control.start()
            await control.listen()
            await control.recover(1)
            self._control = control
