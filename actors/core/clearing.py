"""Clearing: room for a model within the memory that a node's owner allows.

An Ollama makes room when its own memory is full, and knows nothing of a lower limit. So where a
model waits that only such nodes could load, herd unloads idle models there, those unused the
longest first, and loads that one: as a plan does (`planning`), whether the planner is on or not.
Pinned ones stay, unless on all such nodes it could come only in their place (`pinning`). Looked at
once a tick, one load at a time; what was loaded or unloaded so is left for `AGAIN_S`.
"""

from collections.abc import Collection

from actors.core.estimates import load_s, loading
from actors.core.fitting import victims
from actors.core.owning import crowded, exhausted
from actors.core.pinning import pushes_out
from actors.core.placement import usable
from actors.core.promising import barred
from actors.core.state import US, Node, Request, State
from events import LoadPlanned

AGAIN_S = 10.0


def due(state: State, now_us: int) -> list[LoadPlanned]:
    """Return the load that makes room for a request which waits for nothing else, if any."""
    if state.recovering or not any(node.limits.max_bytes for node in state.nodes.values()):
        return []
    for line in state.lines.values():
        for request_id in line.waiting:
            request = state.requests[request_id]
            nodes = usable(state, request)
            if all(crowded(node, request.model, now_us) for node in nodes):
                kept = {} if _gives_way(state, nodes, request) else state.pinned
                for node in nodes:
                    if plan := _plan(state, node, request, now_us, kept.get(node.node_id, ())):
                        return plan
            break
    return []


def _gives_way(state: State, nodes: list[Node], request: Request) -> bool:
    """Whether a request can be served nowhere but in the place of pinned models."""
    return bool(state.settings.rules) and all(
        pushes_out(state, node, request.model) for node in nodes
    )


def _plan(
    state: State, node: Node, request: Request, now_us: int, kept: Collection[str]
) -> list[LoadPlanned]:
    model = request.model
    rested = now_us - node.planned_us.get(model, -int(AGAIN_S * US)) >= AGAIN_S * US
    busy = node.planned is not None or bool(loading(node)) or exhausted(node)
    if busy or not rested or barred(state, node, model):
        return []
    leaving = victims(node, model, kept)
    if leaving is None:
        return []
    return [
        LoadPlanned(
            node_id=node.node_id,
            model=model,
            reason="queue",
            gain_s=0.0,
            cost_s=0.0,
            leaving=tuple(leaving),
            load_s=round(load_s(node, model), 3),
            in_line=len(state.lines[model].waiting),
        )
    ]
