"""Queue: who waits for a model, in which order (`ranking`), and how long.

* `RequestReceived` is the admission; `AttemptFailed` and `LeaseVoided` put a request back at its
  old place; dispatch and every end take it out.
* Two waits. *Hold*: no online node has the model; it ends after `hold_timeout_s`. *Queue*: some
  node can serve it, later; it ends after `queue_timeout_s`, or at the client's own deadline. Both
  begin anew when a node failed the request: the time that it ran is no wait.
* A queue is made only for a model of the catalogue. Requests for others (nothing may be known
  yet) wait in the hold queue, `HOLD`, so that clients cannot create actors.
"""

from typing import Literal

from actors.core import pulling, ranking
from actors.core.commands import Command, Refuse, Send
from actors.core.state import US, Line, Node, Request, State
from events import (
    AttemptFailed,
    Event,
    HeartbeatReceived,
    LeaseAdopted,
    LeaseVoided,
    ModelDeleted,
    NodeBecameHealthy,
    NodeDegraded,
    NodeDrained,
    NodeForgotten,
    NodeId,
    NodeProbed,
    NodeUndrained,
    NodeWentOffline,
    Phase,
    PullEnded,
    Recorded,
    Rejection,
    RequestCancelled,
    RequestDispatched,
    RequestFailed,
    RequestId,
    RequestInterrupted,
    RequestReceived,
    RequestRejected,
    TimerFired,
)

NAME = "queue"

HOLD = ""
"""The queue of requests whose model no node of the fleet was ever seen to have."""

BUSY = 503
"""A node's word that it has no room; passed on, since another try may find some."""

BAD_GATEWAY = 502
"""What any other failure of the last node becomes."""

UNKNOWN = 404
"""Waiting would not help."""

OF_ONE_MODEL: tuple[type[Event], ...] = (
    RequestReceived,
    RequestDispatched,
    RequestRejected,
    RequestFailed,
    RequestCancelled,
    RequestInterrupted,
    AttemptFailed,
    LeaseVoided,
    LeaseAdopted,
)
"""Heard by the queue of the event's model."""

OF_ALL: tuple[type[Event], ...] = (
    HeartbeatReceived,
    NodeProbed,
    NodeBecameHealthy,
    NodeDegraded,
    NodeWentOffline,
    NodeDrained,
    NodeUndrained,
    NodeForgotten,
    ModelDeleted,
    PullEnded,
    TimerFired,
)
"""Heard by every queue: what a model can hope for may have changed, or time has passed."""

Overdue = Literal["hold_timeout", "queue_timeout", "deadline", "still_pulling"]


def key(state: State, model: str) -> str:
    """Return the queue of a model: its own if a node was ever seen to have it, else `HOLD`."""
    return model if model in state.catalogue else HOLD


def keys(state: State) -> list[str]:
    """Return every queue that holds a line now, in a fixed order."""
    return list(dict.fromkeys(key(state, model) for model in state.lines))


def evolve(state: State, queue: str, record: Recorded) -> None:
    """Fold one event into the lines of this queue."""
    match record.event:
        case RequestReceived():
            _admit(state, record.event, record)
        case (
            AttemptFailed(request_id=request_id, lease=lease)
            | LeaseVoided(request_id=request_id, lease=lease)
        ):
            request = state.requests.get(request_id)
            if request is not None and request.lease == lease:
                _put_back(state, request)
        case RequestFailed(request_id=request_id, lease=lease) if state.late(request_id, lease):
            pass
        case (
            RequestDispatched(model=model, request_id=request_id)
            | RequestRejected(model=model, request_id=request_id)
            | RequestFailed(model=model, request_id=request_id)
            | RequestCancelled(model=model, request_id=request_id)
            | RequestInterrupted(model=model, request_id=request_id)
            | LeaseAdopted(model=model, request_id=request_id)
        ):
            sent = isinstance(record.event, RequestDispatched)
            _take_out(state, model, request_id, sent=sent)
        case _:
            for model in _models(state, queue):
                _watch_hold(state, model, record.recorded_at)


def decide(state: State, queue: str, record: Recorded) -> list[Command]:
    """Reject what may not wait, or has waited too long; give up what was tried too often."""
    match record.event:
        case RequestReceived(request_id=request_id):
            return _admission(state, state.requests[request_id])
        case AttemptFailed(request_id=request_id, lease=lease):
            request = state.requests.get(request_id)
            if request is not None and request.lease == lease:
                return _next_attempt(state, request, record.event)
        case TimerFired():
            return [
                command
                for model in _models(state, queue)
                for command in _ends(state, model, record.recorded_at)
            ]
        case PullEnded():
            return _in_vain(state, queue, record.event)
        case _:
            pass
    return []


def stranded(state: State, model: str) -> list[Request]:
    """Return the requests of one line that failed once, and have no other node left to go to."""
    return [
        request
        for request_id in state.lines[model].waiting
        if (request := state.requests[request_id]).excluded and not _others(state, request)
    ]


def overdue(state: State, model: str, now_us: int) -> list[tuple[Request, Overdue]]:
    """Return the requests of one line that have waited too long, and for what."""
    line = state.lines[model]
    settings = state.settings
    pulled = pulling.awaited(state, model)
    hold_s = settings.auto_pull_timeout_s if pulled else settings.hold_timeout_s
    ended: list[tuple[Request, Overdue]] = []
    for request_id in line.waiting:
        request = state.requests[request_id]
        since_us = line.held_since_us if request.v1 else line.held_native_since_us
        waits_since_us = request.waits_since_us or request.received_us
        held_us = now_us - max(since_us, waits_since_us)
        if request.deadline_us and now_us >= request.deadline_us:
            ended.append((request, "deadline"))
        elif now_us - waits_since_us >= settings.queue_timeout_s * US:
            ended.append((request, "queue_timeout"))
        elif since_us and held_us >= hold_s * US:
            ended.append((request, "still_pulling" if pulled else "hold_timeout"))
    return ended


def retry_after_s(state: State, model: str) -> int:
    """Return when it is worth asking again, in whole seconds: the line's length over its pace."""
    slots = 0
    completed = 0
    service_s = 0.0
    for node in state.nodes.values():
        if node.online and model in node.slots:
            slots += node.slots[model].limit
        if (tally := node.tallies.get(model)) is not None:
            completed += tally.completed
            service_s += tally.service_s
    if not slots or not completed:
        return int(state.settings.hold_timeout_s)
    line = state.lines.get(model)
    ahead = 1 if line is None else len(line.waiting) + 1
    return max(1, min(600, round(ahead * service_s / completed / slots)))


def _models(state: State, queue: str) -> list[str]:
    return [model for model in state.lines if key(state, model) == queue]


def _admit(state: State, event: RequestReceived, record: Recorded) -> None:
    if event.request_id in state.requests:
        raise ValueError(f"request {event.request_id} was received twice")
    received_us = record.recorded_at - int(event.waited_s * US)
    state.requests[event.request_id] = Request(
        request_id=event.request_id,
        model=event.model,
        src=record.src,
        v1=event.route.startswith("/v1/"),
        seq=record.seq,
        received_us=received_us,
        app=event.app,
        body_bytes=event.body_bytes,
        deadline_us=received_us + int(event.deadline_s * US) if event.deadline_s else 0,
    )
    line = state.lines.get(event.model)
    if line is None:
        line = state.lines[event.model] = Line()
        _watch_hold(state, event.model, received_us)
    ranking.join(state, line, state.requests[event.request_id], event.priority)
    state.waiting += 1


def _put_back(state: State, request: Request) -> None:
    line = state.lines.get(request.model)
    if line is None:
        line = state.lines[request.model] = Line()
        _watch_hold(state, request.model, state.recorded_at)
    request.waits_since_us = state.recorded_at
    ranking.rejoin(state, line, request)
    state.waiting += 1


def _take_out(state: State, model: str, request_id: RequestId, *, sent: bool) -> None:
    line = state.lines.get(model)
    if line is None or line.waiting.pop(request_id, None) is None:
        return
    state.waiting -= 1
    ranking.leave(line, state.requests.get(request_id), sent=sent)
    if not line.waiting and model not in state.catalogue:
        del state.lines[model]


def _watch_hold(state: State, model: str, now_us: int) -> None:
    line = state.lines[model]
    if state.servable(model, v1=False):
        line.held_since_us = line.held_native_since_us = 0
        return
    line.held_native_since_us = line.held_native_since_us or now_us
    line.held_since_us = 0 if state.servable(model, v1=True) else line.held_since_us or now_us


def _admission(state: State, request: Request) -> list[Command]:
    model = request.model
    nodes = state.nodes.values()
    if not any(node.serves(model, v1=request.v1) for node in nodes) and state.settled():
        known = any(node.has(model) for node in nodes)
        if known or not state.settings.auto_pull:
            return reject(state, request, UNKNOWN, "only_v1" if known else "unknown_model")
        pull = pulling.begin(state, model)
        return reject(state, request, UNKNOWN, "pull_failed") if pull is None else pull
    settings = state.settings
    if len(state.lines[model].waiting) > settings.max_queue or (
        state.waiting > settings.max_queue_total
    ):
        return reject(state, request, 429, "queue_full")
    return []


def _in_vain(state: State, queue: str, event: PullEnded) -> list[Command]:
    """Reject those who waited for a pull that has brought nothing."""
    wanted = pulling.key(event.model)
    if event.outcome == "done" or not state.settings.auto_pull:
        return []
    others = [pull for pull in state.pulls.values() if pull.pull_id != event.pull_id]
    if any(pulling.key(pull.model) == wanted for pull in others):
        return []
    return [
        command
        for model in _models(state, queue)
        if pulling.key(model) == wanted and not any(n.has(model) for n in state.nodes.values())
        for request_id in state.lines[model].waiting
        for command in reject(state, state.requests[request_id], UNKNOWN, "pull_failed")
    ]


def _next_attempt(state: State, request: Request, event: AttemptFailed) -> list[Command]:
    others = [node for node in _others(state, request) if node.node_id != event.node_id]
    if request.attempt <= state.settings.max_retries and others:
        return []
    return _fail(state, request, event.phase, event.node_id, (event.status, event.error))


def _others(state: State, request: Request) -> list[Node]:
    """Return the nodes that may still serve a request."""
    return [
        node
        for node in state.nodes.values()
        if node.takes(request.model, v1=request.v1) and node.node_id not in request.excluded
    ]


def _ends(state: State, model: str, now_us: int) -> list[Command]:
    ended: list[Command] = []
    left = stranded(state, model)
    for request in left:
        said = (request.last_status, request.last_error)
        ended += _fail(state, request, "queue", request.excluded[-1], said)
    for request, reason in overdue(state, model, now_us):
        if request not in left:
            ended += reject(state, request, 503, reason)
    return ended


def _fail(
    state: State, request: Request, phase: Phase, node_id: NodeId, said: tuple[int, str]
) -> list[Command]:
    """End a request with what its last node said: a status, or 0, and an error."""
    code, error = said
    status = BUSY if code == BUSY else BAD_GATEWAY
    wait_s = retry_after_s(state, request.model) if code == BUSY else 0
    return [
        RequestFailed(
            request_id=request.request_id,
            model=request.model,
            phase=phase,
            fault="node",
            status=status,
            node_id=node_id,
            error=error,
        ),
        Send(request.src, Refuse(request.request_id, status, "node_failed", wait_s, error)),
    ]


def reject(
    state: State, request: Request, status: int, reason: Rejection, again_s: int = 0
) -> list[Command]:
    """End a request that gets no node; its client may ask again then, or when its line is done."""
    wait_s = again_s or (0 if status == UNKNOWN else retry_after_s(state, request.model))
    return [
        RequestRejected(
            request_id=request.request_id,
            model=request.model,
            status=status,
            reason=reason,
            retry_after_s=wait_s,
            waited_s=(state.recorded_at - request.received_us) / US,
        ),
        Send(request.src, Refuse(request.request_id, status, reason, wait_s)),
    ]
