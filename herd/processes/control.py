"""The control process: everything that decides, and the journal."""

import asyncio
import gc
from multiprocessing.connection import Connection

from herd.config import Settings
from herd.control.control import Control
from herd.http import tls
from herd.http.detour import detour
from herd.logs import configure_logging
from herd.platform import on_finish, run_loop
from herd.processes.child import CHANGE, REST, inherited, say_changed, say_ready, settings_in

FRONTS_LEFT_S = 0.8
"""Beyond their own time, for fronts that finish at the same time, since the supervisor is gone;
else they have left."""


def run_control(settings: Settings, alive: Connection, ready: Connection) -> None:
    """Run until the supervisor wants it to finish."""
    run_loop(_main(settings, alive, ready))


async def _main(settings: Settings, alive: Connection, ready: Connection) -> None:
    finished = asyncio.Event()
    rests = False

    def hear(word: bytes) -> None:
        nonlocal rests
        if word == REST:
            rests = True
            finished.set()
        elif word.startswith(CHANGE):
            say_changed(alive, control.change(settings_in(word)))

    on_finish(alive, finished.set, hear)
    configure_logging(settings)
    tls.believe(settings)
    detour.folder = settings.directory.sockets
    control = Control(settings)
    await control.start()
    await control.listen()
    await control.recover(0 if inherited.place else settings.workers)
    gc.collect()
    gc.freeze()
    say_ready(ready, settings).on_loop()
    await finished.wait()
    if not rests:  # else they follow who takes this place
        await control.fronts_left(settings.drain_timeout_s + FRONTS_LEFT_S)
    await control.stop()
