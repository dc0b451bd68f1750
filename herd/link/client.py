"""A front's end of the link: facts up, kept until acknowledged; grants and state down.

Control may die and come back: facts wait here meanwhile and are sent again after its `Welcome`,
those it has already written left out. Then the front says what it carries (`FrontConnected`).
"""

import asyncio
import contextlib
import logging
import socket
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import Protocol, cast

import msgspec

from events import AnyEvent, CarriedRequest, Event, FrontConnected, RequestId, Source
from herd.errors import HerdError
from herd.link.frames import Frames
from herd.link.messages import (
    PROTOCOL,
    Ack,
    Cancel,
    Fact,
    FromControl,
    Grant,
    Hello,
    Leave,
    Refuse,
    View,
    Welcome,
)
from herd.tasks import spawn

MOST_FACTS = 65_536
MOST_BYTES = 32 << 20
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.25
SILENT_AFTER_S = 10.0
"""A disk that is slow, or full, keeps nothing from being acknowledged for so long."""

_log = logging.getLogger("herd.link")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[FromControl])


class LinkFullError(HerdError):
    """Control has been away for so long that no more facts can be kept for it."""


class Control(Protocol):
    """What the front's app may use of control."""

    view: View
    connected: bool

    @property
    def silent(self) -> bool:
        """Whether control is connected, and acknowledges nothing of what it is told."""
        ...

    @property
    def answers(self) -> bool:
        """Whether it is connected and not silent, so that the view is that of now."""
        ...

    def tell(self, event: Event) -> None:
        """Hand a fact to control: at least once, in order. Raises `LinkFullError`."""
        ...


class Answers(Protocol):
    """What control's messages call on the front's app, on the loop."""

    def granted(self, grant: Grant) -> None:
        """Send the request to that node."""
        ...

    def refused(self, refuse: Refuse) -> None:
        """Answer the request so."""
        ...

    def cancelled(self, cancel: Cancel) -> None:
        """End the request now."""
        ...

    def carrying(self) -> tuple[tuple[RequestId, ...], tuple[CarriedRequest, ...]]:
        """Return what waits and what is in flight."""
        ...

    def view_changed(self, view: View) -> None:
        """Answer from this from now on."""
        ...


class LinkClient:
    """The link of one front; `Control` to the front's app.

    The app is made with its link, so it is named only where the link begins to talk.
    """

    def __init__(self, src: Source, front: int) -> None:
        """Belong to front number `front`, whose facts are signed `src`."""
        self.view = View()
        self.connected = False
        self._src = src
        self._front = front
        self._n = 0
        self._kept: deque[tuple[int, bytes]] = deque()
        self._kept_bytes = 0
        self._told_s = 0.0
        """When the oldest fact that is kept was told, or one before it was acknowledged."""
        self._lost_facts = 0
        """Acknowledged while the journal could not be written; so control lost them if it dies."""
        self._frames: Frames[FromControl] | None = None
        self._gone = asyncio.Event()
        self._welcomed = asyncio.Event()
        self._closing = False
        self._pause_s = FIRST_PAUSE_S

    @property
    def kept(self) -> int:
        """How many facts control has not acknowledged yet."""
        return len(self._kept)

    def tell(self, event: Event) -> None:
        """Hand a fact to control: at least once, in order. Raises `LinkFullError`."""
        if len(self._kept) >= MOST_FACTS or self._kept_bytes >= MOST_BYTES:
            raise LinkFullError("the control process does not answer; it should be back soon")
        self._keep(event)

    @property
    def silent(self) -> bool:
        """Whether control is connected, and acknowledges nothing of what it is told."""
        waits = bool(self._kept) and self.connected
        return waits and time.monotonic() - self._told_s >= SILENT_AFTER_S

    @property
    def answers(self) -> bool:
        """Whether it is connected and not silent, so that the view is that of now."""
        return self.connected and not self.silent

    def _keep(self, event: Event) -> None:
        if not self._kept:
            self._told_s = time.monotonic()
        message = _encoder.encode(Fact(self._n + 1, cast("AnyEvent", event)))
        self._n += 1
        self._kept.append((self._n, message))
        self._kept_bytes += len(message)
        if self.connected and self._frames is not None:
            self._frames.send(message)

    def follow(self, path: Path, answers: Answers) -> None:
        """Connect to control's socket, and again whenever it comes back."""
        spawn(self._follow(path, answers), name="link")

    async def over(self, sock: socket.socket, answers: Answers) -> None:
        """Talk over a socket that is connected already: both ends live in one process."""
        loop = asyncio.get_running_loop()
        await loop.create_connection(partial(self._made, answers), sock=sock)

    async def welcomed(self) -> None:
        """Return once control has welcomed this front for the first time."""
        await self._welcomed.wait()

    async def gone(self) -> None:
        """Return once a connection is lost."""
        await self._gone.wait()

    def close(self) -> None:
        """Send what is left, say so, and leave."""
        self._closing = True
        if self._frames is not None:
            self._frames.send(_encoder.encode(Leave()))
            self._frames.close()

    async def _follow(self, path: Path, answers: Answers) -> None:
        loop = asyncio.get_running_loop()
        while not self._closing:
            self._gone.clear()
            with contextlib.suppress(OSError):
                await loop.create_unix_connection(partial(self._made, answers), str(path))
                await self._gone.wait()
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 1.5)

    def _made(self, answers: Answers) -> Frames[FromControl]:
        received = partial(self._received, answers)
        frames = self._frames = Frames(_decoder, received, self._lost)
        hello = Hello(self._src, self._front, PROTOCOL, self._lost_facts)
        frames.send(_encoder.encode(hello))
        return frames

    def _lost(self, frames: Frames[FromControl]) -> None:
        if self._frames is frames:
            self._frames = None
            if self.connected and not self._closing:
                _log.warning("control is away; streams go on, new requests wait")
            self.connected = False
        self._gone.set()

    def _received(
        self, answers: Answers, frames: Frames[FromControl], messages: list[FromControl]
    ) -> None:
        for message in messages:
            match message:
                case Grant():
                    answers.granted(message)
                case Ack():
                    self._acknowledged(message.n)
                    self._lost_facts = 0 if message.recorded else self._lost_facts + message.lost
                case Refuse():
                    answers.refused(message)
                case Cancel():
                    answers.cancelled(message)
                case View():
                    self.view = message
                    answers.view_changed(message)
                case Welcome(last_n=last_n):
                    self._welcome(answers, frames, last_n)

    def _welcome(self, answers: Answers, frames: Frames[FromControl], last_n: int) -> None:
        self._lost_facts = 0
        self._acknowledged(last_n)
        for _, fact in self._kept:
            frames.send(fact)
        self.connected, self._told_s = True, time.monotonic()
        waiting, in_flight = answers.carrying()
        self._keep(FrontConnected(front=self._front, waiting=waiting, in_flight=in_flight))
        self._pause_s = FIRST_PAUSE_S
        self._welcomed.set()

    def _acknowledged(self, n: int) -> None:
        while self._kept and self._kept[0][0] <= n:
            self._told_s = time.monotonic()
            self._kept_bytes -= len(self._kept.popleft()[1])
