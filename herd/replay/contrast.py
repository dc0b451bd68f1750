"""What would have had to be otherwise: the smallest changes of a state that change a decision.

The policy is a black box here: it is shown changed states, and what it says is believed. Nothing
is changed in the state itself; only the node in question is copied.
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from actors.core.placement import Choice, Policy, slots_of
from actors.core.policies import place
from actors.core.state import Node, Request, State, dump, load
from events import NodeId, Recorded, RequestDispatched, ResidentModel
from herd.replay.deciding import again

What: TypeAlias = Literal["in_flight", "resident", "online", "drained", "paused", "circuit_open"]

WAITS = NodeId("")
"""In place of a node: the request would have waited."""

_COSTS: dict[What, int] = {"resident": 2, "online": 3, "drained": 3, "paused": 3, "circuit_open": 3}
_LOST = 6
"""That the winner was away says little: it comes last."""
_STATED = 2


class Change(msgspec.Struct, frozen=True):
    """One thing about one node, and the model of the request."""

    node_id: NodeId
    what: What
    before: int
    """As it was; 0 and 1 for no and yes."""
    after: int
    slots: int = 0
    """How many requests the node may hold, beside `in_flight`."""


class Contrast(msgspec.Struct, frozen=True):
    """A change, and what would have been decided then."""

    change: Change
    chosen: NodeId
    """`WAITS` if nobody would have been."""


def change(state: State, model: str, wanted: Change) -> None:
    """Make a change in place: counts by their difference, so that it may come before the fact."""
    node = state.nodes.get(wanted.node_id)
    if node is not None:
        _set(node, model, wanted)


def stated(
    decided: tuple[State, Request], met: tuple[State, Recorded], policy: Policy = place
) -> list[Contrast]:
    """Return the one or two contrasts that say most about a decision.

    `decided` is what the policy saw, `met` the state before the fact and the fact. Each has proved
    true in a replay of that fact on the changed state: slots are learned there, and what was
    decided before in the same fact may come out otherwise, too.
    """
    state, request = decided
    found: list[Contrast] = []
    for contrast in contrasts(state, request, policy):
        if any(contrast.change.node_id == each.change.node_id for each in found):
            continue
        if replayed(met, request, contrast.change, policy) == contrast.chosen:
            found.append(contrast)
            if len(found) == _STATED:
                break
    return found


def replayed(
    met: tuple[State, Recorded], request: Request, wanted: Change, policy: Policy = place
) -> NodeId:
    """Return where the request goes if the fact meets a changed state."""
    before, fact = met
    state = load(dump(before))
    change(state, request.model, wanted)
    for record in again(state, fact, policy):
        event = record.event
        if isinstance(event, RequestDispatched) and event.request_id == request.request_id:
            return event.node_id
    return WAITS


def contrasts(state: State, request: Request, policy: Policy = place) -> list[Contrast]:
    """Return every single change that changes the decision, what says most first.

    That is: what would have led to the runner-up, then the smallest.
    """
    choice = policy(state, request)
    if choice is None:
        return []
    others = [node for node in state.nodes.values() if node.node_id != choice.node.node_id]
    found = list(_worse(state, request, choice, policy))
    for node in others:
        found += _better(state, request, node, policy)
    second = _runner_up(choice, found)
    return sorted(found, key=lambda each: (each.chosen != second, _cost(each.change)))


def _runner_up(choice: Choice, found: list[Contrast]) -> NodeId:
    """Return the second of the candidates; else the node that lacks least."""
    if len(choice.candidates) > 1:
        return choice.candidates[1].node_id
    nearest = min(
        (each for each in found if each.chosen != WAITS),
        key=lambda each: _cost(each.change),
        default=None,
    )
    return WAITS if nearest is None else nearest.chosen


def _cost(wanted: Change) -> int:
    if wanted.what == "in_flight":
        return abs(wanted.after - wanted.before)
    return _LOST if wanted.what == "online" and not wanted.after else _COSTS[wanted.what]


def _worse(state: State, request: Request, choice: Choice, policy: Policy) -> Iterator[Contrast]:
    """Yield what would have kept the winner from winning."""
    winner, model = choice.node, request.model
    slots = slots_of(winner, model)
    raised = range(slots.in_flight + 1, slots.limit + 1)
    changes = [_count(winner, model, number) for number in raised]
    yield from _first(state, request, changes, policy, other_than=winner.node_id)
    if model in winner.resident:
        gone = Change(winner.node_id, "resident", 1, 0)
        yield from _first(state, request, [gone], policy, other_than=winner.node_id)
    away = Change(winner.node_id, "online", 1, 0)
    yield from _first(state, request, [away], policy, other_than=winner.node_id)


def _better(state: State, request: Request, node: Node, policy: Policy) -> Iterator[Contrast]:
    """Yield what would have made another node win."""
    model, node_id = request.model, node.node_id
    if not node.has(model):
        return
    slots = slots_of(node, model)
    changes = [_count(node, model, number) for number in reversed(range(slots.in_flight))]
    yield from _first(state, request, changes, policy, node_id)
    circuit = node.circuits.get(model)
    single = {
        Change(node_id, "resident", 0, 1): model not in node.resident,
        Change(node_id, "online", 0, 1): node.health != "healthy",
        Change(node_id, "drained", 1, 0): bool(node.drained_by),
        Change(node_id, "paused", 1, 0): bool(node.paused),
        Change(node_id, "circuit_open", 1, 0): circuit is not None and circuit.status != "closed",
    }
    for wanted, possible in single.items():
        if possible:
            yield from _first(state, request, [wanted], policy, node_id)


def _first(  # noqa: PLR0913, PLR0917 (a question has that many parts)
    state: State,
    request: Request,
    changes: list[Change],
    policy: Policy,
    chosen: NodeId = WAITS,
    other_than: NodeId = WAITS,
) -> Iterator[Contrast]:
    """Yield the first change after which `chosen` wins, or anybody `other_than` that one."""
    for wanted in changes:
        choice = policy(_with(state, request.model, wanted), request)
        now = WAITS if choice is None else choice.node.node_id
        if now == chosen or (other_than and now != other_than):
            yield Contrast(wanted, now)
            return


def _count(node: Node, model: str, number: int) -> Change:
    slots = slots_of(node, model)
    return Change(node.node_id, "in_flight", slots.in_flight, number, slots.limit)


def _with(state: State, model: str, wanted: Change) -> State:
    """Return a changed state that shares all but one node with the state."""
    node = copied(state.nodes[wanted.node_id])
    _set(node, model, wanted)
    return msgspec.structs.replace(state, nodes={**state.nodes, node.node_id: node})


def copied(node: Node) -> Node:
    """Return a node with no part in common with it."""
    return msgspec.json.decode(msgspec.json.encode(node), type=Node)


def _set(node: Node, model: str, wanted: Change) -> None:
    match wanted.what:
        case "in_flight":
            more = wanted.after - wanted.before
            slots = node.slots[model] = slots_of(node, model)
            slots.in_flight = max(0, slots.in_flight + more)
            slots.begun = min(slots.begun, slots.in_flight)
            del slots.portions[slots.in_flight :]
            node.in_flight = max(0, node.in_flight + more)
        case "resident" if wanted.after:
            known = node.models.get(model)
            size = 0 if known is None else known.size_bytes
            node.resident = {**node.resident, model: ResidentModel(name=model, size_bytes=size)}
        case "resident":
            node.resident = {name: it for name, it in node.resident.items() if name != model}
            if (speed := node.speeds.get(model)) is not None:
                speed.served_us = 0
        case "online":
            node.health = "healthy" if wanted.after else "offline"
        case "drained":
            node.drained_by = ""
        case "paused":
            node.paused = ""
        case "circuit_open":
            node.circuits.pop(model, None)
