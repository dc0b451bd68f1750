"""The Discovery actor: which nodes there are, and where."""

from actors.core.state import State
from actors.shell import CoreActor, Mailroom


class Discovery(CoreActor):
    """Announces new nodes, follows those that moved, forgets those that were dropped."""

    def __init__(self, mailroom: Mailroom, state: State) -> None:
        """Shell over `actors.core.discovery`."""
        super().__init__(mailroom, state, ("discovery", ""))
