"""Scheduler: who runs where.

It hears every event, and binds waiting requests to free slots (`binding`) whenever nothing else is
left to be decided (`State.pending`), one dispatch at a time: each is folded before the next is
considered. Lines are served by the rank of their heads.
"""

from math import ceil
from typing import Literal

from actors.core import (
    clearing,
    pinning,
    planning,
    predicting,
    promising,
    pulling,
    recovery,
    slowing,
    substituting,
    waking,
)
from actors.core.binding import bind, slots_changed
from actors.core.commands import Command, Grant, Send
from actors.core.owning import exhausted
from actors.core.placement import Policy
from actors.core.policies import nowhere, place
from actors.core.refusing import reject
from actors.core.slots import START, proposal
from actors.core.state import US, Node, Request, State
from events import (
    HeartbeatReceived,
    LoadPlanned,
    ModelSubstituted,
    NodeConfigured,
    NodeProbed,
    PullProgressed,
    Recorded,
    RequestCompleted,
    RequestDispatched,
    RequestQueued,
    RequestReceived,
    RoomPromised,
    StreamsProgressed,
    StreamStarted,
    TimerFired,
)

NAME = "scheduler"


def decide(state: State, record: Recorded, policy: Policy = place) -> list[Command]:
    """Answer the event itself, then bind whoever can be bound."""
    commands = _answer(state, record)
    if not state.waiting or state.pending or state.recovering:
        return commands
    if any(not isinstance(command, Send) for command in commands):
        return commands
    event, now_us = record.event, record.recorded_at
    if isinstance(event, RequestReceived | ModelSubstituted):
        request = state.requests[event.request_id]
        bound = bind(state, request.model, now_us, policy)
        return commands + (bound or _queued(state, request, _deadline_s(event, request, now_us)))
    if (moved := substituting.while_waiting(state)) is not None:
        return [*commands, moved]
    # Nobody could be bound to the model of one that was just queued.
    tried = event.model if isinstance(event, RequestQueued) else None
    lines = [
        (rank, state.requests[head].seq, model)
        for model, line in state.lines.items()
        if line.waiting and model != tried
        for head, rank in [next(iter(line.waiting.items()))]
    ]
    for _, _, model in sorted(lines):
        if policy is place and nowhere(state, model):
            continue
        if bound := bind(state, model, now_us, policy):
            return commands + bound
    return commands


def proposals(state: State, now_us: int) -> list[Command]:
    """Return the changes of slots that the evidence calls for, whoever waits."""
    commands: list[Command] = []
    for node in state.nodes.values():
        for model, slots in node.slots.items():
            line = state.lines.get(model)
            waiting = line is not None and bool(line.waiting) and not exhausted(node)
            if (change := proposal(slots, now_us, waiting=waiting)) is not None:
                commands.append(slots_changed(node, model, *change))
    return commands


def _answer(state: State, record: Recorded) -> list[Command]:
    match record.event:
        case RequestDispatched(request_id=request_id):
            return _grant(state, state.requests[request_id], record.event)
        case RequestReceived() | ModelSubstituted() | StreamStarted() | StreamsProgressed():
            return []
        case RequestCompleted():
            return [*slowing.judged(state, record.event)]
        case (
            HeartbeatReceived(node_id=node_id)
            | NodeProbed(node_id=node_id)
            | NodeConfigured(node_id=node_id)
        ):
            node = state.nodes.get(node_id)
            return [] if node is None else told_slots(node)
        case TimerFired():
            return [
                *_promises(state, record.recorded_at),
                *proposals(state, record.recorded_at),
                *_loads(state, record.recorded_at),
                *waking.due(state, record.recorded_at),
            ]
        case PullProgressed():
            return pulling.decide(state, record.event, record.recorded_at)
        case _:
            return recovery.decide(state, record)


def _promises(state: State, now_us: int) -> list[Command]:
    promises = promising.due(state, now_us)
    return [] if promises is None else [RoomPromised(promises=promises)]


def _loads(state: State, now_us: int) -> list[LoadPlanned]:
    return clearing.due(state, now_us) or pinning.due(state, now_us) or planning.due(state, now_us)


def told_slots(node: Node) -> list[Command]:
    """Return the changes that make its slots what the node, or the command line, says."""
    told = node.told_slots or node.facts.slots
    if not told:
        return [
            slots_changed(node, model, START, "trial")
            for model, slots in node.slots.items()
            if slots.told
        ]
    return [
        slots_changed(node, model, told, "told")
        for model, slots in node.slots.items()
        if not slots.told or slots.limit != told
    ]


def _queued(state: State, request: Request, deadline_s: float) -> list[Command]:
    servable = state.servable(request.model, v1=request.v1)
    reason: Literal["slots", "hold"] = "slots" if servable else "hold"
    wait_s = 0.0
    if state.settings.predictions:
        wait_s = predicting.wait_s(state, request) if servable else waking.left_s(state, request)
    if servable and 0 < deadline_s < wait_s:
        return reject(state, request, 429, "too_late", ceil(wait_s - deadline_s))
    return [
        RequestQueued(
            request_id=request.request_id,
            model=request.model,
            position=list(state.lines[request.model].waiting).index(request.request_id) + 1,
            reason=reason,
            predicted_wait_s=wait_s,
        )
    ]


def _deadline_s(event: RequestReceived | ModelSubstituted, request: Request, now_us: int) -> float:
    """Return how long a client will wait from now on; 0 if it did not say."""
    if isinstance(event, RequestReceived):
        return event.deadline_s
    return (request.deadline_us - now_us) / US if request.deadline_us else 0.0


def _grant(state: State, request: Request, event: RequestDispatched) -> list[Command]:
    url = state.nodes[event.node_id].url
    score = event.terms[0].score if event.terms else 0.0
    grant = Grant(
        request.request_id,
        event.node_id,
        url,
        event.lease,
        event.attempt,
        score,
        event.probing,
        request.predicted_wait_s,
        event.predicted_first_s,
        event.predicted_s,
        (event.predicted_least_s, event.predicted_most_s),
        request.model if request.came_as else "",
        request.reason,
        (event.context, event.num_ctx, event.loaded_ctx),
        pinning.is_pinned(state, event.node_id, request.model),
    )
    return [Send(request.src, grant)]
