"""Nodes that refused a model for lack of memory are not asked for it again at once.

What a node has besides what herd knows of (its owner's programs, other models that were on their
way out) may have been in the way: so the first refusal counts for a minute, the next in a row for
ten times as long, up to `refused_for_s`. It counts for nothing once the node's memory or the model
is another one. Such a node is asked last, only where no other can serve.
"""

from actors.core.circuits import Refusal
from actors.core.estimates import weights_bytes
from actors.core.state import US, Node, State

LASTS_S = (60.0, 600.0, 6000.0)
"""How long the first refusals in a row count; those after them for `refused_for_s`."""
SAID = ("not enough memory", "out of memory", "more system memory")
"""How herd names such an error of a node, and how an Ollama does."""


def says(error: str) -> bool:
    """Whether an error is about memory."""
    return any(words in error for words in SAID)


def refused(state: State, node: Node, model: str, error: str, now_us: int) -> None:
    """Note that a node could not load a model, if that is what it said."""
    if state.settings.refused_for_s <= 0 or not says(error):
        return
    known = node.refusals.get(model)
    count = 1 if known is None or not _same(node, model, known) else known.count + 1
    size_bytes, memory_bytes = weights_bytes(node, model), _memory_bytes(node)
    node.refusals[model] = Refusal(now_us, count, size_bytes, memory_bytes)


def took(node: Node, model: str) -> None:
    """Note that a node has a model in its memory after all."""
    node.refusals.pop(model, None)


def until_us(state: State, node: Node, model: str) -> int:
    """Return the last instant at which a node is not asked for a model; 0 if it may be."""
    refusal = node.refusals.get(model)
    if refusal is None or not _same(node, model, refusal):
        return 0
    lasts_s = state.settings.refused_for_s
    if refusal.count <= len(LASTS_S):
        lasts_s = min(lasts_s, LASTS_S[refusal.count - 1])
    return refusal.at_us + int(lasts_s * US)


def _same(node: Node, model: str, refusal: Refusal) -> bool:
    """Whether the node and the model are as they were."""
    told = weights_bytes(node, model), _memory_bytes(node)
    return told == (refusal.size_bytes, refusal.memory_bytes)


def _memory_bytes(node: Node) -> int:
    return node.facts.vram_bytes + node.facts.memory_bytes
