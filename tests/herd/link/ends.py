"""Both ends of a link in one loop, and what each of them hears."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from actors.core.commands import Cancel, Grant, Refuse
from events import CarriedRequest, Event, RequestId, RequestReceived, Source
from herd.link.client import LinkClient
from herd.link.messages import View
from herd.link.server import LinkServer

SRC = Source("f1-aaaaaa")
WAIT_S = 5.0


class App:
    """What a front's app keeps of control's words."""

    def __init__(self) -> None:
        self.heard: list[Grant | Refuse | Cancel | View] = []
        self.waiting: tuple[RequestId, ...] = ()
        self.in_flight: tuple[CarriedRequest, ...] = ()

    def granted(self, grant: Grant) -> None:
        self.heard.append(grant)

    def refused(self, refuse: Refuse) -> None:
        self.heard.append(refuse)

    def cancelled(self, cancel: Cancel) -> None:
        self.heard.append(cancel)

    def carrying(self) -> tuple[tuple[RequestId, ...], tuple[CarriedRequest, ...]]:
        return self.waiting, self.in_flight

    def view_changed(self, view: View) -> None:
        self.heard.append(view)


class Control:
    """What control keeps of the fronts' facts; `last_n` survives it in the journal."""

    def __init__(self, epoch: int = 1, last_n: dict[Source, int] | None = None) -> None:
        self.facts: list[tuple[Event, Source, int]] = []
        self.last_n = {} if last_n is None else last_n
        self.link = LinkServer(epoch, dict(self.last_n), self.put)

    def put(self, event: Event, src: Source, n: int) -> None:
        self.facts.append((event, src, n))

    def write(self) -> None:
        """Do as if the journal had it all."""
        self.link.acknowledge(self._heard())

    def lose(self, lost: int) -> None:
        """Do as if the disk were full, with so many facts that should have been written."""
        self.link.acknowledge(self._heard(), recorded=False, lost={SRC: lost})

    def _heard(self) -> dict[Source, int]:
        for _, src, n in self.facts:
            if n:
                self.last_n[src] = n
        return self.last_n

    def told(self) -> list[str]:
        """Return the requests in the order in which control heard of them."""
        facts = [event for event, _, _ in self.facts]
        return [event.request_id for event in facts if isinstance(event, RequestReceived)]


async def until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not reached():  # noqa: ASYNC110 (both ends run on this loop: a turn is enough)
            await asyncio.sleep(0.001)


def request(number: int) -> RequestReceived:
    return RequestReceived(request_id=RequestId(f"r{number}"), model="m")


@asynccontextmanager
async def pair() -> AsyncGenerator[tuple[LinkClient, Control, App], None]:
    """Connect a front and control in one process."""
    control, app, front = Control(), App(), LinkClient(SRC, 1)
    ours, theirs = socket.socketpair()
    await control.link.adopt(ours)
    await front.over(theirs, app)
    await asyncio.wait_for(front.welcomed(), WAIT_S)
    await until(lambda: control.facts)
    try:
        yield front, control, app
    finally:
        front.close()
        control.link.close()
        await control.link.alone()


@asynccontextmanager
async def following(path: Path) -> AsyncGenerator[tuple[LinkClient, App], None]:
    """Let a front look for control at a Unix socket."""
    app, front = App(), LinkClient(SRC, 1)
    front.follow(path, app)
    try:
        yield front, app
    finally:
        front.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def listening(
    path: Path, epoch: int = 1, last_n: dict[Source, int] | None = None
) -> AsyncGenerator[Control, None]:
    """Let control take fronts at a Unix socket."""
    control = Control(epoch, last_n)
    await control.link.listen(path)
    try:
        yield control
    finally:
        control.link.close()
