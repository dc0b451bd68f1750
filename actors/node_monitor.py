"""The NodeMonitor actor: what each node is able to do now."""

from actors.core.state import State
from actors.shell import CoreActor, Mailroom


class NodeMonitor(CoreActor):
    """Names every change of a node's health, draining and circuits."""

    def __init__(self, mailroom: Mailroom, state: State) -> None:
        """Shell over `actors.core.health`."""
        super().__init__(mailroom, state, ("node_monitor", ""))
