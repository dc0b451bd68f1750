"""The Queue actors: who waits for a model. One per model, made on demand."""

from actors.core.state import State
from actors.shell import CoreActor, Mailroom


class Queue(CoreActor):
    """Admits the requests of one model, keeps their order, ends those that waited too long."""

    def __init__(self, mailroom: Mailroom, state: State, model: str) -> None:
        """Shell over `actors.core.queueing`; an empty model is the hold queue."""
        super().__init__(mailroom, state, ("queue", model))
