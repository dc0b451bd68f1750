"""Scheduler: who runs where.

It hears every event, and binds waiting requests to free slots (`binding`) whenever nothing else is
left to be decided (`State.pending`), one dispatch at a time: each is folded before the next is
considered. Lines are served by the rank of their heads.
"""

from math import ceil
from typing import Literal

from actors.core import observing, predicting, promising, pulling, queueing, recovery
from actors.core.binding import bind, slots_changed
from actors.core.commands import Command, Grant, Send
from actors.core.placement import Policy, slots_of
from actors.core.policies import place
from actors.core.slots import (
    START,
    Slots,
    changed,
    completed,
    dispatched,
    first_byte,
    progressed,
    proposal,
    released,
)
from actors.core.state import US, Node, Request, State, Tally
from events import (
    AttemptFailed,
    HeartbeatReceived,
    Lease,
    LeaseAdopted,
    LeaseVoided,
    NodeConfigured,
    NodeDiscovered,
    NodeId,
    NodeProbed,
    PullProgressed,
    Recorded,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestInterrupted,
    RequestQueued,
    RequestReaped,
    RequestReceived,
    RequestRejected,
    RoomPromised,
    SlotsChanged,
    StreamsProgressed,
    StreamStarted,
    TimerFired,
)

NAME = "scheduler"

_CLIENT_ERROR = 400


def evolve(state: State, record: Recorded) -> None:
    """Fold one event into leases, slots and statistics."""
    event = record.event
    now_us = record.recorded_at
    match event:
        case RequestDispatched():
            _dispatch(state, event, now_us)
        case RequestCompleted():
            _complete(state, event, now_us)
        case RequestReceived() | RequestQueued():
            observing.arrived(state, event, now_us)
        case StreamStarted() | StreamsProgressed():
            _listen(state, event, now_us)
        case AttemptFailed() | LeaseVoided():
            _take_back(state, event, now_us)
        case LeaseAdopted():
            _adopt(state, event, record)
        case RequestRejected(request_id=request_id):
            state.requests.pop(request_id, None)
        case RequestFailed() | RequestCancelled() | RequestReaped() | RequestInterrupted():
            _end(state, event, now_us)
        case SlotsChanged() | NodeDiscovered() | RoomPromised():
            _renew(state, event, now_us)
        case _:
            recovery.evolve(state, record)
            pulling.evolve(state, record)


def decide(state: State, record: Recorded, policy: Policy = place) -> list[Command]:
    """Answer the event itself, then bind whoever can be bound."""
    commands = _answer(state, record)
    if not state.waiting or state.pending or state.recovering:
        return commands
    if any(not isinstance(command, Send) for command in commands):
        return commands
    event, now_us = record.event, record.recorded_at
    if isinstance(event, RequestReceived):
        return commands + (bind(state, event.model, now_us, policy) or _queued(state, event))
    # Nobody could be bound to the model of one that was just queued.
    tried = event.model if isinstance(event, RequestQueued) else None
    lines = [
        (rank, state.requests[head].seq, model)
        for model, line in state.lines.items()
        if line.waiting and model != tried
        for head, rank in [next(iter(line.waiting.items()))]
    ]
    for _, _, model in sorted(lines):
        if bound := bind(state, model, now_us, policy):
            return commands + bound
    return commands


def proposals(state: State, now_us: int) -> list[Command]:
    """Return the changes of slots that the evidence calls for, whoever waits."""
    commands: list[Command] = []
    for node in state.nodes.values():
        for model, slots in node.slots.items():
            line = state.lines.get(model)
            waiting = line is not None and bool(line.waiting)
            if (change := proposal(slots, now_us, waiting=waiting)) is not None:
                commands.append(slots_changed(node, model, *change))
    return commands


def _answer(state: State, record: Recorded) -> list[Command]:
    match record.event:
        case RequestDispatched(request_id=request_id):
            return _grant(state, state.requests[request_id], record.event)
        case RequestReceived() | RequestCompleted() | StreamStarted() | StreamsProgressed():
            return []
        case (
            HeartbeatReceived(node_id=node_id)
            | NodeProbed(node_id=node_id)
            | NodeConfigured(node_id=node_id)
        ):
            node = state.nodes.get(node_id)
            return [] if node is None else told_slots(node)
        case TimerFired():
            return _promises(state, record.recorded_at) + proposals(state, record.recorded_at)
        case PullProgressed():
            return pulling.decide(state, record.event, record.recorded_at)
        case _:
            return recovery.decide(state, record)


def _promises(state: State, now_us: int) -> list[Command]:
    promises = promising.due(state, now_us)
    return [] if promises is None else [RoomPromised(promises=promises)]


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


def _queued(state: State, event: RequestReceived) -> list[Command]:
    v1 = state.requests[event.request_id].v1
    reason: Literal["slots", "hold"] = "slots" if state.servable(event.model, v1=v1) else "hold"
    request = state.requests[event.request_id]
    wait_s = 0.0
    if reason == "slots" and state.settings.predictions:
        wait_s = predicting.wait_s(state, request)
    if 0 < event.deadline_s < wait_s:
        return queueing.reject(state, request, 429, "too_late", ceil(wait_s - event.deadline_s))
    return [
        RequestQueued(
            request_id=event.request_id,
            model=event.model,
            position=list(state.lines[event.model].waiting).index(event.request_id) + 1,
            reason=reason,
            predicted_wait_s=wait_s,
        )
    ]


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
    )
    return [Send(request.src, grant)]


def _dispatch(state: State, event: RequestDispatched, now_us: int) -> None:
    request = state.requests[event.request_id]
    _take(state, request, event.node_id, now_us)
    request.attempt = event.attempt
    request.lease = event.lease
    request.cold = event.cold
    request.predicted_s = event.predicted_s
    state.leases += 1
    observing.sent(state.nodes[event.node_id], request, now_us, cold=event.cold)


def _take_back(state: State, event: AttemptFailed | LeaseVoided, now_us: int) -> None:
    request = state.requests.get(event.request_id)
    if request is None or request.lease != event.lease:
        return
    if isinstance(event, AttemptFailed):
        _leave(state, request, now_us, failed=True)
        request.excluded = [*request.excluded, event.node_id]
        request.last_status = event.status
        request.last_error = event.error
    else:
        _leave(state, request, now_us, failed=False)
        request.attempt -= 1


def _adopt(state: State, event: LeaseAdopted, record: Recorded) -> None:
    request = state.requests.get(event.request_id)
    if request is None:
        request = state.requests[event.request_id] = Request(
            request_id=event.request_id,
            model=event.model,
            src=event.front_src,
            v1=False,  # unknown; Ollama serves both kinds of routes
            seq=record.seq,
            received_us=record.recorded_at,
            attempt=1,
        )
    elif request.lease:
        _leave(state, request, record.recorded_at, failed=False)
    request.lease = event.lease
    _take(state, request, event.node_id, record.recorded_at)


def _take(state: State, request: Request, node_id: NodeId, now_us: int) -> None:
    """Put a request on a node, which may be one that is not known (any more)."""
    request.node_id = node_id
    request.dispatched_us = now_us
    request.progress_us = now_us
    request.tokens = 0
    state.in_flight += 1
    if (node := state.nodes.get(node_id)) is not None:
        _seat(node, request, now_us)


def _renew(state: State, event: SlotsChanged | NodeDiscovered | RoomPromised, now_us: int) -> None:
    if isinstance(event, RoomPromised):
        state.promises = {promise.node_id: promise for promise in event.promises}
        return
    node = state.nodes.get(event.node_id)
    if node is None:
        return
    if isinstance(event, SlotsChanged):
        changed(_slots(node, event.model), now_us, event.slots, event.reason)
    elif not node.in_flight:  # it may have been forgotten while these ran there
        for request in state.requests.values():
            if request.lease and request.node_id == node.node_id:
                _seat(node, request, now_us)


def _seat(node: Node, request: Request, now_us: int) -> None:
    """Give a request its slot: the only place where one is taken."""
    request.turn = dispatched(_slots(node, request.model), now_us)
    node.in_flight += 1


def _leave(state: State, request: Request, now_us: int, *, failed: bool) -> None:
    """Take a request off its node, without evidence for its slots."""
    node = state.nodes.get(request.node_id)
    if node is not None and request.lease:
        released(_slots(node, request.model), now_us, request.turn)
        node.in_flight -= 1
        if failed:
            _tally(node, request.model).failed += 1
    if request.lease:
        state.in_flight -= 1
    request.lease = Lease("")
    request.node_id = NodeId("")


def _complete(state: State, event: RequestCompleted, now_us: int) -> None:
    request = state.requests.get(event.request_id)
    if request is None or request.lease != event.lease:
        return
    del state.requests[event.request_id]
    node = state.nodes.get(request.node_id)
    if node is None or event.status >= _CLIENT_ERROR:
        _leave(state, request, now_us, failed=False)
        return
    observing.completed(state, node, request, event, now_us)
    if (asked := state.demands.get(request.model)) is not None:
        predicting.came_true(asked, request.predicted_s, event.service_s)
    completed(
        _slots(node, request.model),
        now_us,
        request.turn,
        event.service_s,
        event.completion_tokens,
        cold=request.cold,
    )
    node.in_flight -= 1
    state.in_flight -= 1
    tally = _tally(node, request.model)
    tally.completed += 1
    tally.service_s += event.service_s
    tally.load_s = event.load_s or tally.load_s
    tally.prompt_tokens += event.prompt_tokens
    tally.completion_tokens += event.completion_tokens


def _end(
    state: State,
    event: RequestFailed | RequestCancelled | RequestReaped | RequestInterrupted,
    now_us: int,
) -> None:
    request = state.requests.get(event.request_id)
    gone = isinstance(event, RequestCancelled)  # whatever lease it had last
    if request is None or (not gone and state.late(event.request_id, event.lease)):
        return
    del state.requests[event.request_id]
    blamed = isinstance(event, RequestReaped) or (
        isinstance(event, RequestFailed) and event.fault == "node"
    )
    _leave(state, request, now_us, failed=blamed)


def _listen(state: State, event: StreamStarted | StreamsProgressed, now_us: int) -> None:
    if isinstance(event, StreamStarted):
        request = state.requests.get(event.request_id)
        if request is not None and request.lease == event.lease:
            node = state.nodes.get(request.node_id)
            if node is not None:
                request.turn = first_byte(_slots(node, request.model), now_us, request.turn)
        return
    for request_id, tokens in event.progress:
        request = state.requests.get(request_id)
        node = None if request is None else state.nodes.get(request.node_id)
        if request is not None and node is not None:
            age_s = (now_us - request.dispatched_us) / US
            progressed(_slots(node, request.model), now_us, request.turn, age_s, tokens)


def _slots(node: Node, model: str) -> Slots:
    slots = node.slots[model] = slots_of(node, model)
    return slots


def _tally(node: Node, model: str) -> Tally:
    tally = node.tallies.get(model)
    if tally is None:
        tally = node.tallies[model] = Tally()
    return tally
