"""Which models a benchmark asks, pure: from what the fleet says of itself.

`default` takes what is in memory. `smart` also loads: for each node the models on its disk that
were asked for most lately, the smaller ones first where that is equal, as long as they fit beside
what is there. Nothing is pulled, and nothing needs to leave.
"""

from collections.abc import Mapping

import msgspec

from events import BenchmarkMode, ModelType
from herd.dialects.names import key
from herd.errors import HerdError

MOST_MODELS = 8
MOST_AT_ONCE = 16
"""Requests of one model."""
SHARE_OF_MEMORY = 0.75
"""Of a machine without memory of its own for models: the rest is for the system."""
WEIGHT = 1.2
"""What a model takes in memory, as a multiple of its size on disk."""
USUAL_CAP = 3
"""Models that a node keeps in memory, where it does not say."""
_GIB = 1024**3
_GB = 1000**3


class Hardware(msgspec.Struct):
    """A machine, as `/fleet/status` has it; None is what its node does not tell."""

    memory_total_gb: float | None = None
    vram_total_gb: float | None = None
    cores_physical: int | None = None


class Loaded(msgspec.Struct):
    """A model in memory."""

    name: str
    size_gb: float | None = None


class Ollama(msgspec.Struct):
    """What a node has."""

    models_loaded: list[Loaded] = []
    models_available_sizes: dict[str, float] = {}
    max_loaded_models: int = 0


class Node(msgspec.Struct):
    """A node."""

    node_id: str
    status: str = "online"
    draining: bool = False
    hardware: Hardware = msgspec.field(default_factory=Hardware)
    ollama: Ollama = msgspec.field(default_factory=Ollama)


class Queue(msgspec.Struct):
    """A model at a node."""

    model: str
    node_id: str = ""
    in_flight: int = 0
    concurrency: int = 0


class Status(msgspec.Struct):
    """`/fleet/status`, as far as it matters here."""

    nodes: list[Node] = []
    queues: dict[str, Queue] = {}

    @property
    def usable(self) -> list[Node]:
        """Those that take work."""
        return [node for node in self.nodes if node.status == "online" and not node.draining]


class Known(msgspec.Struct):
    """A model, as `/api/tags` has it."""

    name: str
    size: int = 0
    capabilities: list[str] = []

    @property
    def model_type(self) -> ModelType:
        """What it is asked for."""
        embeds = "embedding" in self.capabilities and "completion" not in self.capabilities
        return "embed" if embeds else "llm"


class Choice(msgspec.Struct, frozen=True):
    """A model that is asked."""

    model: str
    model_type: ModelType = "llm"
    size_bytes: int = 0


def choose(
    mode: BenchmarkMode,
    status: Status,
    known: list[Known],
    used: Mapping[str, int],
    model_types: tuple[ModelType, ...],
) -> list[Choice]:
    """Return what to ask, those in memory first; `used` is how often each was asked for lately.

    Raises `HerdError` if there is nothing.
    """
    if not status.usable:
        raise HerdError("no node takes work", "`herd status` shows why")
    facts = {key(model.name): model for model in known}
    names = [name for node in status.usable for name in _resident(node)]
    if mode == "smart":
        names += [name for node in status.usable for name in _fitting(node, used)]
    found: dict[str, Choice] = {}
    for name in names:
        model = facts.get(key(name)) or Known(name)
        if model.model_type in model_types:
            found.setdefault(key(name), Choice(name, model.model_type, model.size))
    if not found:
        types = " or ".join(model_types)
        raise HerdError(
            f"no model of type {types} is in memory"
            if mode == "default"
            else f"no model of type {types} fits into any node's memory",
            "ask one first, choose the mode smart, or name models",
        )
    return list(found.values())[:MOST_MODELS]


def named(models: tuple[str, ...], known: list[Known]) -> list[Choice]:
    """Return the models that somebody named. Raises `HerdError` if one is nowhere."""
    facts = {key(model.name): model for model in known}
    found: dict[str, Choice] = {}
    for name in models:
        model = facts.get(key(name))
        if model is None:
            raise HerdError(f"no node that is online has {name}", f"`herd pull {name}` fetches it")
        found.setdefault(key(name), Choice(model.name, model.model_type, model.size))
    return list(found.values())


def at_once(status: Status, model: str) -> int:
    """Return how many requests of a model fill its slots."""
    usable = {node.node_id for node in status.usable}
    slots = [
        queue.concurrency
        for queue in status.queues.values()
        if key(queue.model) == key(model) and queue.node_id in usable
    ]
    return max(1, min(MOST_AT_ONCE, sum(slots)))


def _resident(node: Node) -> list[str]:
    return [model.name for model in node.ollama.models_loaded]


def _fitting(node: Node, used: Mapping[str, int]) -> list[str]:
    """Return what fits beside what is in memory; of a memory that nobody knows, one model."""
    resident = {key(name) for name in _resident(node)}
    sizes = node.ollama.models_available_sizes
    liked = sorted(sizes, key=lambda each: (-used.get(key(each), 0), sizes[each], each))
    memory = node.hardware.vram_total_gb or (node.hardware.memory_total_gb or 0.0) * SHARE_OF_MEMORY
    if not memory:
        return [] if resident else liked[:1]
    room_bytes = memory * _GIB - sum(m.size_gb or 0.0 for m in node.ollama.models_loaded) * _GIB
    places = (node.ollama.max_loaded_models or USUAL_CAP) - len(resident)
    found: list[str] = []
    for name in liked:
        needs_bytes = sizes[name] * _GB * WEIGHT
        if key(name) not in resident and places > 0 and 0 < needs_bytes <= room_bytes:
            found.append(name)
            places -= 1
            room_bytes -= needs_bytes
    return found
