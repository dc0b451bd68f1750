"""Discovery: which nodes there are, and where."""

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
    NodeMoved,
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
            pass


def decide(state: State, record: Recorded) -> list[Command]:
    """Announce new nodes, follow moved ones, forget those that the command line dropped."""
    match record.event:
        case NodeConfigured(node_id=node_id, url=url) | HeartbeatReceived(node_id=node_id, url=url):
            node = state.nodes[node_id]
            if not node.announced:
                return [
                    NodeDiscovered(
                        node_id=node_id, url=url, origin=node.origin, slots=node.told_slots
                    )
                ]
            if node.url != url:
                return [NodeMoved(node_id=node_id, url=url)]
        case ConfigurationLoaded(settings=settings):
            named = [word.split(",")[0] for word in str(settings.get("nodes", "")).split()]
            return [
                NodeForgotten(node_id=node.node_id, reason="no longer on the command line")
                for node in state.nodes.values()
                if node.origin != "agent" and node.url not in named
            ]
        case _:
            pass
    return []


def _found(state: State, node_id: NodeId, url: str, origin: Origin) -> Node:
    node = state.nodes.get(node_id)
    if node is None:
        node = state.nodes[node_id] = Node(node_id=node_id, url=url, origin=origin)
    elif origin == "agent":
        node.origin = origin
    return node
