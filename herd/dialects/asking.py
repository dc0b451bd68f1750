"""What the words of an answer need to know of its request."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec


def _never() -> float:
    return 0.0


class Asking(msgspec.Struct, frozen=True, gc=False):
    """A request that went to its node translated."""

    model: str
    """As the client spells it."""
    body: bytes = b"{}"
    """In the client's words."""
    began_s: float = 0.0
    """When it was sent, by the clock of `now_s`."""
    wall_s: float = 0.0
    """The same instant in seconds since 1970."""
    now_s: Callable[[], float] = _never

    def age_ns(self) -> int:
        """Return the time since it was sent."""
        return round((self.now_s() - self.began_s) * 1e9)

    def date(self) -> str:
        """Return the date of now, as Ollama writes it."""
        now = datetime.fromtimestamp(self.wall_s + self.now_s() - self.began_s, UTC)
        return now.isoformat(timespec="microseconds").replace("+00:00", "Z")
