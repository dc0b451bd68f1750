"""What a log shows of one node: what it is, which models it has, what it had in memory at first."""

from datetime import datetime

import msgspec

from actors.core.state import US, Node
from events import ModelFacts, NodeFacts, NodeId

FOR_EVER_S = 10 * 86_400.0
"""A model that is to stay longer than this stays for ever."""


class Seen(msgspec.Struct, gc=False):
    """One node, all that was said of it put together."""

    node_id: NodeId
    url: str = ""
    told_slots: int = 0
    facts: NodeFacts = NodeFacts()
    models: dict[str, ModelFacts] = {}
    at_first: tuple[str, ...] | None = None
    """What was in its memory when it was first heard of; None if it never was."""
    context_tokens: int = 0
    """The largest context of a model in its memory."""
    keep_alive_s: float = 0.0
    """The longest that a model was to stay; below 0 for ever, 0 if that was never told."""

    @property
    def slots(self) -> int:
        """How many requests of a model it serves at once, as told; 0 if nobody told."""
        return self.told_slots or self.facts.slots

    @property
    def loads(self) -> bool:
        """Whether it loads models on demand; a server of OpenAI's routes has its own at once."""
        return self.facts.dialect == "ollama"

    def look(self, node: Node, at_us: int) -> None:
        """Add what the state says of it at an instant."""
        self.url = node.url
        self.told_slots = node.told_slots
        self.facts = node.facts
        self.models |= node.models
        if not node.heard:
            return
        if self.at_first is None:
            self.at_first = tuple(node.resident)
        for model in node.resident.values():
            self.models.setdefault(
                model.name, ModelFacts(name=model.name, size_bytes=model.size_bytes)
            )
            self.context_tokens = max(self.context_tokens, model.context_length)
            if self.keep_alive_s >= 0:
                self._stays(_left_s(model.expires_at, at_us))

    def _stays(self, left_s: float) -> None:
        self.keep_alive_s = -1.0 if left_s > FOR_EVER_S else max(self.keep_alive_s, left_s)


def _left_s(expires_at: str, at_us: int) -> float:
    """Return the seconds until a model expires, 0 where that is not known."""
    try:
        when = datetime.fromisoformat(expires_at)
        return when.timestamp() - at_us / US
    except (ValueError, OverflowError):
        return 0.0
