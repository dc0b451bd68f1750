"""Control's end of the links: facts in, once each and in order; grants and state out."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from actors.core.commands import Send
from events import CONTROL, Event, FrontLost, RecordingResumed, Source
from herd.link.frames import Frames
from herd.link.messages import PROTOCOL, Ack, Fact, FromFront, Hello, Leave, View, Welcome
from herd.unix_sockets import bind_unix

NONE: Mapping[Source, int] = MappingProxyType({})
_UNRECORDED = "control ended while it could not record"

_log = logging.getLogger("herd.link")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[FromFront])

Put = Callable[[Event, Source, int], None]
"""Takes a fact with its reporter and the reporter's counter into the run queue."""
Missed = Callable[[Source], bool]
"""Is told of a front whose link broke; returns whether it lives, so that it comes again."""


def gone(_: Source) -> bool:
    """Take every front whose link breaks for gone."""
    return False


class LinkServer:
    """The links of every front of one control process."""

    def __init__(
        self,
        epoch: int,
        last_n: dict[Source, int],
        put: Put,
        *,
        next_seq: int = 1,
        missed: Missed = gone,
    ) -> None:
        """Continue each front's facts after `last_n`; hand new ones to `put`.

        `next_seq` is that of the next record: facts that the control before this one acknowledged
        but could not write would have begun there.
        """
        self._epoch = epoch
        self._next_seq = next_seq
        self._last_n = last_n
        self._put = put
        self._missed = missed
        self._links: dict[Source, Frames[FromFront]] = {}
        self._server: asyncio.Server | None = None
        self._leaving: set[Source] = set()
        self._view = b""
        self._alone = asyncio.Event()
        self._alone.set()

    @property
    def fronts(self) -> int:
        """How many fronts are connected now."""
        return len(self._links)

    def holds(self, src: Source) -> bool:
        """Whether that front is connected now."""
        return src in self._links

    async def alone(self) -> None:
        """Return once no front is connected."""
        await self._alone.wait()

    async def listen(self, path: Path) -> None:
        """Take fronts that connect to this socket."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._made, sock=bind_unix(path), backlog=64)

    async def adopt(self, sock: socket.socket) -> None:
        """Take a front that lives in this process, over a socket pair."""
        await asyncio.get_running_loop().create_connection(self._made, sock=sock)

    def send(self, sends: Iterable[Send]) -> None:
        """Send each front its messages; those of a front that left are dropped."""
        for send in sends:
            link = self._links.get(send.to)
            if link is not None:
                link.send(_encoder.encode(send.message))

    def acknowledge(
        self, upto: dict[Source, int], *, recorded: bool = True, lost: Mapping[Source, int] = NONE
    ) -> None:
        """Tell fronts which of their facts are done with, and how many of those were lost."""
        for src, n in upto.items():
            link = self._links.get(src)
            if link is not None:
                link.send(_encoder.encode(Ack(n, recorded, lost.get(src, 0))))

    def show(self, view: View) -> None:
        """Give every front a new view of the fleet."""
        encoded = _encoder.encode(view)
        if encoded != self._view:
            self._view = encoded
            for link in self._links.values():
                link.send(encoded)

    def cut(self, src: Source) -> None:
        """Cut a front off; it comes back and says again what it carries."""
        if (link := self._links.get(src)) is not None:
            link.close()

    def close(self) -> None:
        """Stop listening and leave every front."""
        if self._server is not None:
            self._server.close()
        for link in list(self._links.values()):
            link.close()

    def _made(self) -> Frames[FromFront]:
        return Frames(_decoder, self._received, self._lost)

    def _received(self, link: Frames[FromFront], messages: list[FromFront]) -> None:
        src = next((src for src, other in self._links.items() if other is link), None)
        for message in messages:
            if isinstance(message, Fact):
                if src is not None:
                    self._fact(src, message)
            elif isinstance(message, Leave):
                if src is not None:
                    self._leaving.add(src)
            else:
                src = self._hello(link, message)

    def _hello(self, link: Frames[FromFront], hello: Hello) -> Source | None:
        if hello.protocol != PROTOCOL:
            _log.error("%s speaks link protocol %d, not %d", hello.src, hello.protocol, PROTOCOL)
            link.close()
            return None
        self._links[hello.src] = link
        self._alone.clear()
        if hello.lost:
            self._put(RecordingResumed(self._next_seq, hello.lost, _UNRECORDED), CONTROL, 0)
        link.send(_encoder.encode(Welcome(self._epoch, self._last_n.get(hello.src, 0))))
        if self._view:
            link.send(self._view)
        return hello.src

    def _fact(self, src: Source, fact: Fact) -> None:
        if fact.n > self._last_n.get(src, 0):
            self._last_n[src] = fact.n
            self._put(fact.event, src, fact.n)

    def _lost(self, link: Frames[FromFront]) -> None:
        for src, other in list(self._links.items()):
            if other is link:
                del self._links[src]
                if not self._links:
                    self._alone.set()
                told = src in self._leaving
                self._leaving.discard(src)
                if told or not self._missed(src):
                    self._put(FrontLost(front_src=src, told=told), CONTROL, 0)
