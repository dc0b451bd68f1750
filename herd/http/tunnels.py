"""Connections that agents opened to this front, for nodes that nobody else can reach.

An agent beside an Ollama that listens on loopback only dials out: `POST /agent/relay` on a
connection of its own, once to be given a challenge, once signed. Then the connection is this
front's, as if it had dialled the node: it carries plain HTTP/1.1, one request at a time.

Rules
1. A challenge is made by this front, and is answered once; the key is the one that is pinned to the
   node. So a handshake that was overheard opens nothing, here or at another front.
2. A front keeps `SPARES` unused ones for a node, and turns more away, so that an agent that opens
   as many as all fronts want has them at each. Who finds none waits for the next.
3. When another key speaks for the node, or none, its connections end, also those in use.
4. Bytes on an unused connection end it: a node does not speak first.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from events import NodeId
from herd.http.door import FORBIDDEN, UNAUTHORIZED, NotAdmittedError
from herd.http.exchange import Exchange
from herd.http.problems import JSON_UTF8
from herd.link.messages import PinView, View
from herd.platform import keep_alive
from herd.signing import RELAY, signed_by

PATH: Final = "/agent/relay"
UPGRADE: Final = b"herd-relay"
WANTED: Final = b"X-Herd-Relay-Wanted"
"""How many unused ones all fronts together want."""
SPARES: Final = 4
MOST_CHALLENGES: Final = 4_096
ENOUGH: Final = 409


class _Hello(msgspec.Struct):
    node_id: str


class _Spare(asyncio.Protocol):
    """A connection that nobody uses yet."""

    def __init__(self, transport: asyncio.Transport, node: "_Node") -> None:
        self.transport = transport
        self._node = node

    def data_received(self, data: bytes) -> None:
        del data
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self in self._node.spares:
            self._node.spares.remove(self)


class _Node:
    """What one agent has opened."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.spares: list[_Spare] = []
        self.taken: list[asyncio.Transport] = []

    def sweep(self) -> None:
        """Forget the connections that have ended."""
        self.taken = [transport for transport in self.taken if not transport.is_closing()]

    def close(self) -> None:
        for spare in tuple(self.spares):
            spare.transport.abort()
        for transport in self.taken:
            transport.abort()


class Tunnels:
    """All of them at one front, by node."""

    def __init__(self, view: Callable[[], View], fronts: int) -> None:
        """Know who may open them from the view, and how many fronts there are."""
        self._view = view
        self._wanted = b"%d" % (SPARES * max(1, fronts))
        self._nodes: dict[NodeId, _Node] = {}
        self._waiting: dict[NodeId, deque[asyncio.Future[asyncio.Transport]]] = {}
        self._challenges: dict[str, None] = {}
        self._pins: dict[NodeId, PinView] = {}

    def ask(self, exchange: Exchange) -> None:
        """Take a connection, or say why not."""
        try:
            node_id, key = self._admitted(exchange)
        except (ValueError, RecursionError) as error:
            _say(exchange, 400, {"error": str(error)})
        except NotAdmittedError as refused:
            _say(exchange, refused.status, refused.answer)
        else:
            node = self._nodes.get(node_id)
            if node is None or node.key != key:
                if node is not None:
                    node.close()
                node = self._nodes[node_id] = _Node(key)
            if len(node.spares) >= SPARES and not self._waiting.get(node_id):
                headers = (JSON_UTF8, (WANTED, self._wanted))
                exchange.respond(ENOUGH, headers, b'{"error":"there are enough here"}')
            else:
                self._open(exchange, node_id, node)

    async def take(self, node_id: NodeId) -> asyncio.Transport:
        """Return a connection that is as good as dialled, as soon as there is one."""
        while True:
            transport = self._spare(node_id) or await self._next(node_id)
            if not transport.is_closing():
                return transport

    def unused(self, node_id: NodeId) -> int:
        """Return how many wait to be used for a node."""
        node = self._nodes.get(node_id)
        return 0 if node is None else len(node.spares)

    def look(self, view: View) -> None:
        """End what was opened with keys that speak for their nodes no more."""
        if view.pins == self._pins:
            return
        self._pins = view.pins
        for node_id, node in tuple(self._nodes.items()):
            pin = view.pins.get(node_id)
            if pin is None or pin.revoked or pin.node_key != node.key:
                del self._nodes[node_id]
                node.close()

    def sweep(self) -> None:
        """Forget the connections that have ended."""
        for node in self._nodes.values():
            node.sweep()

    def close(self) -> None:
        """End all that nobody uses."""
        self.thin(keep=0)

    def thin(self, *, keep: int) -> None:
        """End what nobody uses, but so many for each node: its agent opens others elsewhere."""
        for node in self._nodes.values():
            for spare in node.spares[keep:]:
                spare.transport.close()

    # Inside

    def _admitted(self, exchange: Exchange) -> tuple[NodeId, str]:
        """Return for which node and by which key it is opened."""
        body = exchange.request.body
        try:
            node_id = NodeId(msgspec.json.decode(body, type=_Hello).node_id)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ValueError(f"this asks for no relay: {error}") from error
        signed = signed_by(exchange.request)
        if signed is None or signed.challenge not in self._challenges:
            raise NotAdmittedError(
                UNAUTHORIZED, "sign this challenge", challenge=self._new_challenge()
            )
        del self._challenges[signed.challenge]
        if not signed.holds(body, RELAY):
            raise NotAdmittedError(FORBIDDEN, "the signature of this handshake is wrong")
        pin = self._view().pins.get(node_id)
        if pin is None or pin.revoked or pin.node_key != signed.node_key:
            raise NotAdmittedError(FORBIDDEN, f"this key does not speak for '{node_id}'")
        return node_id, signed.node_key

    def _new_challenge(self) -> str:
        while len(self._challenges) >= MOST_CHALLENGES:
            del self._challenges[next(iter(self._challenges))]
        challenge = secrets.token_hex(16)
        self._challenges[challenge] = None
        return challenge

    def _spare(self, node_id: NodeId) -> asyncio.Transport | None:
        node = self._nodes.get(node_id)
        if node is None or not node.spares:
            return None
        transport = node.spares.pop().transport
        node.taken.append(transport)
        return transport

    async def _next(self, node_id: NodeId) -> asyncio.Transport:
        """Wait in line for one that is opened from now on."""
        waiting = self._waiting.setdefault(node_id, deque())
        future: asyncio.Future[asyncio.Transport] = asyncio.get_running_loop().create_future()
        waiting.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                future.result().abort()
            raise
        finally:
            waiting.remove(future)
            if not waiting:
                del self._waiting[node_id]

    def _open(self, exchange: Exchange, node_id: NodeId, node: _Node) -> None:
        transport = exchange.hand_over(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %b\r\n"
            b"%b: %b\r\n\r\n" % (UPGRADE, WANTED, self._wanted)
        )
        if transport is None:
            return
        keep_alive(transport)
        transport.set_write_buffer_limits()
        for future in self._waiting.get(node_id, ()):
            if not future.done():
                node.taken.append(transport)
                future.set_result(transport)
                return
        spare = _Spare(transport, node)
        transport.set_protocol(spare)
        node.spares.append(spare)


def _say(exchange: Exchange, status: int, answer: object) -> None:
    exchange.respond(status, (JSON_UTF8,), msgspec.json.encode(answer))
