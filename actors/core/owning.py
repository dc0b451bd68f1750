"""Owners: a node may be somebody's own machine, and its agent says what he lends of it.

* While it is paused it takes no work, from nobody and for no model: not a request, a load or a
  pull. What runs there may finish. Where no other node has a model, its requests are held.
* `max_requests` may run there at once, of all models together.
* Models that herd loads there take `max_bytes` together. One that is larger alone gets no requests
  there, unless it is in memory already; others go first, unloaded by herd itself (`clearing`).
* `available_share` is what he leaves: the less, the more another node is preferred (`soonest`).

A node without an agent has no limits.
"""

from actors.core.commands import Command
from actors.core.estimates import is_coming, is_planned, resident_bytes
from actors.core.fitting import must_load, victims
from actors.core.slots import Slots
from actors.core.state import Node, State
from events import HeartbeatReceived, Limits, NodePaused, NodeResumed


def evolve(state: State, event: NodePaused | NodeResumed) -> None:
    """Fold that a node's owner wants it, or lends it again."""
    if (node := state.nodes.get(event.node_id)) is not None:
        node.paused = event.reason if isinstance(event, NodePaused) else ""


def told(node: Node, event: HeartbeatReceived) -> None:
    """Fold what a node's owner allows, after what it has in memory and on its disk."""
    node.limits = event.limits
    measure(node)


def measure(node: Node) -> None:
    """Note which of its models are larger than its owner allows, by what it has in memory."""
    most_bytes = node.limits.max_bytes
    node.too_large = [
        model
        for model in node.models
        if most_bytes and model not in node.resident and resident_bytes(node, model) > most_bytes
    ]


def pauses(node: Node, limits: Limits) -> list[Command]:
    """Name the change, if its owner wants a node now or lends it again."""
    reason = limits.paused
    if reason == node.paused:
        return []
    if reason:
        return [NodePaused(node_id=node.node_id, reason=reason)]
    return [NodeResumed(node_id=node.node_id)]


def keeps(node: Node, model: str) -> bool:
    """Whether a node's owner keeps it from serving a model now."""
    return bool(node.paused) or model in node.too_large


def exhausted(node: Node) -> bool:
    """Whether a node runs as many requests as its owner allows."""
    most = node.limits.max_requests
    return 0 < most <= node.in_flight


def limit_of(node: Node, slots: Slots) -> int:
    """Return how many requests of a model, which has these slots, a node may hold at most."""
    most = node.limits.max_requests
    return min(most, slots.limit) if most else slots.limit


def free(node: Node, slots: Slots) -> bool:
    """Whether a node may get one more request of the model that has these slots."""
    return slots.in_flight < slots.limit and not exhausted(node)


def crowded(node: Node, model: str, now_us: int) -> bool:
    """Whether a model would exceed the memory that a node's owner allows, until others go."""
    if not node.limits.max_bytes:
        return False
    if node.planned is not None and is_planned(node, model):
        return bool(node.planned.leaving) and is_coming(node, model)
    return must_load(node, model, now_us) and victims(node, model) != []
