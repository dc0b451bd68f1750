"""The Reaper actor: ends running requests that make no progress."""

from actors.core.state import State
from actors.shell import CoreActor, Mailroom


class Reaper(CoreActor):
    """Watches over leases."""

    def __init__(self, mailroom: Mailroom, state: State) -> None:
        """Shell over `actors.core.reaping`."""
        super().__init__(mailroom, state, ("reaper", ""))
