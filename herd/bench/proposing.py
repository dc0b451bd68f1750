"""What a smart benchmark would pull, pure: what is recommended and fits. Nobody pulls it unasked.

That is what the log speaks for (`herd.health.advice`), and for a node without any model of a type
that is measured the largest of the catalogue that takes half of its free memory at most.
"""

from collections.abc import Iterator

import msgspec

from events import ModelType
from herd.bench.choosing import Known
from herd.health import catalogue
from herd.health.advice import advice
from herd.health.picture import Picture
from herd.health.proposals import ROOM, free_bytes, size_bytes, takes
from herd.link.messages import NodeView

MOST = 3
HALF = 0.5
CATEGORIES: dict[ModelType, str] = {"llm": "general", "embed": "embedding"}
USUAL_MOST_BYTES = 20_000_000_000


class Proposed(msgspec.Struct, frozen=True):
    """A model that is not where it would be measured."""

    model: str
    node_id: str
    size_bytes: int
    """On the disk; as far as anybody knows."""
    reason: str


def propose(picture: Picture, model_types: tuple[ModelType, ...]) -> list[Proposed]:
    """Return at most `MOST` pulls, those that the log speaks for first."""
    found: dict[str, Proposed] = {}
    for each in (*_advised(picture), *_first_ones(picture, model_types)):
        node = next((n for n in picture.view.nodes if n.node_id == each.node_id), None)
        if node is not None and _has_disk(node, each.size_bytes):
            found.setdefault(each.model, each)
    return list(found.values())[:MOST]


def _advised(picture: Picture) -> Iterator[Proposed]:
    for each in advice(picture):
        if each.kind == "pull":
            size = size_bytes(picture, each.model)
            yield Proposed(each.model, each.node_id, size, each.reason)


def _first_ones(picture: Picture, model_types: tuple[ModelType, ...]) -> Iterator[Proposed]:
    most_bytes = picture.view.settings.get("auto_pull_max_bytes")
    limit = most_bytes if isinstance(most_bytes, int) and most_bytes else USUAL_MOST_BYTES
    for node in picture.nodes_online():
        if not takes(node):
            continue
        for kind in model_types:
            has = any(
                Known(m.name, m.size_bytes, list(m.capabilities)).model_type == kind
                for m in node.models
            )
            best = catalogue.largest(CATEGORIES[kind], min(limit, HALF * free_bytes(node) / ROOM))
            if not has and best is not None:
                what = "embedding model" if kind == "embed" else "model that answers"
                reason = f"{node.node_id} has no {what} on its disk."
                yield Proposed(best.name, node.node_id, best.size_bytes, reason)


def _has_disk(node: NodeView, size: int) -> bool:
    return not node.facts.disk_bytes or node.facts.disk_free_bytes > ROOM * size
