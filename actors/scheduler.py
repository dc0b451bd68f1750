"""The Scheduler actor: who runs where."""

from actors.core.state import State
from actors.shell import CoreActor, Mailroom


class Scheduler(CoreActor):
    """Binds waiting requests to free slots, and frees the slots again."""

    def __init__(self, mailroom: Mailroom, state: State) -> None:
        """Shell over `actors.core.scheduling`."""
        super().__init__(mailroom, state, ("scheduler", ""))
