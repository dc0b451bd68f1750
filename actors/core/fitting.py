"""Memory: whether a model fits on a node, and which idle models have to make room for it.

An Ollama drops the idle model that was unused the longest, and never one with work; it keeps so
many models at once. What a model takes is what it was seen to take; else it is reckoned from its
weights. What the graphics card cannot hold lies in part in the system's memory. A node that does
not tell its memory has room for everything, until a model was seen to go as another came: then for
the most that was seen in it. One that seems too small has room for this one model alone, since a
reckoning may err and the node knows better.
"""

from collections.abc import Collection

from actors.core.estimates import (
    BOUNDLESS,
    beside_bytes,
    is_planned,
    is_remote,
    loading,
    most_loaded,
    resident_bytes,
)
from actors.core.state import US, Node

SHOWN_FOR_US = 10 * US
"""After that a node has told again what it has in memory."""


def in_memory(node: Node, model: str, now_us: int) -> bool:
    """Whether a node has a model in memory: as it said, or as an answer since then has shown."""
    if model in node.resident or is_remote(node, model):
        return True
    speed = node.speeds.get(model)
    if speed is None or now_us - speed.served_us > SHOWN_FOR_US:
        return False
    return all(other.load_began_us <= speed.served_us for other in node.speeds.values())


def must_load(node: Node, model: str, now_us: int) -> bool:
    """Whether a request would have to wait for a load: also if a load under way pushes it out."""
    if in_flight(node, model) or is_planned(node, model):
        return False
    return not in_memory(node, model, now_us) or not fits(node, loading(node))


def can_hold(node: Node, model: str) -> bool:
    """Whether a node has the memory for a model, were nothing else there."""
    return resident_bytes(node, model) <= memory_bytes(node)


def victims(node: Node, model: str, kept: Collection[str] = ()) -> list[str] | None:
    """Return the idle models that have to go; None if the model cannot be loaded now.

    Those that are kept never have to.
    """
    wanted_bytes = min(resident_bytes(node, model), memory_bytes(node))
    free_bytes = room_bytes(node, wanted_bytes)
    most = most_loaded(node)
    idle: list[tuple[int, str]] = []
    there = _there(node)
    for other in there:
        free_bytes -= resident_bytes(node, other)
        slots = node.slots.get(other)
        if other not in kept and (slots is None or not slots.in_flight):
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


def fits_without(node: Node, model: str, kept: Collection[str]) -> bool:
    """Whether a model fits beside those that are kept, once all others are gone."""
    others = [other for other in _there(node) if other not in kept]
    return making_room(node, model, others) is not None


def cheapest(node: Node, model: str) -> list[str]:
    """Return the models to wait for until it fits: those with the least work."""
    there = _there(node)
    there.sort(key=lambda other: (in_flight(node, other), other))
    return _leaving(node, model, there)[0]


def making_room(node: Node, model: str, idle: list[str]) -> list[str] | None:
    """Return the first of these models that have to go for another; None if all are too few."""
    leaving, fits_then = _leaving(node, model, idle)
    return leaving if fits_then else None


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
    return len(there) <= most_loaded(node) and used_bytes <= room_bytes(node, 0)


def _leaving(node: Node, model: str, order: list[str]) -> tuple[list[str], bool]:
    """Return the models, in that order, that go until another fits, and whether it does then."""
    wanted_bytes = min(resident_bytes(node, model), memory_bytes(node))
    free_bytes = room_bytes(node, wanted_bytes)
    there = _there(node)
    most = most_loaded(node)
    for other in there:
        free_bytes -= resident_bytes(node, other)
    leaving: list[str] = []
    for other in order:
        if free_bytes >= wanted_bytes and len(there) - len(leaving) < most:
            return leaving, True
        leaving.append(other)
        free_bytes += resident_bytes(node, other)
    return leaving, free_bytes >= wanted_bytes and len(there) - len(leaving) < most


def _there(node: Node) -> list[str]:
    """Return the models in memory, or on their way there."""
    return [*node.resident, *loading(node)]


def memory_bytes(node: Node) -> int:
    """Return all the memory that a model may lie in."""
    facts = node.facts
    told = facts.vram_bytes and facts.memory_bytes
    has_bytes = facts.vram_bytes + beside_bytes(facts) if told else BOUNDLESS
    return min(has_bytes, node.limits.max_bytes or BOUNDLESS)


def room_bytes(node: Node, wanted_bytes: int) -> int:
    """Return the memory for models: the graphics card's; the system's too for one too large.

    Never more than the node's owner allows.
    """
    vram_bytes, most_bytes = node.facts.vram_bytes, node.limits.max_bytes or BOUNDLESS
    if not vram_bytes:
        has_bytes = max(wanted_bytes, node.held_bytes) if node.evicts else BOUNDLESS
        return min(has_bytes, most_bytes)
    return min(vram_bytes, most_bytes) if wanted_bytes <= vram_bytes else memory_bytes(node)
