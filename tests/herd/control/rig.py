"""An engine on a real journal, whose link notes what it is told to say."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from actors.core.commands import Send
from events import (
    CONTROL,
    KINDS,
    ControlStarted,
    Event,
    FrontConnected,
    Recorded,
    RecoveryEnded,
    Source,
)
from herd.clock import Clock
from herd.control.engine import Engine
from herd.control.restore import restore
from herd.journal.reader import records
from herd.journal.segments import Journal, Limits
from herd.link.server import NONE, LinkServer
from herd.paths import DataDir
from tests.actors.cast import node

SRC = Source("f1-aaaaaa")
SMALL = Limits(reserve_bytes=0)
START: tuple[Event, ...] = (
    ControlStarted(epoch=1, version="test"),
    FrontConnected(front=1),
    RecoveryEnded(fronts=1),
    *node("studio", slots=1),
)


class Link(LinkServer):
    """Notes what is said to fronts, and what stands in the journal at that moment."""

    def __init__(self, directory: DataDir) -> None:
        super().__init__(1, {}, self.nobody)
        self.directory = directory
        self.sent: list[tuple[Send, int]] = []
        self.acknowledged: list[tuple[int, int]] = []
        self.lost: list[tuple[bool, int]] = []
        """Whether it was recorded, and how many of that front's facts were not."""

    @staticmethod
    def nobody(event: Event, src: Source, n: int) -> None:
        raise AssertionError((event, src, n))

    def written(self) -> int:
        return max((record.seq for record in records(self.directory.journal)), default=0)

    def send(self, sends: Any) -> None:
        self.sent += [(send, self.written()) for send in sends]

    def acknowledge(
        self, upto: dict[Source, int], *, recorded: bool = True, lost: Mapping[Source, int] = NONE
    ) -> None:
        self.acknowledged += [(n, self.written()) for n in upto.values()]
        self.lost += [(recorded, lost.get(src, 0)) for src in upto]


class Rig:
    """An engine on a data directory; made again, it is a restart."""

    def __init__(self, root: Path, limits: Limits = SMALL) -> None:
        self.directory = DataDir(root)
        self.directory.create()
        journal = Journal.open(self.directory.journal, self.directory.snapshots, limits)
        self.state = restore(self.directory)
        clock = Clock(max(self.state.recorded_at, journal.last_recorded_at))
        self.engine = Engine(self.state, journal, clock, self.directory)
        self.engine.link = self.link = Link(self.directory)
        self.observed: list[Recorded] = []
        self.engine.observe(self.observed.append, KINDS.values())
        self.engine.start()
        self.n = 0

    async def play(self, *facts: Event) -> None:
        for fact in facts:
            self.engine.put(fact, SRC if isinstance(fact, FrontConnected) else CONTROL)
        await self.rest()

    async def tell(self, *facts: Event) -> None:
        """Let a front report facts."""
        for fact in facts:
            self.n += 1
            self.engine.put(fact, SRC, self.n)
        await self.rest()

    async def rest(self) -> None:
        await until(lambda: not self.engine.busy)

    def log(self) -> list[Recorded]:
        return list(records(self.directory.journal))


async def until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(5.0):
        while not reached():  # noqa: ASYNC110 (all of it runs on this loop: a turn is enough)
            await asyncio.sleep(0.001)
