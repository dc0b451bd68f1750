"""Seats: the Scheduler's fold. Who has a slot where, since when, and what came of it."""

from typing import TypeAlias

from actors.core import (
    caching,
    keying,
    lacking,
    observing,
    pinning,
    planning,
    predicting,
    pulling,
    recovery,
    sharing,
    waking,
)
from actors.core.learning import UNKNOWN
from actors.core.placement import slots_of
from actors.core.slots import (
    Slots,
    changed,
    completed,
    dispatched,
    first_byte,
    progressed,
    released,
)
from actors.core.state import US, Node, Request, State, Tally
from events import (
    AttemptFailed,
    HeartbeatReceived,
    Lease,
    LeaseAdopted,
    LeaseVoided,
    LoadFinished,
    LoadPlanned,
    ModelSubstituted,
    NodeDiscovered,
    NodeId,
    NodeProbed,
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
)

_CLIENT_ERROR = 400

_OfANode: TypeAlias = (
    SlotsChanged | NodeDiscovered | LoadPlanned | LoadFinished | HeartbeatReceived | NodeProbed
)


def evolve(state: State, record: Recorded) -> None:
    """Fold one event into leases, slots and statistics."""
    event = record.event
    now_us = record.recorded_at
    match event:
        case RequestDispatched():
            _dispatch(state, event, now_us)
        case RequestCompleted():
            _complete(state, event, now_us)
        case RequestReceived() | RequestQueued() | ModelSubstituted():
            observing.arrived(state, event, now_us)
        case StreamStarted() | StreamsProgressed():
            _listen(state, event, now_us)
        case AttemptFailed() | LeaseVoided():
            _take_back(state, event, now_us)
        case LeaseAdopted():
            _adopt(state, event, record)
        case RequestFailed() | RequestCancelled() | RequestReaped() | RequestInterrupted():
            _end(state, event, now_us)
        case RequestRejected(request_id=request_id, model=model):
            state.requests.pop(request_id, None)
            known = model if model in state.catalogue else ""  # anybody can make names up
            state.rejected[known] = state.rejected.get(known, 0) + 1
        case (
            SlotsChanged()
            | NodeDiscovered()
            | RoomPromised()
            | LoadPlanned()
            | LoadFinished()
            | HeartbeatReceived()
            | NodeProbed()
        ):
            _renew(state, event, now_us)
        case _:
            keying.evolve(state, record)
            pinning.evolve(state, event)
            recovery.evolve(state, record)
            pulling.evolve(state, record)


def _dispatch(state: State, event: RequestDispatched, now_us: int) -> None:
    request = state.requests[event.request_id]
    _take(state, request, event.node_id, now_us)
    request.attempt = event.attempt
    request.lease = event.lease
    request.cold = event.cold
    request.predicted_s = event.predicted_s
    request.predicted_least_s = event.predicted_least_s
    request.predicted_most_s = event.predicted_most_s
    state.leases += 1
    node = state.nodes[event.node_id]
    tally = _tally(node, request.model)
    tally.sent += 1
    tally.cold += event.cold
    request.hoped_share = 0.0 if event.cold else caching.hoped_share(node, request)
    caching.seated(node, request, cold=event.cold)
    observing.sent(node, request, now_us, cold=event.cold)


def _take_back(state: State, event: AttemptFailed | LeaseVoided, now_us: int) -> None:
    request = state.requests.get(event.request_id)
    if request is None or request.lease != event.lease:
        return
    if isinstance(event, AttemptFailed):
        _lacks(state, request, event.error, now_us)
        _leave(state, request, now_us, failed=True)
        if not waking.waits_on(state, event):
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
    if request.model != event.model:
        request.model, request.length = event.model, UNKNOWN
    request.lease = event.lease
    _take(state, request, event.node_id, record.recorded_at)


def _take(state: State, request: Request, node_id: NodeId, now_us: int) -> None:
    """Put a request on a node, which may be one that is not known (any more)."""
    request.node_id = node_id
    request.dispatched_us = now_us
    request.progress_us = now_us
    request.tokens = 0
    by_length = state.settings.running_by_length
    request.portion = sharing.own_portion(state, request) if by_length else 0.0
    state.in_flight += 1
    if (node := state.nodes.get(node_id)) is not None:
        _seat(node, request, now_us)


def _renew(state: State, event: RoomPromised | _OfANode, now_us: int) -> None:
    if isinstance(event, RoomPromised):
        state.promises = {promise.node_id: promise for promise in event.promises}
        return
    if isinstance(event, LoadPlanned | LoadFinished):
        pinning.tried(state, event, now_us)
    node = state.nodes.get(event.node_id)
    if node is None:
        return
    match event:
        case SlotsChanged(model=model, slots=slots, reason=reason):
            changed(_slots(node, model), now_us, slots, reason)
        case LoadPlanned() | LoadFinished():
            planning.evolve(node, event, now_us)
            if isinstance(event, LoadFinished):
                lacking.refused(state, node, event.model, event.error, now_us)
        case NodeDiscovered() if not node.in_flight:  # forgotten while these ran there
            for request in state.requests.values():
                if request.lease and request.node_id == node.node_id:
                    _seat(node, request, now_us)
        case _:
            caching.told(node, now_us)


def _seat(node: Node, request: Request, now_us: int) -> None:
    """Give a request its slot: the only place where one is taken."""
    slots = _slots(node, request.model)
    request.turn = dispatched(slots, now_us)
    if request.portion:
        slots.portions.append(request.portion)
    node.in_flight += 1


def _unseat(state: State, node: Node, request: Request) -> None:
    """Count a request out that has left its slot.

    A node that was found again has none until it is announced.
    """
    if state.settings.rules and not node.announced:
        return
    portions = _slots(node, request.model).portions
    if request.portion in portions:
        portions.remove(request.portion)
    node.in_flight -= 1


def _leave(state: State, request: Request, now_us: int, *, failed: bool) -> None:
    """Take a request off its node, without evidence for its slots."""
    node = state.nodes.get(request.node_id)
    if node is not None and request.lease:
        released(_slots(node, request.model), now_us, request.turn)
        _unseat(state, node, request)
        if failed:
            _tally(node, request.model).failed += 1
    if request.lease:
        state.in_flight -= 1
    request.lease = Lease("")
    request.node_id = NodeId("")


def _complete(state: State, event: RequestCompleted, now_us: int) -> None:
    request = state.requests.get(event.request_id)
    if request is None or state.late(event.request_id, event.lease):
        return
    del state.requests[event.request_id]
    keying.spent(state, request, event, now_us)
    node = state.nodes.get(request.node_id)
    if node is None or event.status >= _CLIENT_ERROR or request.lease != event.lease:
        _leave(state, request, now_us, failed=False)
        return
    observing.completed(state, node, request, event, now_us)
    lacking.took(node, request.model)
    caching.left(node, request)
    if (asked := state.demands.get(request.model)) is not None:
        predicting.came_true(asked, request, event.service_s)
    completed(
        _slots(node, request.model),
        now_us,
        request.turn,
        event.service_s,
        event.completion_tokens,
        cold=request.cold,
    )
    _unseat(state, node, request)
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
    keying.spent(state, request, event, now_us)
    if isinstance(event, RequestFailed) and event.phase == "first_byte":
        _lacks(state, request, event.error, now_us)
    blamed = isinstance(event, RequestReaped) or (
        isinstance(event, RequestFailed) and event.fault == "node"
    )
    _leave(state, request, now_us, failed=blamed)


def _lacks(state: State, request: Request, error: str, now_us: int) -> None:
    """Note what its node says, if that is a lack of memory."""
    if (node := state.nodes.get(request.node_id)) is not None:
        lacking.refused(state, node, request.model, error, now_us)


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
