"""Answers that take far longer than they did: a node has lost its graphics card, or is throttled.

The usual pace of a model on a node is learned from answers that are not far slower; `IN_A_ROW` in a
row that take `slow_times` as long for a token open its circuit as *slow*. A policy that weighs
speeds (`soonest`) is told the new pace at once, instead of over twenty answers, and goes by that:
the node may still be the fastest there is. All others ask it last, only where no other node can
serve. After a while one request may try (half-open), by the usual pace; if that is slow again, the
next may try after twice the time.

Answers that share a node are slower without any fault of it, by how much depends on the engine. So
also if it had served them one after another a token has to have taken `BESIDE` times the usual.
"""

from typing import TypeAlias

from actors.core.circuits import Circuit
from actors.core.learning import Past, Speed
from actors.core.state import Node, State
from events import CircuitClosed, CircuitHalfOpened, CircuitOpened, RequestCompleted

IN_A_ROW = 3
KNOWN = 8
"""Answers from which on the usual pace is known."""
BESIDE = 2.0
LEAST_TOKENS = 8
"""Of an answer that tells of the pace."""
FIRST_S, LONGEST_S = 60.0, 600.0
"""How long such a circuit is open, at first and at most."""
FORGETS = 0.002
"""The weight of a slow answer in what is usual, as if it had just been slow: what lasts for some
hundred answers becomes usual."""
WEIGHS_SPEEDS = "soonest"

Seen: TypeAlias = tuple[float, float]
"""The seconds of a token: alone on the node, and the least that they can be brought to."""


def noted(speed: Speed, tokens: int, seen: Seen | None, slow_times: float) -> None:
    """Count an answer in, if it tells of the pace."""
    if seen is None or slow_times <= 0 or tokens < LEAST_TOKENS:
        return
    past = speed.past
    if past is None:
        past = speed.past = Past()
    alone_s, least_s = seen
    usual_s = past.usual.value
    slow = alone_s > slow_times * usual_s and least_s > BESIDE * usual_s
    if slow and past.usual.count >= KNOWN:
        past.row = max(past.row, 0) + 1
        past.slow_s += (alone_s - past.slow_s) / past.row
        past.usual.value *= 1.0 + FORGETS * (slow_times - 1.0)
    else:
        past.row = min(past.row, 0) - 1
        past.usual.add(alone_s)


def judged(state: State, event: RequestCompleted) -> list[CircuitOpened | CircuitClosed]:
    """Name the change that follows from an answer that was counted in."""
    node = state.nodes.get(event.node_id)
    past = None if node is None else _past(node, event.model)
    if node is None or past is None:
        return []
    circuit = node.circuits.get(event.model)
    if circuit is None or circuit.status == "closed":
        if past.row >= IN_A_ROW and state.settings.slow_times > 0:
            return [_opened(node, event.model, past, FIRST_S)]
    elif circuit.slow:
        if past.row < 0 or state.settings.slow_times <= 0:
            return [CircuitClosed(node_id=node.node_id, model=event.model)]
        if past.row > 0 and circuit.status == "half_open":
            return [_opened(node, event.model, past, next_open_s(circuit))]
    return []


def next_open_s(circuit: Circuit) -> float:
    """Return how long it is open after a try that was slow again."""
    return min(LONGEST_S, 2 * circuit.open_s)


def _opened(node: Node, model: str, past: Past, open_s: float) -> CircuitOpened:
    return CircuitOpened(
        node_id=node.node_id,
        model=model,
        failures=past.row,
        open_s=open_s,
        reason="slow",
        pace_share=round(past.usual.value / past.slow_s, 4),
    )


def turned(
    state: State, event: CircuitOpened | CircuitHalfOpened | CircuitClosed, now_us: int
) -> None:
    """Fold a change of a circuit, slow or not."""
    node = state.nodes.get(event.node_id)
    if node is None:
        return
    model = event.model
    circuit = node.circuits.get(model, Circuit())
    if isinstance(event, CircuitOpened):
        slow = event.reason == "slow"
        failures = 0 if slow else event.failures
        node.circuits[model] = Circuit(failures, "open", now_us, event.open_s, slow)
        if slow:
            _reckon(node, model, usual=False)
        return
    if circuit.slow:
        _reckon(node, model, usual=True)  # for one that tries, or since it is well again
    if isinstance(event, CircuitClosed):
        node.circuits.pop(model, None)
    else:
        node.circuits[model].status = "half_open"


def restarted(node: Node) -> None:
    """Fold that a node was started again: its circuits are closed, and its pace is as usual."""
    for model, circuit in node.circuits.items():
        if circuit.slow:
            _reckon(node, model, usual=True)
    node.circuits.clear()


def _reckon(node: Node, model: str, *, usual: bool) -> None:
    """Reckon with the usual pace from now on, or with the slow one."""
    if (past := _past(node, model)) is not None:
        node.speed(model).step.value = past.usual.value if usual else past.slow_s
        past.row = 0


def is_last(state: State, node: Node, model: str) -> bool:
    """Whether a node is asked for a model only where no other can serve it."""
    circuit = node.circuits.get(model)
    if circuit is None or not circuit.slow:
        return False
    if circuit.status == "open":
        return state.settings.policy != WEIGHS_SPEEDS
    slots = node.slots.get(model)
    return slots is not None and slots.in_flight > 0  # one tries


def _past(node: Node, model: str) -> Past | None:
    speed = node.speeds.get(model)
    return None if speed is None else speed.past
