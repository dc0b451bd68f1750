"""What a model is for: told by the nodes that have it, else taken from its name.

A request is never moved to a model of another category, nor to one that lacks what it uses. Nodes
tell of no model that it is for code, so that is always read from the name.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from actors.core.state import State
from events import ModelFacts

Category: TypeAlias = Literal["embedding", "vision", "code", "reasoning", "chat"]

_NAMED: tuple[tuple[Category, tuple[str, ...]], ...] = (
    ("embedding", ("embed", "minilm", "bge-", "e5-", "gte-")),
    ("vision", ("vision", "llava", "moondream", "minicpm-v", "-vl", "vl:")),
    ("code", ("code", "devstral")),
    ("reasoning", ("-r1", "qwq", "gpt-oss", "reason", "think")),
)
"""Parts of names, in the order in which they count."""
_TOLD: tuple[tuple[Category, str], ...] = (
    ("embedding", "embedding"),
    ("vision", "vision"),
    ("code", ""),
    ("reasoning", "thinking"),
)


def facts_of(state: State, model: str) -> ModelFacts:
    """Return what is known of a model, from the node that tells the most of it."""
    found = ModelFacts(name=model)
    for node in state.nodes.values():
        facts = node.models.get(model)
        if facts is not None and len(facts.capabilities) >= len(found.capabilities):
            found = facts
    return found


def category(facts: ModelFacts) -> Category:
    """Return what a model is for."""
    told = facts.capabilities
    for (kind, parts), (_, capability) in zip(_NAMED, _TOLD, strict=True):
        if (capability in told) if told and capability else _is_named(facts, parts):
            return kind
    return "chat"


def can(facts: ModelFacts, needs: Sequence[str]) -> bool:
    """Whether a model has these capabilities, as Ollama calls them; unknown is no."""
    if facts.capabilities:
        return all(need in facts.capabilities for need in needs)
    return all(need == category(facts) for need in needs)


def _is_named(facts: ModelFacts, parts: tuple[str, ...]) -> bool:
    name = f"{facts.name} {facts.family}".lower()
    return any(part in name for part in parts)
