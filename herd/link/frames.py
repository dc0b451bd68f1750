"""Frames of the link: a length, then one msgpack list; one frame per loop tick and direction.

The list is put together from values that were encoded when they were handed over, so a fact that
has to be sent again is not encoded again.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Generic, TypeVar, cast

import msgspec

M = TypeVar("M")

LENGTH = struct.Struct(">I")
LIST = struct.Struct(">BI")
LIST_32 = 0xDD
"""msgpack's marker of a list with a 32-bit length."""

LARGEST_FRAME_BYTES = 256 << 20


class Frames(asyncio.Protocol, Generic[M]):
    """One end of a link: messages in order, batched by loop tick."""

    def __init__(
        self,
        decoder: msgspec.msgpack.Decoder[list[M]],
        received: Callable[["Frames[M]", list[M]], None],
        lost: Callable[["Frames[M]"], None],
    ) -> None:
        """Call `received` with each list, and `lost` once when the link is gone."""
        self._decoder = decoder
        self._received = received
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._rest = b""

    def send(self, message: bytes) -> None:
        """Send one encoded message at the end of this tick."""
        if not self._out:
            self._loop.call_soon(self.flush)
        self._out.append(message)

    def flush(self) -> None:
        """Send what this tick has gathered; before the link is up, it waits for that."""
        if self._transport is None:
            return
        out, self._out = self._out, []
        if out:
            self.write(LIST.pack(LIST_32, len(out)) + b"".join(out))

    def write(self, body: bytes) -> None:
        """Send one encoded list now, behind what was gathered; only once the link is up."""
        if self._out:
            self.flush()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(LENGTH.pack(len(body)) + body)

    def close(self) -> None:
        """Send what is left and close."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's only looks like one
        self.flush()

    def data_received(self, data: bytes) -> None:
        """Hand over every whole frame."""
        if self._rest:
            data = self._rest + data
        at = 0
        while len(data) - at >= LENGTH.size:
            (size,) = LENGTH.unpack_from(data, at)
            end = at + LENGTH.size + size
            if size > LARGEST_FRAME_BYTES:
                raise ValueError(f"a frame of {size} bytes on the link")
            if end > len(data):
                break
            self._received(self, self._decoder.decode(memoryview(data)[at + LENGTH.size : end]))
            at = end
        self._rest = data[at:] if at else data

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """Tell the owner once."""
        self._transport = None
        self._lost(self)
