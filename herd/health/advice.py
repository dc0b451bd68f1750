"""What to change, with what in the log speaks for it: models to pull or to load, and settings.

Only what the last day shows is advised: a model for which requests waited or were turned away, and
a node with room for it. Sizes are GiB.
"""

import shlex
from collections.abc import Iterator

import msgspec

from herd.health import catalogue, proposals
from herd.health.picture import Picture, Trouble, Work, newest
from herd.health.proposals import ROOM, Advice, free_bytes, size_bytes
from herd.link.messages import NodeView

GIB = 1024**3
LEAST_REQUESTS = 20
WAITED_S = 1.0
LONG_WAIT_S = 10.0
_NO_PLACE = ("hold_timeout", "paused", "queue_timeout", "deadline", "too_late", "queue_full")
_MOST = 5


def advice(picture: Picture) -> list[Advice]:
    """Return what to change, the most urgent first."""
    given = [
        *_places(picture),
        *proposals.missing(picture),
        *proposals.moves(picture),
        *proposals.unloads(picture),
        *_longer_lines(picture),
        *proposals.pinned_contexts(picture),
    ]
    return sorted(given, key=lambda each: ("high", "medium", "low").index(each.priority))


def page(picture: Picture, now_s: float) -> dict[str, object]:
    """Return `/dashboard/api/recommendations`; `now_s` is seconds since the epoch.

    It has the keys that ollama-herd has; what herd does not know is null.
    """
    given = advice(picture)
    asked: dict[str, int] = {}
    by_category: dict[str, int] = {}
    for work in picture.work:
        asked[work.model] = asked.get(work.model, 0) + work.completed
        category = _category(picture, work.model)
        by_category[category] = by_category.get(category, 0) + work.completed
    top = sorted(asked, key=lambda model: (-asked[model], model))
    here = {_category(picture, m.name) for node in picture.nodes_online() for m in node.models}
    coverage = {category: category in here for category in sorted(here | set(by_category))}
    return {
        "recommendations": [_row(picture, each) for each in given],
        "nodes": [_node(picture, node, given) for node in picture.view.nodes],
        "settings": [_row(picture, each) for each in given if not each.node_id],
        "usage": {
            "total_requests_24h": picture.completed(),
            "category_breakdown": by_category,
            "top_models": [
                {"model": model, "requests": asked[model], "category": _category(picture, model)}
                for model in top[:20]
            ],
            "category_coverage": coverage,
        },
        "fleet_summary": f"{len(picture.nodes_online())} nodes online, {len(given)} things to do",
        "uncovered_categories": [category for category, covered in coverage.items() if not covered],
        "generated_at": now_s,
    }


def _places(picture: Picture) -> Iterator[Advice]:
    """Advise another node for each model that has too few."""
    refused = [each for each in picture.happened("request_rejected") if each.phase in _NO_PLACE]
    models = dict.fromkeys([*(each.model for each in refused), *(w.model for w in picture.work)])
    for model in models:
        turned_away = [each for each in refused if each.model == model]
        work = [each for each in picture.work if each.model == model]
        completed = sum(each.completed for each in work)
        wait_s = sum(each.queue_s for each in work) / completed if completed else 0.0
        lost = sum(each.events for each in turned_away)
        if not lost and (completed < LEAST_REQUESTS or wait_s < WAITED_S):
            continue
        node = _place(picture, model)
        if node is None:
            yield from _machine(model, work, wait_s, lost)
            continue
        there = any(each.name == model for each in node.models)
        yield Advice(
            kind="load" if there else "pull",
            title=f"{'Load' if there else 'Pull'} {model} on {node.node_id}",
            reason=_reason(model, completed, wait_s, lost, node, there=there),
            priority="high" if lost or wait_s >= LONG_WAIT_S else "medium",
            model=model,
            node_id=node.node_id,
            evidence={
                "requests_24h": completed,
                "mean_wait_s": round(wait_s, 2),
                "turned_away_24h": lost,
                "free_gb": round(free_bytes(node) / GIB, 1),
                "model_gb": round(size_bytes(picture, model) / GIB, 1),
            },
            seqs=newest(*(each.seqs for each in turned_away), *(each.seqs for each in work)),
        )


def _machine(model: str, work: list[Work], wait_s: float, lost: int) -> Iterator[Advice]:
    """Advise one more machine, like the one that serves most, where no node has room."""
    served = [each for each in work if each.completed]
    if not served or wait_s < WAITED_S:
        return
    like = max(served, key=lambda each: each.completed).node_id
    yield Advice(
        kind="machine",
        title=f"Add a machine for {model}",
        reason=f"Requests for it waited {wait_s:.1f} s on average in a day, and no other node has "
        f"room for it. What one more machine like {like} would change can be played.",
        priority="medium" if lost or wait_s >= LONG_WAIT_S else "low",
        model=model,
        evidence={
            "requests_24h": sum(each.completed for each in work),
            "mean_wait_s": round(wait_s, 2),
            "turned_away_24h": lost,
        },
        seqs=newest(*(each.seqs for each in work)),
        whatif=("--add-node", f"one-more={like}"),
    )


def _reason(  # noqa: PLR0913 (each stands in the sentence)
    model: str, completed: int, wait_s: float, lost: int, node: NodeView, *, there: bool
) -> str:
    told = [f"{completed} requests for {model} waited {wait_s:.1f} s on average in a day"]
    if lost:
        told.append(f"{lost} got no node in time")
    where = "has it on its disk" if there else "does not have it"
    return f"{', and '.join(told)}. {node.node_id} {where}, and has room for it in its memory."


def _place(picture: Picture, model: str) -> NodeView | None:
    """Return the online node with the most room that does not serve the model from memory."""
    size = size_bytes(picture, model)
    nodes = [
        node
        for node in picture.nodes_online()
        if not node.draining
        and not node.paused
        and node.facts.dialect == "ollama"
        and all(each.name != model for each in node.resident)
        and size
        and free_bytes(node) >= ROOM * size
    ]
    return max(nodes, key=free_bytes, default=None)


def _longer_lines(picture: Picture) -> Iterator[Advice]:
    """Advise longer lines where requests were turned away for want of a place in one."""
    full: list[Trouble] = [
        each for each in picture.happened("request_rejected") if each.phase == "queue_full"
    ]
    if full:
        count = sum(each.events for each in full)
        models = sorted({each.model for each in full})
        yield Advice(
            kind="setting",
            title="Raise max_queue, or add a node",
            reason=f"{count} requests for {', '.join(models[:_MOST])} were turned away in a day "
            "because the line was full.",
            priority="medium",
            evidence={
                "turned_away_24h": count,
                "setting": "max_queue",
                "value": picture.view.settings.get("max_queue"),
            },
            seqs=newest(*(each.seqs for each in full)),
            whatif=("--set", f"max_queue={2 * _int(picture.view.settings.get('max_queue'))}"),
        )


def _room_bytes(node: NodeView) -> int:
    return node.facts.vram_bytes or node.facts.memory_bytes


def _category(picture: Picture, model: str) -> str:
    """Return what a model is for, by what its node says that it can."""
    return catalogue.category(
        model,
        {
            capability
            for node in picture.view.nodes
            for each in node.models
            if each.name == model
            for capability in each.capabilities
        },
    )


def _row(picture: Picture, each: Advice) -> dict[str, object]:
    told: dict[str, object] = msgspec.structs.asdict(each)
    return told | {
        "evidence_sql": _query(each.seqs),
        "whatif_command": shlex.join(("herd", "whatif", *each.whatif)) if each.whatif else "",
        "display_name": _title(each.model),
        "category": _category(picture, each.model) if each.model else "",
        "ram_gb": round(ROOM * size_bytes(picture, each.model) / GIB, 1) or None,
        "quality_score": None,
        "already_available": each.kind != "pull",
    }


def _query(seqs: tuple[int, ...]) -> str:
    """Return what `herd sql` shows the events with."""
    told = ", ".join(str(seq) for seq in seqs)
    query = "SELECT seq, recorded_at, kind, node_id, model, payload FROM events"
    return f"{query} WHERE seq IN ({told}) ORDER BY seq" if seqs else ""


def _node(picture: Picture, node: NodeView, given: list[Advice]) -> dict[str, object]:
    mine = [each for each in given if each.node_id == node.node_id]
    wanted = ROOM * sum(size_bytes(picture, each.model) for each in mine)
    room = _room_bytes(node)
    return {
        "node_id": node.node_id,
        "total_ram_gb": _gib(room),
        "usable_ram_gb": round(free_bytes(node) / GIB, 1) if room else None,
        "current_models": [model.name for model in node.resident],
        "recommendations": [_row(picture, each) for each in mine],
        "disk_total_gb": _gib(node.facts.disk_bytes),
        "disk_available_gb": _gib(node.facts.disk_free_bytes),
        "total_recommended_ram_gb": round(wanted / GIB, 1),
        "ram_headroom_gb": round((free_bytes(node) - wanted) / GIB, 1) if room else None,
    }


def _gib(size: int) -> float | None:
    return round(size / GIB, 1) if size else None


def _title(model: str) -> str:
    known = catalogue.find(model) if model else None
    return model if known is None else known.title


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
