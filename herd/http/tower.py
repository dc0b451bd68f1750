"""What a request on its way needs of the front that it came to."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from events import Event
from herd.http.upstream import Pool

if TYPE_CHECKING:
    from herd.http.flight import Flight


class Tower(Protocol):
    """What a flight needs of the front."""

    now_s: Callable[[], float]
    """The loop's time."""

    def pool(self, url: str) -> Pool:
        """Return the connections to a node."""
        ...

    def report(self, event: Event) -> bool:
        """Tell control; False if the link takes no more."""
        ...

    def ended(self, flight: "Flight") -> None:
        """Forget a flight."""
        ...

    def elsewhere(self, model: str, url: str) -> bool:
        """Whether a node of another address takes a model, and did not refuse it lately."""
        ...

    def answered(self, model: str, url: str, *, refused: bool) -> None:
        """Know whether a node refused a model for reasons of its own."""
        ...

    @property
    def online(self) -> bool:
        """Whether any node is online."""
        ...
