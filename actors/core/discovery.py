"""Discovery: which nodes there are, and where.

One Ollama is one node. If it was named on the command line and its agent speaks for it too, the
agent's word counts, and the named node is forgotten.
"""

from actors.core.commands import Command
from actors.core.state import Node, State
from events import (
    ConfigurationLoaded,
    Event,
    HeartbeatReceived,
    NodeConfigured,
    NodeDiscovered,
    NodeForgotten,
    NodeId,
    NodeKnocked,
    NodeMoved,
    NodePinned,
    NodeRevoked,
    Origin,
    Recorded,
)

NAME = "discovery"

HEARS: tuple[type[Event], ...] = (
    ConfigurationLoaded,
    NodeConfigured,
    HeartbeatReceived,
    NodeDiscovered,
    NodeMoved,
    NodeForgotten,
    NodePinned,
    NodeKnocked,
    NodeRevoked,
)


def evolve(state: State, record: Recorded) -> None:
    """Fold one event into the list of nodes."""
    match record.event:
        case NodeConfigured(node_id=node_id, url=url, origin=origin, slots=slots):
            node = _found(state, node_id, url, origin)
            node.told_slots = slots
        case HeartbeatReceived(node_id=node_id, url=url):
            _found(state, node_id, url, "agent")
        case NodeDiscovered(node_id=node_id):
            state.nodes[node_id].announced = True
        case NodeMoved(node_id=node_id, url=url):
            state.nodes[node_id].url = url
        case NodeForgotten(node_id=node_id):
            state.nodes.pop(node_id, None)
        case _:
            state.door.evolve(record.event, record.recorded_at)


def decide(state: State, record: Recorded) -> list[Command]:
    """Announce new nodes, follow moved ones, forget those that the command line dropped."""
    match record.event:
        case NodeConfigured(node_id=node_id, url=url):
            node = state.nodes[node_id]
            for twin in _twins(state, node, url):
                if twin.origin == "agent" and twin.health in {"healthy", "degraded"}:
                    return [_forgotten(node, f"its agent {twin.node_id} speaks for it")]
            return _placed(node, url)
        case HeartbeatReceived(node_id=node_id, url=url):
            node = state.nodes[node_id]
            named = [twin for twin in _twins(state, node, url) if twin.origin != "agent"]
            reason = f"its agent {node_id} speaks for it"
            return _placed(node, url) + [_forgotten(twin, reason) for twin in named]
        case NodeRevoked(node_id=node_id):
            revoked = state.nodes.get(node_id)
            there = revoked is not None and revoked.origin == "agent"
            return [NodeForgotten(node_id=node_id, reason="revoked")] if there else []
        case ConfigurationLoaded(settings=settings):
            words = [word.split(",")[0] for word in str(settings.get("nodes", "")).split()]
            return [
                _forgotten(node, "no longer on the command line")
                for node in state.nodes.values()
                if node.origin != "agent" and node.url not in words
            ]
        case _:
            pass
    return []


def place(url: str) -> str:
    """Return a node's address in one spelling: this machine has several names for itself."""
    for name in ("//127.0.0.1", "//[::1]"):
        url = url.replace(name, "//localhost")
    return url


def _twins(state: State, node: Node, url: str) -> list[Node]:
    """Return the other nodes at the address that a node has now: one Ollama must not count twice.

    Before the first edition of the rules: at the one that it had before it moved.
    """
    here = place(url if state.settings.rules else node.url)
    return [
        other for other in state.nodes.values() if other is not node and place(other.url) == here
    ]


def _placed(node: Node, url: str) -> list[Command]:
    if not node.announced:
        return [
            NodeDiscovered(node_id=node.node_id, url=url, origin=node.origin, slots=node.told_slots)
        ]
    return [] if node.url == url else [NodeMoved(node_id=node.node_id, url=url)]


def _forgotten(node: Node, reason: str) -> NodeForgotten:
    return NodeForgotten(node_id=node.node_id, reason=reason)


def _found(state: State, node_id: NodeId, url: str, origin: Origin) -> Node:
    node = state.nodes.get(node_id)
    if node is None:
        node = state.nodes[node_id] = Node(node_id=node_id, url=url, origin=origin)
    elif origin == "agent":
        node.origin = origin
    return node
