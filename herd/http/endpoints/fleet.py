"""The fleet as operators see it: `/fleet/status`, `/fleet/queue`, `/fleet/limits`, pure.

The keys and units are those of ollama-herd, so that scripts written for it keep working: sizes in
GiB, except models on disk in decimal GB. Requests wait per model and are bound late, so nothing is
ever `pending` at a node: a model that has requests waiting has a row of its own, `*:MODEL`; in
`/fleet/queue` also one of which requests were rejected. What herd does not measure is left out, or
null where ollama-herd always has a figure; so is a size that a node does not tell: 0 is a size.
"""

from collections.abc import Iterable

import msgspec

from events import NodeFacts, NodeId
from herd.agent.capacity import written
from herd.link.messages import NodeView, SlotView, View

GIB = 1024**3
GB = 1000**3
MS = 1000

ANY_NODE = "*"
"""Stands for the node in the key of a row of waiting requests; no node can be called so."""


def status(view: View, now_s: float, *, current: bool = True) -> dict[str, object]:
    """Return `/fleet/status`; not `current` is what control said before it stopped answering."""
    nodes = view.nodes
    return {
        "fleet": {
            "nodes_total": len(nodes),
            "nodes_online": _online(view),
            "models_loaded": sum(len(node.resident) for node in nodes),
            "requests_active": sum(_in_flight(node) for node in nodes),
            "requests_waiting": sum(view.waiting.values()),
            "recording": view.recording,
            "current": current,
        },
        "nodes": [_node(node, view.pinned.get(node.node_id, ())) for node in nodes],
        "queues": {
            key: {**row, "request_type": "text"} for key, row in _queues(view, view.waiting).items()
        },
        "timestamp": now_s,
    }


def queue(view: View, now_s: float) -> dict[str, object]:
    """Return `/fleet/queue`."""
    pairs = [(node, model, slots) for node in view.nodes for model, slots in node.slots.items()]
    pending = sum(view.waiting.values())
    in_flight = sum(slots.in_flight for _, _, slots in pairs)
    waited_for = dict.fromkeys((*view.waiting, *filter(None, view.rejected)))
    rows = _queues(view, waited_for)
    for row in rows.values():
        row |= {"max_queue_depth": view.settings.get("max_queue"), "rejected": 0, **_hits(None)}
    for node, model, slots in pairs:
        rows[f"{node.node_id}:{model}"] |= _hits(slots)
    for model in waited_for:
        rows[f"{ANY_NODE}:{model}"]["rejected"] = view.rejected.get(model, 0)
    return {
        "queue_depth": pending + in_flight,
        "pending": pending,
        "in_flight": in_flight,
        "completed": sum(slots.completed for _, _, slots in pairs),
        "failed": sum(slots.failed for _, _, slots in pairs),
        "rejected": sum(view.rejected.values()),
        "estimated_wait_ms": _wait_ms(view),
        "nodes_online": _online(view),
        "queues": rows,
        "timestamp": now_s,
    }


def limits(view: View, now_s: float) -> dict[str, object]:
    """Return `/fleet/limits`: models kept in memory, null where a node does not say."""
    return {
        "max_retries": view.settings.get("max_retries"),
        "hot_model_cap": None,
        "nodes": [
            {
                "node_id": node.node_id,
                "status": node.status,
                "draining": node.draining,
                "models_loaded": len(node.resident),
                **_room(node),
            }
            for node in view.nodes
        ],
        "timestamp": now_s,
    }


def _room(node: NodeView) -> dict[str, int | None]:
    """Return how many models a node keeps in memory, and how many more it would."""
    most = node.facts.max_loaded_models
    free = max(0, most - len(node.resident))
    return {"hot_model_cap": most or None, "free_slots": free if most else None}


def _online(view: View) -> int:
    return sum(node.answers for node in view.nodes)


def running(view: View, node_id: NodeId) -> int:
    """Return how many requests are at a node; 0 of one that nobody knows."""
    return sum(_in_flight(node) for node in view.nodes if node.node_id == node_id)


def _in_flight(node: NodeView) -> int:
    return sum(slots.in_flight for slots in node.slots.values())


def _queues(view: View, waited_for: Iterable[str]) -> dict[str, dict[str, object]]:
    """Return a row for each model on each node, and one for each model that is waited for."""
    rows: dict[str, dict[str, object]] = {
        f"{node.node_id}:{model}": {
            "node_id": node.node_id,
            "model": model,
            "backend": node.facts.dialect,
            **_slots(slots),
        }
        for node in view.nodes
        for model, slots in node.slots.items()
    }
    for model in waited_for:
        everywhere = sum(
            node.slots[model].slots for node in view.nodes if node.answers and model in node.slots
        )
        unbound = SlotView(slots=everywhere, in_flight=0)
        row: dict[str, object] = {"node_id": "", "model": model, "backend": ""}
        if (wait_s := view.predicted_wait_s.get(model)) is not None:
            row["predicted_wait_s"] = wait_s
        rows[f"{ANY_NODE}:{model}"] = row | _slots(unbound, view.waiting.get(model, 0))
    return rows


def disk_gb(facts: NodeFacts) -> dict[str, float]:
    """Return what an agent tells of the models' disk, in GiB; nothing where it is not known."""
    if not facts.disk_bytes:
        return {}
    return {
        "disk_available_gb": round(facts.disk_free_bytes / GIB, 1),
        "disk_total_gb": round(facts.disk_bytes / GIB, 1),
    }


def gib(size_bytes: int) -> float | None:
    """Return a size in GiB; None where it is not known, which events and facts tell as 0."""
    return round(size_bytes / GIB, 2) if size_bytes else None


def lent(node: NodeView) -> dict[str, object]:
    """Return what a node's owner lends of it, with ollama-herd's keys; nothing if he says none."""
    told = written(msgspec.structs.replace(node.limits, macs=()))
    return {} if told is None else {"capacity": msgspec.structs.asdict(told)}


def _slots(slots: SlotView, pending: int = 0) -> dict[str, object]:
    return {
        "pending": pending,
        "in_flight": slots.in_flight,
        "completed": slots.completed,
        "failed": slots.failed,
        "concurrency": slots.slots,
        "max_concurrent": slots.slots,
        "avg_latency_ms": round(slots.service_s * MS, 1),
        "avg_prompt_tokens": round(slots.prompt_tokens, 1),
        "avg_completion_tokens": round(slots.completion_tokens, 1),
        "stats_samples": slots.completed,
    }


def _hits(slots: SlotView | None) -> dict[str, object]:
    """Return how many requests found their model in memory; prompts that were is not measured."""
    cold = slots.cold / slots.sent if slots and slots.sent else None
    return {
        "warm_hit_rate": None if cold is None else round(1 - cold, 4),
        "cold_request_pct": None if cold is None else round(100 * cold, 2),
        "cache_hit_rate": None,
        "cache_sample_count": 0,
    }


def _wait_ms(view: View) -> float | None:
    """Return how long the last of the longest line will wait."""
    lines = [wait_s for model in view.waiting if (wait_s := _line_s(view, model))]
    return round(max(lines) * MS, 1) if lines else None


def _line_s(view: View, model: str) -> float:
    """Return what is predicted of a line; else the line over the model's pace, 0 if it has none."""
    places = [node.slots[model] for node in view.nodes if node.answers and model in node.slots]
    pace = sum(each.slots / each.service_s for each in places if each.service_s)
    told_s = view.waiting[model] / pace if pace else 0.0
    return view.predicted_wait_s.get(model, told_s)


def _node(node: NodeView, pinned: tuple[str, ...]) -> dict[str, object]:
    facts = node.facts
    sizes = {model.name: model for model in node.models}
    return {
        "node_id": node.node_id,
        "status": node.status,
        "draining": node.draining,
        "paused": node.paused,
        "wake": bool(node.limits.macs),
        "waking": bool(node.waking),
        **lent(node),
        "origin": node.origin,
        "hardware": {
            "memory_total_gb": gib(facts.memory_bytes),
            "vram_total_gb": gib(facts.vram_bytes),
            "cores_physical": facts.cores or None,
            "chip": facts.chip,
            "memory_bandwidth_gbps": round(facts.bandwidth_bytes_per_s / GB, 1) or None,
            "arch": facts.arch,
            **disk_gb(facts),
        },
        "gpus": [msgspec.structs.asdict(gpu) for gpu in node.gpus],
        "ollama_url": node.url,
        "dialect": facts.dialect,
        "agent_version": facts.agent_version,
        "ollama": {
            "models_loaded": [
                {
                    "name": resident.name,
                    "size_gb": gib(resident.size_bytes),
                    "size_vram_gb": round(resident.size_vram_bytes / GIB, 2)
                    if resident.size_bytes
                    else None,
                    "requests_active": node.slots[resident.name].in_flight
                    if resident.name in node.slots
                    else 0,
                    "parameter_size": sizes[resident.name].parameter_size
                    if resident.name in sizes
                    else "",
                    "quantization": sizes[resident.name].quantization_level
                    if resident.name in sizes
                    else "",
                    "context_length": resident.context_length or None,
                    "runner": "",
                    "digest": resident.digest,
                }
                for resident in node.resident
            ],
            "models_available": [model.name for model in node.models],
            "models_available_sizes": {
                model.name: round(model.size_bytes / GB, 3) or None for model in node.models
            },
            "max_loaded_models": facts.max_loaded_models,
            "num_parallel": facts.slots,
            "requests_active": _in_flight(node),
            "version": facts.version,
        },
        "models_loaded_count": len(node.resident),
        **_room(node),
        "models_pinned": pinned,
    }
