"""Sends magic packets: 6 bytes of 0xFF, then the card's address 16 times, by broadcast.

The form is of AMD's white paper "Magic Packet Technology" (publication 20213, 1995). Nobody
answers; a heartbeat tells that it helped. They go to the broadcast addresses of this machine's
networks and to those of the setting `wake_to`, never to one that an agent names.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterable

from events import NodeId
from herd.interfaces import broadcasts
from herd.tasks import spawn

PORT = 9
"""Discard: whoever listens there throws it away."""
EVERYBODY = "255.255.255.255"
TIMES = 3
"""Each packet, since one that is lost costs `AGAIN_S`."""
APART_S = 0.1

_log = logging.getLogger("herd.control")


def magic_packet(mac: str) -> bytes:
    """Return what wakes the machine whose card has this address."""
    return b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) * 16


class Waker:
    """Wakes nodes, on the loop it was made on."""

    def __init__(self, wake_to: str) -> None:
        """Send to these addresses, too, as the setting has them."""
        self._named = tuple(_target(word.strip()) for word in wake_to.split(",") if word.strip())
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self, node_id: NodeId, macs: tuple[str, ...]) -> None:
        """Send packets for each card of a node."""
        task = spawn(self._wake(node_id, macs), name=f"wake {node_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Send nothing more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _wake(self, node_id: NodeId, macs: tuple[str, ...]) -> None:
        packets = [magic_packet(mac) for mac in macs]
        sent = 0
        for _ in range(TIMES):
            sent = await asyncio.to_thread(_send, packets, self._targets())
            await asyncio.sleep(APART_S)
        if not sent:
            _log.warning("%s cannot be woken: no network took the packet", node_id)

    def _targets(self) -> tuple[tuple[str, int], ...]:
        own = tuple((address, PORT) for address in broadcasts())
        return (*own, *self._named) or ((EVERYBODY, PORT),)


def _target(word: str) -> tuple[str, int]:
    host, _, port = word.partition(":")
    return host, int(port or PORT)


def _send(packets: Iterable[bytes], targets: Iterable[tuple[str, int]]) -> int:
    """Return how many were sent; a network that is down takes none."""
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for target in targets:
            for packet in packets:
                with contextlib.suppress(OSError):
                    sent += bool(sender.sendto(packet, target))
    return sent
