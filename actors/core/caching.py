"""Which beginnings of prompts a node still has in its cache, as far as herd sent them there.

An Ollama, as llama.cpp, keeps the keys and values of the last prompt in each slot, until another
prompt takes the slot: the one that begins alike, else the one unused the longest. So of each model
on a node the prompts that its idle slots last served are remembered, the latest last. They are
forgotten when the model is no longer in memory. What is cached is time that is not needed, and
nothing else: a request goes to another node as soon as that is sooner.

Not every server keeps what it might: how much of what was hoped for came true is learned for each
model on each node (`Speed.reuse`).
"""

from actors.core.fitting import in_memory
from actors.core.placement import slots_of
from actors.core.state import Node, Request

MOST_SLOTS = 16
"""More are not remembered of a model on a node."""
MOST_CACHED = 0.99
"""Something of each prompt is always taken in."""


def cached_share(node: Node, request: Request) -> float:
    """Return the part of a request's prompt that a node is expected to have in its cache."""
    hoped = hoped_share(node, request)
    if not hoped:
        return 0.0
    speed = node.speeds.get(request.model)
    return hoped * speed.reuse.value if speed is not None and speed.reuse.count else hoped


def hoped_share(node: Node, request: Request) -> float:
    """Return the same for a server that keeps all that it might."""
    caches = node.caches.get(request.model)
    if not caches:
        return 0.0
    _, size_bytes = _longest(caches, request)
    return min(MOST_CACHED, size_bytes / max(1, request.body_bytes))


def seated(node: Node, request: Request, *, cold: bool) -> None:
    """Note that a request takes a slot, its own counted: what was cached there goes."""
    if cold:
        node.caches.pop(request.model, None)
    caches = node.caches.get(request.model)
    if not caches:
        return
    place, size_bytes = _longest(caches, request)
    if size_bytes:
        del caches[place]
    slots = slots_of(node, request.model)
    idle = max(0, min(MOST_SLOTS, slots.limit) - slots.in_flight)
    del caches[: max(0, len(caches) - idle)]


def left(node: Node, request: Request) -> None:
    """Note that a slot is idle again, with this request's prompt in it."""
    if request.prefixes:
        caches = node.caches.setdefault(request.model, [])
        caches.append([prefix.hash for prefix in request.prefixes])
        del caches[:-MOST_SLOTS]


def told(node: Node, now_us: int) -> None:
    """Forget what was cached of models that are in memory no more."""
    for model in [each for each in node.caches if not in_memory(node, each, now_us)]:
        del node.caches[model]


def _longest(caches: list[list[str]], request: Request) -> tuple[int, int]:
    """Return which cache has the longest beginning of a prompt, and how long that is."""
    for prefix in reversed(request.prefixes):
        for place in range(len(caches) - 1, -1, -1):
            if prefix.hash in caches[place]:
                return place, prefix.size_bytes
    return 0, 0
