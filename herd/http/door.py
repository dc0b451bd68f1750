"""The door: who may speak for a node.

Rules
1. The first key that joins as a node is pinned to that name; from then on nobody else speaks for
   it, signed or not, whatever the mode.
2. A signed word counts once: it answers the challenge of this control, by a counter that grows.
3. `open` takes every new name, also from agents that do not sign; `token` those who know the join
   token; `ask` those whom an operator approves, who hears of them by `herd nodes`.
4. An agent names an address that herd will ask: none that only this machine could reach, or that
   is not one machine's (link-local ones of others, where clouds keep secrets; multicast).
5. A node of the command line, or this machine's own, is moved by nobody from another machine.
6. Of several agents with one key and one name (a machine that was copied, a service and a terminal)
   the one speaks that was started last, as long as it is heard: the node would be here and there.
"""

import hmac
import math
from ipaddress import ip_address
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

import msgspec

from actors.core.discovery import place
from events import DrainRequested, Event, HeartbeatReceived, NodeId, NodeKnocked, NodePinned
from herd.agent.payload import parse_heartbeat, started_s
from herd.http.detour import SCHEME
from herd.http.exchange import Exchange
from herd.http.guard import forwarded
from herd.interfaces import own_addresses
from herd.link.messages import View
from herd.signing import Signed, fingerprint, join_proof, signed_by

MOST_NODES: Final = 1_024
MOST_BYTES: Final = 2 * 1024 * 1024
MOST_MODELS: Final = 4_096
"""Of a heartbeat. Control keeps each name, and shows each front all of it ten times a second."""
UNAUTHORIZED: Final = 401
FORBIDDEN: Final = 403
TOO_LARGE: Final = 413
SILENT_S: Final = 15.0
"""An agent that was not heard for so long keeps no other one from speaking."""
UNAVAILABLE: Final = 503
_RELAY: Final = f"{SCHEME}://"


class NotAdmittedError(Exception):
    """A word about a node that is not taken: a status, why, and what the agent may do about it."""

    def __init__(self, status: int, text: str, **more: object) -> None:
        """Keep all three, and what control is to hear all the same."""
        super().__init__(text)
        self.status = status
        self.answer = {"error": text, **more}
        self.knock: NodeKnocked | None = None


class Door:
    """Decides by the view what control gets to hear of agents."""

    def __init__(self, mode: str, token: str, *, unsigned: bool) -> None:
        """Know how nodes join, and whether those may that do not sign."""
        self._mode = mode
        self._token = token
        self._unsigned = unsigned
        self._counters: dict[tuple[NodeId, str], int] = {}
        self._speaking: dict[tuple[NodeId, str], tuple[float, float]] = {}
        """When a node's agent was started, by its clock, and when it was last heard, by ours."""

    def admitted(self, exchange: Exchange, view: View) -> tuple[NodeId, list[Event]]:
        """Return the node, and what control is to hear. Raises `ValueError`, `NotAdmittedError`."""
        request, peer = exchange.request, exchange.peer
        _not_too_much(len(request.body), MOST_BYTES, "bytes")
        fact = parse_heartbeat(request.body, peer)
        signed = signed_by(request)
        if isinstance(fact, HeartbeatReceived):
            _not_too_much(len(fact.models) + len(fact.resident), MOST_MODELS, "models")
            _not_a_trap(fact.url, peer)
        _not_a_named_one(fact, view, here=_is_own(peer) and not forwarded(request))
        if signed is None:
            if isinstance(fact, HeartbeatReceived) and fact.url.startswith(_RELAY):
                raise NotAdmittedError(FORBIDDEN, "an agent that relays signs what it says")
            self._check_unsigned(fact.node_id, view)
            return fact.node_id, [fact]
        if not isinstance(fact, HeartbeatReceived):
            raise NotAdmittedError(FORBIDDEN, "a heartbeat that is signed is a whole one")
        self._check(signed, fact, view, exchange)
        pins: list[Event] = []
        if fact.node_id not in view.pins:
            self._join(signed, fact, view, peer)
            pins.append(NodePinned(node_id=fact.node_id, node_key=signed.node_key, by=peer))
        self._outlives((fact.node_id, signed.node_key), started_s(request.body), view)
        self._counters[fact.node_id, signed.node_key] = signed.counter
        told = _with_signer(fact, signed)
        if not signed.next_key or signed.next_key == signed.node_key:
            return fact.node_id, [*pins, told]
        rotated = NodePinned(
            node_id=fact.node_id,
            node_key=signed.next_key,
            replaces=signed.node_key,
            by="its old key",
        )
        return fact.node_id, [*pins, told, rotated]

    def _check_unsigned(self, node_id: NodeId, view: View) -> None:
        if node_id in view.pins:
            raise NotAdmittedError(FORBIDDEN, _taken(node_id, view))
        if self._mode != "open" or not self._unsigned:
            text = (
                "this balancer takes only nodes that sign what they say: run `herd node` of its "
                "version there, or set FLEET_ALLOW_UNSIGNED_NODES=1 with FLEET_JOIN=open"
            )
            raise NotAdmittedError(FORBIDDEN, text)
        _not_too_many(node_id, view)

    def _check(
        self, signed: Signed, fact: HeartbeatReceived, view: View, exchange: Exchange
    ) -> None:
        """See that this is the key that speaks for the node, now, and for the first time."""
        node_id, pin = fact.node_id, view.pins.get(fact.node_id)
        if not view.challenge:
            raise NotAdmittedError(UNAVAILABLE, "control is away, and should be back soon")
        after = self._counters.get((node_id, signed.node_key), 0)
        if signed.challenge != view.challenge or signed.counter <= after:
            text = "sign this challenge, with a counter above that"
            raise NotAdmittedError(UNAUTHORIZED, text, challenge=view.challenge, after=after)
        if not signed.holds(exchange.request.body):
            raise NotAdmittedError(FORBIDDEN, "the signature of this heartbeat is wrong")
        if pin is not None and (pin.revoked or pin.node_key != signed.node_key):
            refused = NotAdmittedError(FORBIDDEN, _taken(node_id, view), other_key=True)
            if pin.revoked:
                refused.knock = _knock(signed, fact, exchange.peer)
            raise refused

    def _outlives(self, signer: tuple[NodeId, str], started: float, view: View) -> None:
        """See that no agent speaks for the node that was started later."""
        latest, heard_s = self._speaking.get(signer, (0.0, -math.inf))
        if started < latest and monotonic() - heard_s < SILENT_S:
            node_id, _ = signer
            places = [f" at {node.url}" for node in view.nodes if node.node_id == node_id]
            text = (
                f"another agent with this key, started later, speaks for '{node_id}'"
                f"{''.join(places)}: stop one of them, or, if one machine is a copy of the other, "
                "give one of them another --node-id and, for its key, --data-dir"
            )
            raise NotAdmittedError(FORBIDDEN, text)
        self._speaking[signer] = started, monotonic()

    def _join(self, signed: Signed, fact: HeartbeatReceived, view: View, peer: str) -> None:
        """See that a new node may join."""
        node_id = fact.node_id
        _not_too_many(node_id, view)
        if self._mode == "token":
            wanted = join_proof(self._token, view.challenge, node_id, signed.node_key)
            if not self._token or not hmac.compare_digest(wanted, signed.proof):
                text = (
                    "this fleet takes nodes that know its join token: `herd nodes token` on the "
                    "balancer's machine tells it, `herd node --join-token TOKEN` shows it"
                )
                raise NotAdmittedError(FORBIDDEN, text)
        elif self._mode != "open":
            text = (
                f"'{node_id}' waits for an operator: `herd nodes approve {node_id}` on the "
                f"balancer's machine, if its key is {fingerprint(signed.node_key)}"
            )
            refused = NotAdmittedError(FORBIDDEN, text, waits=True)
            refused.knock = _knock(signed, fact, peer)
            raise refused


def _knock(signed: Signed, fact: HeartbeatReceived, peer: str) -> NodeKnocked:
    return NodeKnocked(node_id=fact.node_id, node_key=signed.node_key, url=fact.url, by=peer)


def _with_signer(fact: HeartbeatReceived, signed: Signed) -> HeartbeatReceived:
    return msgspec.structs.replace(fact, node_key=signed.node_key, counter=signed.counter)


def _taken(node_id: NodeId, view: View) -> str:
    if view.pins[node_id].revoked:
        return (
            f"'{node_id}' was revoked: `herd nodes approve {node_id}` on the balancer's machine "
            "takes the key of an agent that signs"
        )
    return (
        f"another key speaks for '{node_id}': choose another --node-id, or, if its key was lost, "
        f"`herd nodes revoke {node_id}` on the balancer's machine, then approve the new one"
    )


def _not_too_much(found: int, most: int, of: str) -> None:
    if found > most:
        text = f"a heartbeat has {most:,} {of} at most, this one {found:,}: delete models there"
        raise NotAdmittedError(TOO_LARGE, text)


def _not_too_many(node_id: NodeId, view: View) -> None:
    if len(view.nodes) >= MOST_NODES and all(node.node_id != node_id for node in view.nodes):
        text = (
            f"this fleet has {MOST_NODES} nodes, and takes no more: `herd nodes revoke NAME` on "
            "the balancer's machine forgets one that is gone"
        )
        raise NotAdmittedError(UNAVAILABLE, text)


def _not_a_named_one(fact: HeartbeatReceived | DrainRequested, view: View, *, here: bool) -> None:
    named = next((node for node in view.nodes if node.node_id == fact.node_id), None)
    if named is None or named.origin == "agent" or here:
        return
    if isinstance(fact, DrainRequested) or place(fact.url) != place(named.url):
        text = (
            f"'{fact.node_id}' is a node of the balancer's own command line, at {named.url}: "
            "choose another --node-id, or start the balancer without that --node"
        )
        raise NotAdmittedError(FORBIDDEN, text)


def _not_a_trap(url: str, peer: str) -> None:
    """Refuse an address that nobody should make herd ask."""
    host = urlsplit(url).hostname or ""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return  # a name: it is the resolver's to say what it means
    plain = getattr(address, "ipv4_mapped", None) or address
    reserved = plain.is_multicast or plain.is_unspecified or plain.is_reserved
    if reserved or (plain.is_link_local and host.partition("%")[0] != peer.partition("%")[0]):
        text = f"{host} is no address of a node: name another with --ollama-host"
        raise NotAdmittedError(FORBIDDEN, text)


def _is_own(peer: str) -> bool:
    """Whether an address is this machine's."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return not peer  # a Unix socket has none
    return address.is_loopback or str(address) in own_addresses()
