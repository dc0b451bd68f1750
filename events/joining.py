"""What happened at the door of the fleet: which key speaks for a node, and who asks to come in."""

from events.base import Event, NodeId


class NodePinned(Event, frozen=True, tag="node_pinned"):
    """A key speaks for a node from now on, and no other."""

    node_id: NodeId
    node_key: str
    """The public half, Ed25519, in hex."""
    replaces: str = ""
    """The key that did so until now."""
    approved: bool = False
    """An operator said so; else it is the first join, or the old key named the new one."""
    by: str = ""


class NodeKnocked(Event, frozen=True, tag="node_knocked"):
    """An agent asks to join, and waits for an operator's word; recorded once a name."""

    node_id: NodeId
    node_key: str
    url: str = ""
    by: str = ""


class NodeRevoked(Event, frozen=True, tag="node_revoked"):
    """Nobody speaks for a node any more, until an operator approves a key for it."""

    node_id: NodeId
    by: str = ""
