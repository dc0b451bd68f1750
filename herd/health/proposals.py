"""What else to change: models to move, to unload, to pull because no node has them; settings.

Each with what in the log of the last day speaks for it. Sizes are GiB.
"""

from collections.abc import Iterator

import msgspec

from herd.health import catalogue
from herd.health.picture import Picture, Work, newest
from herd.link.messages import NodeView

GIB = 1024**3
ROOM = 1.2
"""Of a model's size on the disk: what it takes with a usual context."""
FASTER = 1.5
LEAST_TOKENS = 500
LEAST_COMPLETED = 20
LEAST_ASKED = 3
RELOADS = 2
LEAST_RELOADS = 3


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do."""

    kind: str
    """pull, load, move, unload, setting or machine."""
    title: str
    reason: str
    priority: str
    """high, medium or low."""
    model: str = ""
    node_id: str = ""
    evidence: dict[str, object] = {}
    seqs: tuple[int, ...] = ()
    whatif: tuple[str, ...] = ()
    """Options of `herd whatif` that show its gain; none where it cannot be played."""


def free_bytes(node: NodeView) -> int:
    """Return the memory for models that no model has."""
    room = node.facts.vram_bytes or node.facts.memory_bytes
    return max(0, room - sum(model.size_bytes for model in node.resident))


def size_bytes(picture: Picture, model: str) -> int:
    """Return a model's size on the disk, of a node or of the catalogue; 0 if nobody knows."""
    found = max(
        (m.size_bytes for node in picture.view.nodes for m in node.models if m.name == model),
        default=0,
    )
    known = None if found else catalogue.find(model)
    return found if known is None else known.size_bytes


def missing(picture: Picture) -> Iterator[Advice]:
    """Propose to pull what was asked for and no node has, if the catalogue knows its size."""
    refused = picture.happened("request_rejected")
    asked = [each for each in refused if each.phase == "unknown_model"]
    for model in dict.fromkeys(each.model for each in asked):
        mine = [each for each in asked if each.model == model]
        count = sum(each.events for each in mine)
        known = catalogue.find(model)
        node = None if known is None else _roomiest(picture, known.size_bytes)
        if known is None or node is None or count < LEAST_ASKED or _is_here(picture, model):
            continue
        yield Advice(
            kind="pull",
            title=f"Pull {model} on {node.node_id}",
            reason=f"{count} requests for it were turned away in a day: no node has it. "
            f"{node.node_id} has room for it.",
            priority="medium",
            model=known.name,
            node_id=node.node_id,
            evidence={"turned_away_24h": count, "model_gb": round(known.size_bytes / GIB, 1)},
            seqs=newest(*(each.seqs for each in mine)),
        )


def moves(picture: Picture) -> Iterator[Advice]:
    """Propose a faster node for a model that has room there, where both were seen to answer."""
    for node in picture.nodes_online():
        for resident in node.resident:
            here = _pace(picture, node.node_id, resident.name)
            better = [
                (pace, other)
                for other in picture.nodes_online()
                if takes(other)
                and all(each.name != resident.name for each in other.resident)
                and free_bytes(other) >= resident.size_bytes > 0
                and (pace := _pace(picture, other.node_id, resident.name)) >= FASTER * here > 0
            ]
            work = _work(picture, node.node_id, resident.name)
            if not better or sum(each.completed for each in work) < LEAST_COMPLETED:
                continue
            pace, other = max(better, key=lambda each: each[0])
            yield Advice(
                kind="move",
                title=f"Move {resident.name} from {node.node_id} to {other.node_id}",
                reason=f"It makes {pace:.0f} tokens a second on {other.node_id}, which has room "
                f"for it, and {here:.0f} on {node.node_id}, where it is in memory.",
                priority="medium",
                model=resident.name,
                node_id=other.node_id,
                evidence={
                    "tokens_per_s_here": round(here, 1),
                    "tokens_per_s_there": round(pace, 1),
                    "free_gb": round(free_bytes(other) / GIB, 1),
                },
                seqs=newest(*(each.seqs for each in work)),
            )


def unloads(picture: Picture) -> Iterator[Advice]:
    """Propose that a model goes which nobody asked for, where others are loaded again and again."""
    for node in picture.nodes_online():
        again = [each for each in picture.work if each.node_id == node.node_id and each.again]
        loads = sum(each.again for each in again)
        if loads < LEAST_RELOADS:
            continue
        pinned = picture.view.pinned.get(node.node_id, ())
        for resident in node.resident:
            if resident.name in pinned or _work(picture, node.node_id, resident.name):
                continue
            yield Advice(
                kind="unload",
                title=f"Unload {resident.name} on {node.node_id}",
                reason=f"Nobody asked for it there in a day, and it takes "
                f"{resident.size_bytes / GIB:.1f} GiB where other models were loaded again "
                f"{loads} times in an hour. `ollama stop {resident.name}` there frees them.",
                priority="medium",
                model=resident.name,
                node_id=node.node_id,
                evidence={"loads_1h": loads, "frees_gb": round(resident.size_bytes / GIB, 1)},
                seqs=newest(*(each.again_seqs for each in again)),
            )


def pinned_contexts(picture: Picture) -> Iterator[Advice]:
    """Propose context protection where it is off, and contexts make nodes load anew."""
    mode = picture.view.settings.get("context_protection")
    loads = [each for each in picture.contexts if each.num_ctx and each.cold >= RELOADS]
    if mode == "strip" or mode is None or not loads:
        return
    count = sum(each.cold for each in loads)
    yield Advice(
        kind="setting",
        title="Set context_protection to strip",
        reason=f"Requests that name a num_ctx met {count} loads in a day; with `strip` less than "
        "a model has in memory reloads nothing.",
        priority="medium",
        evidence={"setting": "context_protection", "value": mode, "loads_24h": count},
        seqs=newest(*(each.seqs for each in loads)),
        whatif=("--set", "context_protection=strip"),
    )


def _roomiest(picture: Picture, size: int) -> NodeView | None:
    nodes = [
        node
        for node in picture.nodes_online()
        if takes(node)
        and free_bytes(node) >= ROOM * size
        and (not node.facts.disk_bytes or node.facts.disk_free_bytes > ROOM * size)
    ]
    return max(nodes, key=free_bytes, default=None)


def takes(node: NodeView) -> bool:
    """Whether a node is an Ollama that may be given work."""
    return not node.draining and not node.paused and node.facts.dialect == "ollama"


def _is_here(picture: Picture, model: str) -> bool:
    return any(each.name == model for node in picture.view.nodes for each in node.models)


def _work(picture: Picture, node_id: str, model: str) -> list[Work]:
    return [each for each in picture.work if (each.node_id, each.model) == (node_id, model)]


def _pace(picture: Picture, node_id: str, model: str) -> float:
    """Return the tokens a second that a model made on a node; 0 where it made too few."""
    work = _work(picture, node_id, model)
    tokens, seconds = sum(w.decoded_tokens for w in work), sum(w.decode_s for w in work)
    return tokens / seconds if tokens >= LEAST_TOKENS and seconds > 0 else 0.0
