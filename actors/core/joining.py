"""Joining: which key speaks for which node. Part of Discovery.

A node without a pin is as in logs of before there were keys: whoever a front lets in speaks for it.
A pin outlives its node: a name that was claimed once stays claimed.
"""

import msgspec

from events import Event, HeartbeatReceived, NodeId, NodeKnocked, NodePinned, NodeRevoked

MOST_PINS = 4_096
MOST_KNOCKS = 64


class Pin(msgspec.Struct):
    """The key that speaks for a node."""

    node_key: str
    revoked: bool = False


class Knock(msgspec.Struct):
    """An agent that asks to join."""

    node_key: str
    url: str
    by: str
    at_us: int


class Door(msgspec.Struct):
    """Who may speak for a node, and who would like to."""

    pins: dict[NodeId, Pin] = {}
    knocks: dict[NodeId, Knock] = {}

    def hears(self, event: HeartbeatReceived) -> bool:
        """Whether a heartbeat comes from the one who speaks for its node."""
        pin = self.pins.get(event.node_id)
        return pin is None or (not pin.revoked and pin.node_key == event.node_key)

    def matters(self, event: NodePinned | NodeKnocked | NodeRevoked, *, there: bool) -> bool:
        """Whether it changes anything; `there` is whether an agent's node has that name."""
        pin = self.pins.get(event.node_id)
        knocked = event.node_id in self.knocks
        match event:
            case NodePinned(replaces=replaces) if pin is None:
                return not replaces and len(self.pins) < MOST_PINS
            case NodePinned(node_key=node_key, replaces=replaces, approved=approved):
                if pin is None or replaces != pin.node_key:  # somebody else was quicker
                    return False
                return approved if pin.revoked else node_key != pin.node_key
            case NodeKnocked():
                return not knocked and len(self.knocks) < MOST_KNOCKS
            case NodeRevoked():  # pragma: no branch (the last kind)
                return knocked or (there if pin is None else not pin.revoked)

    def evolve(self, event: Event, now_us: int) -> None:
        """Fold an event of the door."""
        match event:
            case NodePinned(node_id=node_id, node_key=node_key):
                self.pins[node_id] = Pin(node_key)
                self.knocks.pop(node_id, None)
            case NodeKnocked(node_id=node_id, node_key=node_key, url=url, by=by):
                self.knocks[node_id] = Knock(node_key, url, by, now_us)
            case NodeRevoked(node_id=node_id):
                pin = self.pins.setdefault(node_id, Pin(""))
                pin.revoked = True
                self.knocks.pop(node_id, None)
            case _:
                pass
