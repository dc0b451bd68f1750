"""Pinning: the models that an operator wants in a node's memory, whether they are asked for or not.

* One that is not there is loaded, as a plan is, with a `keep_alive` that never ends; tried again at
  the latest after `AGAIN_S`, later after each failure in a row.
* herd unloads no pinned model, neither by a plan nor to clear room. For a pinned one, other idle
  models go that nobody waits for; never one that works.
* A request that would have to load another model in its place goes to another node, if there is one
  that can take it. If there is none it is served, and the pinned model comes back when there is
  room again.

Pins are of nodes by their names: they outlive that a node is forgotten.
"""

from actors.core.estimates import is_remote, load_s, loading
from actors.core.fitting import can_hold, fits_without, in_flight, in_memory, making_room, must_load
from actors.core.owning import exhausted
from actors.core.state import US, Node, Pin, Request, State
from events import Event, LoadFinished, LoadPlanned, ModelPinned, ModelUnpinned, NodeId

AGAIN_S = 30.0
LATER_S = 480.0
"""The longest pause after failures."""


def evolve(state: State, event: Event) -> None:
    """Fold that a model is wanted on a node, or not any more."""
    match event:
        case ModelPinned(node_id=node_id, model=model):
            state.pinned.setdefault(node_id, {})[model] = Pin()
        case ModelUnpinned(node_id=node_id, model=model):
            pins = state.pinned.get(node_id, {})
            pins.pop(model, None)
            if not pins:
                state.pinned.pop(node_id, None)
        case _:
            pass


def matters(state: State, event: ModelPinned | ModelUnpinned) -> bool:
    """Whether it changes anything."""
    return is_pinned(state, event.node_id, event.model) == isinstance(event, ModelUnpinned)


def tried(state: State, event: LoadPlanned | LoadFinished, now_us: int) -> None:
    """Fold that a pinned model is being loaded, and what came of it."""
    pin = state.pinned.get(event.node_id, {}).get(event.model)
    if pin is None:
        return
    if isinstance(event, LoadPlanned):
        pin.tried_us = now_us
    else:
        pin.failures = pin.failures + 1 if event.error else 0


def is_pinned(state: State, node_id: NodeId, model: str) -> bool:
    """Whether a model is to stay in a node's memory."""
    return model in state.pinned.get(node_id, ())


def due(state: State, now_us: int) -> list[LoadPlanned]:
    """Return the load that brings a pinned model where it should be, if one can begin."""
    if state.recovering:
        return []
    for node_id, pins in state.pinned.items():
        node = state.nodes.get(node_id)
        if node is not None and _may_load(state, node):
            for model, pin in pins.items():
                if plan := _plan(state, node, model, pin, now_us):
                    return plan
    return []


def sparing(state: State, request: Request, found: list[Node]) -> list[Node]:
    """Leave out nodes where the request's model would push a pinned one out, if others are left."""
    if not any(node.node_id in state.pinned for node in found):
        return found
    spared = [node for node in found if not pushes_out(state, node, request.model)]
    return spared or found


def pushes_out(state: State, node: Node, model: str) -> bool:
    """Whether a model could be loaded on a node only in the place of a pinned one."""
    pins = state.pinned.get(node.node_id)
    if not pins or model in pins or not must_load(node, model, state.recorded_at):
        return False
    there = [other for other in node.resident if other in pins]
    return bool(there) and not fits_without(node, model, pins)


def _may_load(state: State, node: Node) -> bool:
    """Whether a node may load anything now that nobody waits for."""
    return (
        node.online
        and node.facts.dialect == "ollama"
        and not exhausted(node)
        and node.planned is None
        and not loading(node)
        and node.node_id not in state.promises
    )


def _plan(state: State, node: Node, model: str, pin: Pin, now_us: int) -> list[LoadPlanned]:
    pause_s = min(LATER_S, AGAIN_S * (1 << min(pin.failures, 10)))
    if (
        (pin.tried_us and now_us - pin.tried_us < pause_s * US)
        or model not in node.models
        or model in node.too_large
        or is_remote(node, model)
        or in_memory(node, model, now_us)
        or not can_hold(node, model)
    ):
        return []
    leaving = making_room(node, model, _idle(state, node))
    if leaving is None:
        return []
    return [
        LoadPlanned(
            node_id=node.node_id,
            model=model,
            leaving=tuple(leaving),
            reason="pinned",
            gain_s=0.0,
            cost_s=0.0,
            load_s=round(load_s(node, model), 3),
        )
    ]


def _idle(state: State, node: Node) -> list[str]:
    """Return the models that may go for a pinned one, those unused the longest first."""
    idle: list[tuple[int, str]] = []
    for other in node.resident:
        line = state.lines.get(other)
        wanted = line is not None and bool(line.waiting)
        if not wanted and not in_flight(node, other) and not is_pinned(state, node.node_id, other):
            speed = node.speeds.get(other)
            idle.append((0 if speed is None else speed.used_us, other))
    idle.sort()
    return [other for _, other in idle]
