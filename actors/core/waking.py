"""Waking: which sleeping node is woken, and when it counts as dead.

A node that falls silent is taken to sleep if its owner lets it be woken (its agent tells hardware
addresses) and its agent did not take its leave: who stops the agent, or shuts the machine down,
has said that he does not lend it. Silence is all that can be known: a machine that lost its power
looks the same. So a node that does not wake counts as dead, until it is heard of. A connection that
nobody answers is taken for the same at once, and whoever was to go there waits for it; one that is
refused is not, since a machine that sleeps refuses nothing.

It is woken, looked at once a tick, if

* requests wait for a model that no node has which could be asked: they are held meanwhile; or
* the last in line would wait `SURE` times as long as the node takes to wake, to load the model, and
  then longer for an answer than the best of the others; or
* somebody asked for it.

Packets may be lost: they are sent again after `AGAIN_S`, `TRIES` times at most, as long as there is
a reason. One node at a time is woken for a model: the others are looked at when it is there, or
counts as dead. A node that is drained, or that its owner keeps to himself, is woken only if asked.
"""

from msgspec.structs import replace

from actors.core.commands import Command
from actors.core.estimates import demand, load_s, service_s
from actors.core.placement import usable
from actors.core.predicting import freed_per_s
from actors.core.state import US, Node, Request, State
from events import (
    AttemptFailed,
    Event,
    NodeBecameHealthy,
    NodeId,
    NodeSlept,
    NodeWentOffline,
    Recorded,
    WakePlanned,
    WakeReason,
    WakeRequested,
)

HEARS: tuple[type[Event], ...] = (NodeSlept, WakeRequested, WakePlanned)
"""Beside what NodeMonitor hears anyway."""

AGENT = "its agent"
"""Who drains a node before it leaves."""
REFUSED = "connection refused"
"""How a front begins to say that somebody was there, and would not."""
ASLEEP = "asleep"
WAKE_S = 30.0
"""Of a machine that was never woken: some seconds out of memory, a minute from its disk."""
AGAIN_S = 20.0
TRIES = 5
SURE = 1.25
LEAST_LEFT_S = 1.0
"""Of a waking that takes longer than was thought."""
DID_NOT_WAKE = "did not wake"


def evolve(state: State, record: Recorded) -> None:
    """Fold one event into how its node sleeps; before its health changes."""
    match record.event:
        case NodeSlept(node_id=node_id) if (node := state.nodes.get(node_id)) is not None:
            node.health = ASLEEP
            _forget(node)
        case WakePlanned() as event if (node := state.nodes.get(event.node_id)) is not None:
            node.sleep.tries = event.attempt
            node.sleep.asked = event.reason == "asked"
            node.sleep.last_us = record.recorded_at
            if event.attempt == 1:
                node.sleep.first_us = record.recorded_at
        case NodeBecameHealthy(node_id=node_id) if (node := state.nodes.get(node_id)) is not None:
            if is_called(node, record.recorded_at):
                node.sleep.took.add((record.recorded_at - node.sleep.first_us) / US)
            _forget(node)
        case NodeWentOffline(node_id=node_id) if (node := state.nodes.get(node_id)) is not None:
            _forget(node)
        case _:
            pass


def decide(state: State, event: Event) -> list[Command]:
    """Wake a node that somebody asked for."""
    node = state.nodes.get(event.node_id) if isinstance(event, WakeRequested) else None
    if node is None or not can_be_asked(node):
        return []
    woken = _planned(node, state.recorded_at, "asked")
    if node.health == ASLEEP:
        return [woken]
    return [NodeSlept(node_id=node.node_id, reason="as somebody wakes it"), woken]


def can_be_asked(node: Node) -> bool:
    """Whether it would help to ask for a node to be woken."""
    return bool(node.limits.macs) and node.health not in {"healthy", "degraded"}


def silent(state: State, node: Node, reason: str, gone: list[Command]) -> list[Command]:
    """Return what a long silence says of a node: that it is gone, unless it sleeps."""
    if node.health == ASLEEP:
        return []
    return [NodeSlept(node_id=node.node_id, reason=reason)] if gone and _may(state, node) else gone


def unreached(state: State, node: Node, error: str, ill: list[Command]) -> list[Command]:
    """Return what a connection that came to nothing says of a node: that it is ill, or sleeps."""
    if not _leads_to_sleep(state, node, error) or node.health == ASLEEP:
        return ill
    return [NodeSlept(node_id=node.node_id, reason=error)]


def waits_on(state: State, event: AttemptFailed) -> bool:
    """Whether a request waits for the node that it did not reach, as that is about to be woken."""
    node = state.nodes.get(event.node_id)
    unreached = node is not None and event.phase == "connect"
    return unreached and node is not None and _leads_to_sleep(state, node, event.error)


def _leads_to_sleep(state: State, node: Node, error: str) -> bool:
    there = node.health in {"healthy", "degraded", ASLEEP}
    return there and _may(state, node) and not error.startswith(REFUSED)


def _may(state: State, node: Node) -> bool:
    """Whether a node that does not answer is taken to sleep."""
    on = state.settings.wake_on_lan and node.drained_by != AGENT
    return on and bool(node.limits.macs)


def is_called(node: Node, now_us: int) -> bool:
    """Whether a node is being woken."""
    sleep = node.sleep
    return sleep.tries > 0 and now_us - sleep.last_us < 2 * AGAIN_S * US


def awaited(state: State, request: Request) -> bool:
    """Whether a request that no node online could serve waits for one to wake."""
    return bool(_sleeping(state, request))


def left_s(state: State, request: Request) -> float:
    """Return how long such a request waits until a node is awake; 0 if it waits for none."""
    nodes = _sleeping(state, request)
    if not nodes:
        return 0.0
    node = _first(state, request, nodes)
    passed_s = 0.0
    if is_called(node, state.recorded_at):
        passed_s = (state.recorded_at - node.sleep.first_us) / US
    return round(max(LEAST_LEFT_S, wake_s(node) - passed_s), 3)


def due(state: State, now_us: int) -> list[WakePlanned]:
    """Return the next packets that there should be, if there are any."""
    nodes = [node for node in state.nodes.values() if node.health == ASLEEP]
    if not nodes or state.recovering:
        return []
    for node in nodes:
        if node.sleep.asked and _rested(node, now_us):
            return [_planned(node, now_us, "asked")]
    for model, line in state.lines.items():
        had = line.waiting and any(node.has(model) for node in nodes)
        if had and (plan := _for_line(state, model, now_us)):
            return plan
    return []


def in_vain(state: State, now_us: int) -> list[Command]:
    """Return the ends of the nodes that did not wake."""
    return [
        NodeWentOffline(node_id=node.node_id, reason=DID_NOT_WAKE)
        for node in state.nodes.values()
        if node.health == ASLEEP
        and node.sleep.tries >= TRIES
        and now_us - node.sleep.last_us >= AGAIN_S * US
    ]


def wake_s(node: Node) -> float:
    """Return how long a node takes to wake."""
    took = node.sleep.took
    return took.value if took.count else WAKE_S


def _for_line(state: State, model: str, now_us: int) -> list[WakePlanned]:
    line = state.lines[model]
    looked_at: list[tuple[bool, list[NodeId]]] = []
    for request_id in line.waiting:
        request = state.requests[request_id]
        kind = (request.v1, request.excluded)
        if kind in looked_at:
            continue
        looked_at.append(kind)
        nodes = _sleeping(state, request)
        if not nodes:
            continue
        node = _first(state, request, nodes)
        others = usable(state, request)
        there_s = _there_s(node, request)
        wait_s = 0.0
        if others:
            there_s += _slower_s(state, node, others, request)
            per_s = freed_per_s(state, request)
            wait_s = len(line.waiting) / per_s if per_s else 0.0
        if _rested(node, now_us) and (not others or wait_s > SURE * there_s):
            plan = _planned(node, now_us, "queue" if others else "only")
            return [
                replace(
                    plan,
                    there_s=round(there_s, 3),
                    wait_s=round(wait_s, 3),
                    model=model,
                    in_line=len(line.waiting),
                    request_id=request_id,
                )
            ]
    return []


def _sleeping(state: State, request: Request) -> list[Node]:
    """Return the nodes that may be woken for a request."""
    if not state.settings.wake_on_lan:
        return []
    model = request.model
    return [
        node
        for node in state.nodes.values()
        if node.health == ASLEEP
        and node.limits.macs
        and not node.drained_by
        and not node.paused
        and model not in node.too_large
        and node.node_id not in request.excluded
        and node.serves(model, v1=request.v1)
    ]


def _first(state: State, request: Request, nodes: list[Node]) -> Node:
    """Return the one to wake: that is being woken, else where an answer ends the soonest."""
    asked = demand(state, request.model)
    ranked = sorted(
        (
            not is_called(node, state.recorded_at),
            _there_s(node, request) + service_s(asked, node, request),
            node.node_id,
        )
        for node in nodes
    )
    return state.nodes[ranked[0][2]]


def _there_s(node: Node, request: Request) -> float:
    """Return the time until a sleeping node has a model in memory, which it may still have."""
    return wake_s(node) + (0.0 if request.model in node.resident else load_s(node, request.model))


def _slower_s(state: State, node: Node, others: list[Node], request: Request) -> float:
    """Return how much longer an answer takes on a node than on the best of the others."""
    asked = demand(state, request.model)
    best_s = min(service_s(asked, other, request) for other in others)
    return max(0.0, service_s(asked, node, request) - best_s)


def _rested(node: Node, now_us: int) -> bool:
    """Whether packets may be sent (again)."""
    sleep = node.sleep
    again = sleep.tries < TRIES and now_us - sleep.last_us >= AGAIN_S * US
    return again or not is_called(node, now_us)


def _planned(node: Node, now_us: int, reason: WakeReason) -> WakePlanned:
    return WakePlanned(
        node_id=node.node_id,
        reason=reason,
        attempt=node.sleep.tries + 1 if is_called(node, now_us) else 1,
        wake_s=round(wake_s(node), 3),
    )


def _forget(node: Node) -> None:
    node.sleep.tries = 0
    node.sleep.asked = False
