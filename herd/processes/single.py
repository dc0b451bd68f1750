"""One process for front and control: the same parts on one loop, over a pair of sockets.

`herd run --workers 0` has it, and every system where fronts cannot share a port.
"""

import asyncio
import gc
import socket
from multiprocessing.connection import Connection

from herd import platform
from herd.config import Settings
from herd.control.control import Control
from herd.logs import configure_logging
from herd.processes.child import say_ready
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
    settings: Settings, inherited: Listeners, alive: Connection, ready: Connection
) -> None:
    finished = asyncio.Event()
    platform.on_finish(alive, finished.set)
    control = Control(settings)
    front = Front(settings, 1)
    await control.start()
    controls_end, fronts_end = socket.socketpair()
    await control.adopt(controls_end)
    await front.link.over(fronts_end, front.app)
    await control.recover(1)
    await asyncio.wait_for(front.link.welcomed(), WELCOME_S)
    listener = await front.listen(inherited)
    gc.collect()
    gc.freeze()
    say_ready(ready)
    gone = spawn(front.link.gone(), name="link")
    ended = spawn(finished.wait(), name="finish")
    await asyncio.wait((gone, ended), return_when=asyncio.FIRST_COMPLETED)
    await front.stop(listener)
    await control.fronts_left(LEFT_S)
    await control.stop()
    if not finished.is_set():
        raise SystemExit("front and control lost one another")
