"""The end of a connection, and how long a peer may keep us from it.

Rules
1. A clean end is only for a whole answer: everything else ends by `reset`, or without its framing.
2. A peer that takes no byte for the write timeout is given up: `Stall` measures it, once a second.
"""

import asyncio
import socket
import struct

_NO_LINGER = struct.pack("ii", 1, 0)  # on Windows two shorts are read: the same first four bytes


def reset(transport: asyncio.Transport) -> None:
    """Close with RST: the peer must not take what it has for the whole."""
    found: socket.socket | None = transport.get_extra_info("socket")
    if found is not None and found.fileno() >= 0:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


class Stall:
    """How long a transport's unsent bytes have not become fewer."""

    __slots__ = ("_since_s", "_unsent_bytes")

    def __init__(self, now_s: float) -> None:
        """Begin to measure."""
        self._since_s = now_s
        self._unsent_bytes = 0

    def length_s(self, transport: asyncio.Transport, now_s: float) -> float:
        """Return for how long nothing was taken, as of now."""
        unsent_bytes = transport.get_write_buffer_size()
        if unsent_bytes == 0 or unsent_bytes < self._unsent_bytes:
            self._since_s = now_s
        self._unsent_bytes = unsent_bytes
        return now_s - self._since_s
