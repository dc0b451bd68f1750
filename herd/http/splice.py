"""Two connections made one: what comes in at one end goes out at the other, byte for byte.

Rules
1. The slower side sets the pace: who cannot write lets the other read no more.
2. Who asks and goes, however he goes, ends the other side at once: nobody wants the answer.
3. Who was asked and closes well has all that he said passed on before the other side is closed;
   if he is reset, so is the other.
"""

import asyncio
from collections.abc import Callable


class _End(asyncio.Protocol):
    """One of the two."""

    def __init__(
        self, transport: asyncio.Transport, other: asyncio.Transport, *, asks: bool
    ) -> None:
        self._transport = transport
        self._other = other
        self._asks = asks
        self.over: Callable[[], None] | None = None

    def data_received(self, data: bytes) -> None:
        self._other.write(data)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        if not self._other.is_closing():
            self._other.pause_reading()

    def resume_writing(self) -> None:
        if not self._other.is_closing():
            self._other.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._asks or exc is not None:
            self._other.abort()
        else:
            self._other.close()
        if self.over is not None:
            self.over()


def splice(
    asking: asyncio.Transport,
    asked: asyncio.Transport,
    first: bytes = b"",
    over: Callable[[], None] | None = None,
) -> None:
    """Join two connections; `first` was read already of who asks. `over` hears of its end."""
    ends = (_End(asking, asked, asks=True), _End(asked, asking, asks=False))
    ends[0].over = over
    asking.set_protocol(ends[0])
    asked.set_protocol(ends[1])
    for transport in (asking, asked):
        transport.set_write_buffer_limits()
    if first:
        asked.write(first)
    if not asking.is_closing():
        asking.resume_reading()
