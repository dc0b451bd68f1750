"""A request's body that is passed on while it comes: what may be larger than the memory.

Rules
1. A client that waits to be asked for its body (`Expect: 100-continue`) is asked when there is
   somebody to take it.
2. The slower side sets the pace. While it waits for the node the client's connection is not read,
   so that a client which leaves is seen only afterwards: whoever takes the body bounds that wait.
3. No more is kept than one read has brought.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol


class Tap:
    """Whether a client's connection is read."""

    __slots__ = ("_transport", "go_on", "held")

    def __init__(self, transport: asyncio.Transport, go_on: Callable[[], None]) -> None:
        """Begin open."""
        self._transport = transport
        self.go_on = go_on
        """Asks for the body, if the client waits for that."""
        self.held = False

    def hold(self) -> None:
        """Read no more for now."""
        if not self.held and not self._transport.is_closing():
            self.held = True
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Read again."""
        if self.held:
            self.held = False
            if not self._transport.is_closing():
                self._transport.resume_reading()


class Sink(Protocol):
    """Who takes the body."""

    def piece(self, data: bytes) -> None:
        """Take a piece."""
        ...

    def whole(self) -> None:
        """Know that this was all of it."""
        ...


class Upload:
    """A body on its way."""

    __slots__ = ("_kept", "_sink", "_tap", "ended", "length", "over", "size_bytes")

    def __init__(self, tap: Tap, length: int | None) -> None:
        """Wait for a sink; `length` is what the client has announced, in bytes."""
        self._tap = tap
        self._sink: Sink | None = None
        self._kept: list[bytes] = []
        self.length = length
        self.size_bytes = 0
        """What has come so far."""
        self.ended = False
        """All of it has come."""
        self.over = False
        """Nobody wants what is still to come."""

    # What the reader tells

    def feed(self, data: bytes) -> None:
        """Hand a piece on."""
        self.size_bytes += len(data)
        if self.over:
            return
        if self._sink is not None:
            self._sink.piece(data)
        else:
            self._kept.append(data)
            self._tap.hold()

    def finish(self) -> None:
        """Hand the end on."""
        self.ended = True
        self._tap.read_on()
        if self._sink is not None:
            self._sink.whole()

    # What the taker asks for

    @property
    def held(self) -> bool:
        """Whether the client waits for whoever takes it."""
        return self._tap.held

    def open(self, sink: Sink) -> None:
        """Give all of it to a sink: what has come already at once, the rest as it comes."""
        self._sink = sink
        self._tap.read_on()
        kept, self._kept = self._kept, []
        for data in kept:
            sink.piece(data)
        if self.ended:
            sink.whole()
        else:
            self._tap.go_on()

    def hold(self) -> None:
        """Let nothing more come for now."""
        if not self.over and not self.ended:
            self._tap.hold()

    def read_on(self) -> None:
        """Let it come again."""
        self._tap.read_on()

    def close(self) -> None:
        """Want no more of it."""
        self.over = True
        self._sink = None
        self._kept.clear()
        self._tap.read_on()
