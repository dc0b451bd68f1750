"""Memory: whether a model fits on a node, and which idle models have to make room for it.

An Ollama drops the idle model that was unused the longest, and never one with work; it keeps so
many models at once. What a model takes is what it was seen to take; else it is reckoned from its
weights. A node that does not tell its memory has room for everything.
"""

from actors.core.estimates import loading, most_loaded, resident_bytes
from actors.core.state import Node

BOUNDLESS = 1 << 62


def victims(node: Node, model: str) -> list[str] | None:
    """Return the idle models that have to go; None if the model cannot be loaded now."""
    wanted_bytes = resident_bytes(node, model)
    free_bytes = _memory_bytes(node, wanted_bytes)
    most = most_loaded(node)
    idle: list[tuple[int, str]] = []
    there = _there(node)
    for other in there:
        free_bytes -= resident_bytes(node, other)
        slots = node.slots.get(other)
        if slots is None or not slots.in_flight:
            speed = node.speeds.get(other)
            idle.append((0 if speed is None else speed.used_us, other))
    leaving: list[str] = []
    idle.sort()
    for _, other in idle:
        if free_bytes >= wanted_bytes and len(there) - len(leaving) < most:
            break
        leaving.append(other)
        free_bytes += resident_bytes(node, other)
    return leaving if free_bytes >= wanted_bytes and len(there) - len(leaving) < most else None


def cheapest(node: Node, model: str) -> list[str] | None:
    """Return the models to wait for until it fits: those with the least work; None if never."""
    wanted_bytes = resident_bytes(node, model)
    free_bytes = _memory_bytes(node, wanted_bytes)
    if wanted_bytes > free_bytes:
        return None
    there = _there(node)
    for other in there:
        free_bytes -= resident_bytes(node, other)
    there.sort(key=lambda other: (in_flight(node, other), other))
    leaving: list[str] = []
    for other in there:
        if free_bytes >= wanted_bytes and len(there) - len(leaving) < most_loaded(node):
            break
        leaving.append(other)
        free_bytes += resident_bytes(node, other)
    return leaving


def in_flight(node: Node, model: str) -> int:
    """Return how many requests of a model run on a node."""
    slots = node.slots.get(model)
    return 0 if slots is None else slots.in_flight


def fits(node: Node, coming: list[str]) -> bool:
    """Whether what is being loaded fits beside what is there, so that nothing has to go."""
    if not coming:
        return True
    used_bytes = 0
    there = _there(node)
    for model in there:
        used_bytes += resident_bytes(node, model)
    return len(there) <= most_loaded(node) and used_bytes <= _memory_bytes(node, 0)


def _there(node: Node) -> list[str]:
    """Return the models in memory, or on their way there."""
    return [*node.resident, *loading(node)]


def _memory_bytes(node: Node, wanted_bytes: int) -> int:
    """Return the memory for models: the graphics card's; the system's too for one too large."""
    vram_bytes = node.facts.vram_bytes or BOUNDLESS
    return vram_bytes if wanted_bytes <= vram_bytes else max(vram_bytes, node.facts.memory_bytes)
