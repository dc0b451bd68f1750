"""What a translation needs to know beside the text: of the request, and of the node."""

from collections.abc import Callable

import msgspec

from events import ModelFacts
from herd.dialects.dates import rfc3339
from herd.dialects.names import key


def _never() -> float:
    return 0.0


class Asking(msgspec.Struct, frozen=True, gc=False):
    """A request that went to its node translated."""

    model: str
    """As the client spells it; of another model that serves in its place, the fleet's name."""
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
        return rfc3339(self.wall_s + self.now_s() - self.began_s)


class Node(msgspec.Struct, frozen=True, gc=False):
    """What is known of the node that is to be asked."""

    ollama: bool = True
    """It has Ollama's own routes."""
    models: tuple[ModelFacts, ...] = ()

    def called(self, model: str) -> str:
        """Return a model's name as it is spelled there: only an Ollama takes any spelling."""
        if self.ollama or any(facts.name == model for facts in self.models):
            return model
        wanted = key(model)
        return next((facts.name for facts in self.models if key(facts.name) == wanted), model)

    def thinks(self, model: str) -> bool | None:
        """Return whether a model is able to think there; None if the node did not say."""
        wanted = key(model)
        for facts in self.models:
            if facts.capabilities and key(facts.name) == wanted:
                return "thinking" in facts.capabilities
        return None


class Question(msgspec.Struct, frozen=True, gc=False):
    """A request in the words of the other route."""

    body: bytes
    left_out: tuple[str, ...] = ()
    """Parameters that the client would look for in vain: it is told their names."""
