"""Why a node is no candidate for a request: all that stands in its way, by the state alone."""

from typing import Literal, TypeAlias

import msgspec

from actors.core import lacking, pinning, promising
from actors.core.contexts import loaded_ctx, wanted
from actors.core.fitting import can_hold, must_load, victims
from actors.core.learning import Past
from actors.core.owning import crowded, exhausted
from actors.core.placement import slots_of, usable
from actors.core.state import US, Node, Request, State
from actors.core.waking import ASLEEP, is_called
from events import NodeId

GB = 1_000_000_000

Obstacle: TypeAlias = Literal[
    "unheard",
    "offline",
    "asleep",
    "drained",
    "paused",
    "model",
    "dialect",
    "failed_it",
    "circuit_open",
    "circuit_half_open",
    "slow",
    "refused",
    "full",
    "exhausted",
    "too_large",
    "degraded",
    "context",
    "promised",
    "memory",
    "pinned",
    "policy",
]


class Hindered(msgspec.Struct, frozen=True):
    """A node that could not have been chosen."""

    node_id: NodeId
    obstacles: dict[Obstacle, str]
    """What stands in the way, with a few words about it; the gravest first."""


def hindered(state: State, request: Request, candidates: set[NodeId]) -> list[Hindered]:
    """Return every node but the candidates, those that lack least first."""
    free = {node.node_id for node in usable(state, request)}
    found = [
        Hindered(node.node_id, _obstacles(state, node, request, usable=node.node_id in free))
        for node in state.nodes.values()
        if node.node_id not in candidates
    ]
    return sorted(found, key=lambda each: ("model" in each.obstacles, each.node_id))


def _obstacles(state: State, node: Node, request: Request, *, usable: bool) -> dict[Obstacle, str]:
    model = request.model
    slots = slots_of(node, model)
    circuit = node.circuits.get(model)
    status = "closed" if circuit is None else circuit.status
    slow = circuit is not None and circuit.slow
    left_s = 0.0
    if circuit is not None:
        left_s = max(0.0, circuit.open_s - (state.recorded_at - circuit.opened_us) / US)
    failures = 0 if circuit is None else circuit.failures
    all_there_are: list[tuple[bool, Obstacle, str]] = [
        (node.health == "new", "unheard", "not heard of yet"),
        (node.health == "offline", "offline", "offline"),
        (node.health == ASLEEP, "asleep", _asleep(state, node)),
        (bool(node.drained_by), "drained", f"draining (asked by {node.drained_by})"),
        (bool(node.paused), "paused", f"paused by its owner: {node.paused}"),
        (not node.has(model), "model", "does not have the model"),
        (
            node.has(model) and not node.serves(model, v1=request.v1),
            "dialect",
            "serves only /v1 routes",
        ),
        (node.node_id in request.excluded, "failed_it", "failed this request before"),
        (
            status == "open" and not slow,
            "circuit_open",
            f"circuit open after {failures} failures, for {left_s:.1f} s more",
        ),
        (
            status == "half_open" and slots.in_flight > 0 and not slow,
            "circuit_half_open",
            "circuit half-open: one request is trying it",
        ),
        (
            slots.in_flight >= slots.limit,
            "full",
            f"no free slot ({slots.in_flight} of {slots.limit})",
        ),
        (
            exhausted(node),
            "exhausted",
            f"runs the {node.limits.max_requests} requests that its owner allows",
        ),
        (
            model in node.too_large,
            "too_large",
            f"its owner allows {node.limits.max_bytes / GB:.1f} GB for models",
        ),
    ]
    found: dict[Obstacle, str] = {name: text for holds, name, text in all_there_are if holds}
    if found:
        return found
    if slow and not usable:
        return {"slow": _slow(node, model, left_s)}
    if not usable and (until_us := lacking.until_us(state, node, model)) >= state.recorded_at:
        return {"refused": _refused(state, until_us)}
    if node.health == "degraded" and not usable:
        return {"degraded": "degraded: asked only if no healthy node can serve"}
    if 0 < loaded_ctx(node, model) < wanted(state, request) and not usable:
        return {"context": f"has the model with a context of {loaded_ctx(node, model)} only"}
    if not usable and pinning.pushes_out(state, node, model):
        stays = ", ".join(
            other for other in node.resident if pinning.is_pinned(state, node.node_id, other)
        )
        return {"pinned": f"loading it would push out {stays}, which is pinned there"}
    return _no_room(state, node, model) or {"policy": "passed over by the policy"}


def _slow(node: Node, model: str, left_s: float) -> str:
    past = node.speed(model).past or Past()
    times = past.slow_s / max(1e-9, past.usual.value)
    tries = f"one may try in {left_s:.0f} s" if left_s else "one request is trying it"
    return f"a token takes {times:.1f} times as long as usual: asked last, {tries}"


def _refused(state: State, until_us: int) -> str:
    left_s = (until_us - state.recorded_at) / US
    return f"had no memory for the model: asked last for {left_s:.0f} s more"


def _asleep(state: State, node: Node) -> str:
    if not is_called(node, state.recorded_at):
        return "asleep"
    return f"asleep, and woken since {(state.recorded_at - node.sleep.first_us) / US:.0f} s"


def _no_room(state: State, node: Node, model: str) -> dict[Obstacle, str]:
    """Say why a model cannot be loaded now: by its owner's word, or the policy's."""
    if crowded(node, model, state.recorded_at):
        most_gb = node.limits.max_bytes / GB
        return {"memory": f"no room for the model in the {most_gb:.1f} GB that its owner allows"}
    if state.settings.policy != promising.POLICY:
        return {}
    if promising.barred(state, node, model):
        promised = state.promises[node.node_id].model
        return {"promised": f"its room is promised to {promised}"}
    if not can_hold(node, model):
        return {"memory": "too little memory for the model"}
    if must_load(node, model, state.recorded_at) and victims(node, model) is None:
        return {"memory": "no room for the model while others work there"}
    return {}
