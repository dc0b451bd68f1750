"""The planner: which model is brought into which node's memory before a request waits for it there.

Looked at once a second, and at most one load is planned then. Of each model that is asked for, the
time of a request is reckoned from the nodes that have it in memory (the best of them, and the wait
for a slot at the present rate), and again with one node more. What that saves those who will ask
within `HORIZON_S`, and those who wait now, is the gain; the load, and what the models that have to
go are missed, is the cost. Both in stretch, as `soonest` weighs. The best is done if its gain is
`SURE` times its cost, and at least `LEAST_GAIN`.

Never on a node that is ill, drained, used by its owner, loading, or promised to another model;
never at the expense of a model that works there, that anyone waits for, or that is pinned. What a
plan loaded or unloaded on a node no plan touches there for `REST_S`: so a plan cannot undo another
at once, whatever the traffic.
"""

from typing import NamedTuple

from actors.core.estimates import demand, is_remote, load_s, loading, mean_s
from actors.core.fitting import can_hold, in_flight, in_memory, making_room
from actors.core.learning import Demand
from actors.core.missing import HORIZON_S, miss
from actors.core.observing import LEAST_LOAD_S, working
from actors.core.owning import exhausted, limit_of
from actors.core.placement import slots_of
from actors.core.state import US, Node, Plan, State
from events import LoadFinished, LoadPlanned

LOOK_US = US // 4
"""The part of each second in which is looked: one tick of the timer."""
REST_S = 300.0
LEAST_PER_S = 1.0 / HORIZON_S
"""A model that is asked for less often, and that nobody waits for, is left alone."""
EVICTION = 10.0
"""The weight of an eviction, as in `soonest`: the load that it leads to evicts in its turn."""
LOADING = 0.25
"""The weight of the load itself."""
LEAST_GAIN = 1.0
SURE = 2.0
MOST_BUSY = 0.95
"""A share of the capacity: beyond it the wait has no bound."""
LEAST_AVAILABLE = 0.5
"""A node of which its owner leaves less is not loaded ahead of need."""
MODELS_LOOKED_AT = 2
"""Those for which the most could be gained."""


class Pressed(NamedTuple):
    """A model, and how its requests fare now."""

    most: float
    """The most that could be gained, in stretch."""
    model: str
    per_s: float
    waiting: int
    alone_s: float
    pace_per_s: float
    """Requests a second that its nodes serve with all their slots."""
    best_s: float
    """The time of a request on the best of them; 0 if there are none."""


def due(state: State, now_us: int) -> list[LoadPlanned]:
    """Return the load that there should be now, if there is one."""
    if not state.settings.planner or now_us % US >= LOOK_US or state.recovering:
        return []
    hosts = _hosts(state)
    pressed = [
        each
        for model, asked in state.demands.items()
        if (each := _pressed(state, model, asked, hosts.get(model, []), now_us)) is not None
    ]
    pressed.sort(key=lambda each: (-each.most, each.model))
    best: LoadPlanned | None = None
    for each in pressed[:MODELS_LOOKED_AT]:
        for node in state.nodes.values():
            if _may_load(state, node, each.model, now_us):
                plan = _plan(state, node, each, hosts, now_us)
                if plan is not None and (best is None or _order(plan) < _order(best)):
                    best = plan
    return [] if best is None else [best]


def evolve(node: Node, event: LoadPlanned | LoadFinished, now_us: int) -> None:
    """Fold what was planned for a node, and what came of it."""
    speed = node.speed(event.model)
    if isinstance(event, LoadPlanned):
        node.planned = Plan(event.model, event.leaving)
        for model in (event.model, *event.leaving):
            node.planned_us[model] = now_us
        for model in event.leaving:
            node.caches.pop(model, None)
        node.caches.pop(event.model, None)
        speed.load_began_us = speed.used_us = now_us
        return
    if node.planned is not None and node.planned.model == event.model:
        node.planned = None
    if not event.error:
        if event.load_s >= LEAST_LOAD_S:
            speed.load.add(event.load_s)
        speed.served_us = now_us  # it is in memory now, whatever the last probe said


def _hosts(state: State) -> dict[str, list[Node]]:
    """Return the nodes that have each model in memory, or are loading it."""
    hosts: dict[str, list[Node]] = {}
    for node in state.nodes.values():
        if node.online:
            for model in (*node.resident, *loading(node)):
                hosts.setdefault(model, []).append(node)
    return hosts


def _pressed(
    state: State, model: str, asked: Demand, hosts: list[Node], now_us: int
) -> Pressed | None:
    line = state.lines.get(model)
    waiting = 0 if line is None else len(line.waiting)
    per_s = asked.rate(now_us)
    if not waiting and per_s < LEAST_PER_S:
        return None
    alone_s = asked.alone_s
    if alone_s <= 0:
        return None  # nothing is known of it yet
    pace_per_s = best_s = 0.0
    for node in hosts:
        models = max(1, working(node))
        limit = limit_of(node, slots_of(node, model))
        pace_per_s += limit / mean_s(asked, node, model, limit, models)
        node_s = mean_s(asked, node, model, 1, models)
        if not best_s or node_s < best_s:
            best_s = node_s
    wanted = per_s * HORIZON_S + waiting
    if not hosts:
        return Pressed(wanted, model, per_s, waiting, alone_s, 0.0, 0.0)
    time_s = best_s + _wait_s(per_s, waiting, pace_per_s)
    most = wanted * (time_s - alone_s) / alone_s
    if most < LEAST_GAIN:
        return None
    return Pressed(most, model, per_s, waiting, alone_s, pace_per_s, best_s)


def _wait_s(per_s: float, waiting: float, pace_per_s: float) -> float:
    """Return the wait for a slot: of those who wait now, and of a queue at that rate."""
    busy = min(MOST_BUSY, per_s / pace_per_s)
    return (waiting + busy * busy / (1.0 - busy)) / pace_per_s


def _may_load(state: State, node: Node, model: str, now_us: int) -> bool:
    """Whether a plan may bring a model into a node's memory."""
    circuit = node.circuits.get(model)
    return (
        node.health == "healthy"
        and node.online
        and node.limits.available_share >= LEAST_AVAILABLE
        and model not in node.too_large
        and not exhausted(node)
        and node.facts.dialect == "ollama"
        and node.planned is None
        and model in node.models
        and not is_remote(node, model)
        and not in_memory(node, model, now_us)
        and not loading(node)
        and node.node_id not in state.promises
        and (circuit is None or circuit.status == "closed")
        and _rested(node, model, now_us)
        and can_hold(node, model)
    )


def _rested(node: Node, model: str, now_us: int) -> bool:
    return now_us - node.planned_us.get(model, -int(REST_S * US)) >= REST_S * US


def _plan(
    state: State, node: Node, pressed: Pressed, hosts: dict[str, list[Node]], now_us: int
) -> LoadPlanned | None:
    """Return the load of a model on a node, if it is worth its cost."""
    model, asked = pressed.model, demand(state, pressed.model)
    takes_s = load_s(node, model)
    models = working(node) + 1
    limit = limit_of(node, slots_of(node, model))
    own_s = mean_s(asked, node, model, 1, models)
    own_per_s = limit / mean_s(asked, node, model, limit, models)
    coming = pressed.per_s * max(0.0, HORIZON_S - takes_s)
    if pressed.best_s:
        left = max(0.0, pressed.waiting - pressed.pace_per_s * takes_s)
        was_s = pressed.best_s + _wait_s(pressed.per_s, left, pressed.pace_per_s)
        both_per_s = pressed.pace_per_s + own_per_s
        becomes_s = min(pressed.best_s, own_s) + _wait_s(pressed.per_s, left, both_per_s)
        gain = (coming + left) * (was_s - becomes_s) / pressed.alone_s
    else:  # the first to ask would wait for a load
        gain = (coming / (1.0 + coming) + pressed.waiting) * takes_s / pressed.alone_s
    if gain < LEAST_GAIN:
        return None
    cost = LOADING * takes_s / pressed.alone_s
    idle: list[tuple[float, str]] = []
    pinned = state.pinned.get(node.node_id, ())
    for other in node.resident:
        line = state.lines.get(other)
        wanted = line is not None and bool(line.waiting)
        if in_flight(node, other) or wanted or other in pinned:
            continue
        if _rested(node, other, now_us):
            idle.append((miss(state, node, other, len(hosts.get(other, [])) - 1), other))
    idle.sort()
    leaving = making_room(node, model, [other for _, other in idle])
    if leaving is None:
        return None
    for missed, other in idle:
        if other in leaving:
            cost += EVICTION * missed
    if gain < SURE * cost:
        return None
    return LoadPlanned(
        node_id=node.node_id,
        model=model,
        leaving=tuple(leaving),
        reason="absent" if not pressed.best_s else "queue" if pressed.waiting else "demand",
        gain_s=round(gain * pressed.alone_s, 3),
        cost_s=round(cost * pressed.alone_s, 3),
        load_s=round(takes_s, 3),
        per_s=round(pressed.per_s, 6),
        in_line=pressed.waiting,
    )


def _order(plan: LoadPlanned) -> tuple[float, float, str]:
    return plan.cost_s - plan.gain_s, plan.load_s, plan.node_id
