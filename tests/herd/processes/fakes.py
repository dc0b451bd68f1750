"""Children that only say what happens to them, in a file that all of them append to."""

import asyncio
import os
import signal
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from herd import platform
from herd.config import Settings
from herd.errors import HerdError
from herd.processes.child import ChildSpec, Start, say_ready

STUCK_AFTER_S = 2.0


def note(diary: Path, line: str) -> None:
    with diary.open("a") as file:
        file.write(f"{line}\n")


def obedient(diary: Path, name: str, linger_s: float, alive: Connection, ready: Connection) -> None:
    async def main() -> None:
        told = asyncio.Event()
        platform.on_finish(alive, told.set)
        say_ready(ready)
        await told.wait()
        note(diary, f"{name} told")
        await asyncio.sleep(linger_s)
        note(diary, f"{name} done")

    platform.run_loop(main(), fast=False)


def stubborn(alive: Connection, ready: Connection) -> None:
    del alive
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say_ready(ready)
    time.sleep(60)


def circling(diary: Path, linger_s: float, alive: Connection, ready: Connection) -> None:
    """Work for a while and then turn in a circle, in the first life; then only work."""

    async def main() -> None:
        told = asyncio.Event()
        platform.on_finish(alive, told.set)
        say_ready(ready, Settings(stuck_after_s=STUCK_AFTER_S)).on_loop()
        if first:
            await asyncio.sleep(linger_s)
            while True:
                pass
        await told.wait()

    note(diary, "life")
    first = diary.read_text().count("life") == 1
    platform.run_loop(main(), fast=False)


def crashing(alive: Connection, ready: Connection) -> None:
    del alive, ready
    os._exit(7)


def failing(alive: Connection, ready: Connection) -> None:
    del alive, ready
    raise HerdError("the journal cannot be read", "look at it")


def later_failing(diary: Path, alive: Connection, ready: Connection) -> None:
    """Work in the first life, fail in the second, work again."""
    note(diary, "life")
    if diary.read_text().count("life") == 2:
        raise HerdError("not this time")
    obedient(diary, "later", 0, alive, ready)


def scenario(name: str, diary: Path) -> list[ChildSpec]:
    def front(linger_s: float = 0.2) -> Start:
        return partial(obedient, diary, "front 1", linger_s)

    logd = ChildSpec("logd", partial(obedient, diary, "logd", 0.0), 2, 5.0)
    control = ChildSpec("control", partial(obedient, diary, "control", 0.1), 1, 5.0)
    normal = [logd, control, ChildSpec("front 1", front(), 0, 5.0)]
    deciding = ChildSpec("control", partial(obedient, diary, "control", 1.0), 1, 5.0, decides=True)
    return {
        "normal": normal,
        "deciding": [logd, deciding],
        "lingering": [logd, ChildSpec("front 1", front(0.7), 0, 5.0)],
        "stubborn": [logd, ChildSpec("front 1", stubborn, 0, 60.0)],
        "too slow": [logd, ChildSpec("front 1", stubborn, 0, 0.3)],
        "failing": [logd, ChildSpec("control", failing, 1, 5.0)],
        "later failing": [ChildSpec("control", partial(later_failing, diary), 1, 5.0)],
        "circling": [logd, ChildSpec("front 1", partial(circling, diary, 0.3), 0, 1.0)],
        "crashing": [logd, ChildSpec("control", crashing, 1, 5.0)],
    }[name]
