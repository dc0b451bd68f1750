"""Queue: who waits for a model, in which order (`ranking`), and how long.

* `RequestReceived` is the admission; `AttemptFailed` and `LeaseVoided` put a request back at its
  old place; dispatch and every end take it out. `ModelSubstituted` moves it to another line.
* Two waits. *Hold*: no online node has the model; it ends after `hold_timeout_s`, but goes on while
  a node that has it is woken. *Queue*: some
  node can serve it, later; it ends after `queue_timeout_s`, or at the client's own deadline. Both
  begin anew when a node failed the request: the time that it ran is no wait.
* A queue is made only for a model of the catalogue. Requests for others (nothing may be known
  yet) wait in the hold queue, `HOLD`, so that clients cannot create actors.
"""

from actors.core import (
    keying,
    lengths,
    pulling,
    ranking,
    recalling,
    sharing,
    substituting,
    waking,
)
from actors.core.commands import Command
from actors.core.overdue import others, overdue, stranded
from actors.core.refusing import UNKNOWN, fail, reject
from actors.core.state import US, Line, Request, State
from events import (
    AttemptFailed,
    Event,
    HeartbeatReceived,
    LeaseAdopted,
    LeaseVoided,
    ModelDeleted,
    ModelSubstituted,
    NodeBecameHealthy,
    NodeDegraded,
    NodeDrained,
    NodeForgotten,
    NodePaused,
    NodeProbed,
    NodeResumed,
    NodeSlept,
    NodeUndrained,
    NodeWentOffline,
    PullEnded,
    Recorded,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestId,
    RequestInterrupted,
    RequestReaped,
    RequestReceived,
    RequestRejected,
    TimerFired,
)

NAME = "queue"

HOLD = ""
"""The queue of requests whose model no node of the fleet was ever seen to have."""

OF_ONE_MODEL: tuple[type[Event], ...] = (
    RequestReceived,
    RequestDispatched,
    RequestRejected,
    RequestFailed,
    RequestCancelled,
    RequestInterrupted,
    RequestCompleted,
    RequestReaped,
    AttemptFailed,
    LeaseVoided,
    LeaseAdopted,
    ModelSubstituted,
)
"""Heard by one queue: that of `line_of`."""

OF_ALL: tuple[type[Event], ...] = (
    HeartbeatReceived,
    NodeProbed,
    NodeBecameHealthy,
    NodeDegraded,
    NodeWentOffline,
    NodeSlept,
    NodeDrained,
    NodeUndrained,
    NodePaused,
    NodeResumed,
    NodeForgotten,
    ModelDeleted,
    PullEnded,
    TimerFired,
)
"""Heard by every queue: what a model can hope for may have changed, or time has passed."""


def key(state: State, model: str) -> str:
    """Return the queue of a model: its own if a node was ever seen to have it, else `HOLD`."""
    return model if model in state.catalogue else HOLD


def line_of(state: State, event: Event) -> str:
    """Return the model whose line an event of one request is about.

    A front that has not yet heard of a move names the model that was asked for.
    """
    if isinstance(event, ModelSubstituted):
        return event.to
    request_id: RequestId = getattr(event, "request_id")  # noqa: B009 (all of OF_ONE_MODEL have it)
    request = state.requests.get(request_id)
    if request is not None:
        return request.model
    model: str = getattr(event, "model")  # noqa: B009 (likewise)
    return model


def keys(state: State) -> list[str]:
    """Return every queue that holds a line now, in a fixed order."""
    return list(dict.fromkeys(key(state, model) for model in state.lines))


def evolve(state: State, queue: str, record: Recorded) -> None:
    """Fold one event into the lines of this queue."""
    match record.event:
        case RequestReceived():
            _admit(state, record.event, record)
        case ModelSubstituted():
            _move(state, record.event)
        case (
            AttemptFailed(request_id=request_id, lease=lease)
            | LeaseVoided(request_id=request_id, lease=lease)
        ):
            request = state.requests.get(request_id)
            if request is not None and request.lease == lease:
                _put_back(state, request)
        case (
            RequestFailed(request_id=request_id, lease=lease)
            | RequestCompleted(request_id=request_id, lease=lease)
            | RequestReaped(request_id=request_id, lease=lease)
        ) if state.late(request_id, lease):
            pass
        case (
            RequestDispatched(request_id=request_id)
            | RequestRejected(request_id=request_id)
            | RequestFailed(request_id=request_id)
            | RequestCancelled(request_id=request_id)
            | RequestInterrupted(request_id=request_id)
            | RequestCompleted(request_id=request_id)
            | RequestReaped(request_id=request_id)
            | LeaseAdopted(request_id=request_id)
        ):
            sent = isinstance(record.event, RequestDispatched)
            left = _take_out(state, line_of(state, record.event), request_id, sent=sent)
            if left is not None and isinstance(record.event, RequestDispatched):
                _charge(state, left, record.event)
        case _:
            for model in _models(state, queue):
                _watch_hold(state, model, record.recorded_at)


def decide(state: State, queue: str, record: Recorded) -> list[Command]:
    """Reject what may not wait, or has waited too long; give up what was tried too often."""
    match record.event:
        case RequestReceived(request_id=request_id) | ModelSubstituted(request_id=request_id):
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
        v1=event.route.startswith("/v1/") or (state.settings.translate_ollama and not event.native),
        seq=record.seq,
        received_us=received_us,
        app=event.app,
        key_name=event.key_name,
        route=event.route,
        num_ctx=0 if event.route.startswith("/v1/") else event.num_ctx,
        needs=None if event.needs is None else list(event.needs),
        fixed=event.no_fallback,
        body_bytes=event.body_bytes,
        stream=event.stream,
        most_tokens=event.most_tokens,
        prefixes=event.prefixes if state.settings.prefix_affinity else (),
        deadline_us=received_us + int(event.deadline_s * US) if event.deadline_s else 0,
    )
    request = state.requests[event.request_id]
    if state.settings.lengths_by_size:
        request.length_ratio = lengths.ratio(state, event.body_bytes)
    recalling.recall(state, request)
    request.choices = _choices(state, event, request)
    if event.key_name:
        request.bar = keying.admitted(state, request)
    ranking.join(state, _line(state, request, received_us), request, event.priority)
    state.waiting += 1


def _choices(state: State, event: RequestReceived, request: Request) -> list[str]:
    allowed = state.settings.fallback_models and not event.no_fallback
    if not allowed or not event.fallbacks:
        return []
    others = [model for model in event.fallbacks if keying.allowed(state, request, model)]
    return list(dict.fromkeys((event.model, *others)))


def _move(state: State, event: ModelSubstituted) -> None:
    request = state.requests[event.request_id]
    _take_out(state, request.model, request.request_id, sent=False)
    request.came_as = request.came_as or request.model
    request.model = event.to
    if event.reason == "alias" and request.choices:
        request.choices[0] = event.to
    request.reason = _reason(request, event)
    recalling.recall(state, request)
    ranking.move(state, _line(state, request, state.recorded_at), request)
    state.waiting += 1


def _reason(request: Request, event: ModelSubstituted) -> str:
    """Return why a request is not served by the model that it came for, if it is another now."""
    if event.to == request.came_as:
        return ""
    first = bool(request.choices) and event.to == request.choices[0]
    return "alias" if first and event.reason == "fallback_models" else event.reason


def _line(state: State, request: Request, since_us: int) -> Line:
    line = state.lines.get(request.model)
    if line is None:
        line = state.lines[request.model] = Line()
        _watch_hold(state, request.model, since_us)
    line.choosing = line.choosing or bool(request.choices)
    return line


def _put_back(state: State, request: Request) -> None:
    line = _line(state, request, state.recorded_at)
    request.waits_since_us = state.recorded_at
    ranking.rejoin(state, line, request)
    state.waiting += 1


def _charge(state: State, request: Request, event: RequestDispatched) -> None:
    """Count what an application gets; by the rules, not again what it got of no use."""
    if event.attempt <= 1 or not state.settings.rules:
        sharing.sent(state, request)


def _take_out(state: State, model: str, request_id: RequestId, *, sent: bool) -> Request | None:
    line = state.lines.get(model)
    if line is None or line.waiting.pop(request_id, None) is None:
        return None
    state.waiting -= 1
    request = state.requests.get(request_id)
    if state.settings.rules and request is not None and not sent:
        ranking.give_back(state, line, request)
    ranking.leave(line, request, sent=sent)
    line.choosing = line.choosing and bool(line.waiting)
    if not line.waiting and model not in state.catalogue:
        del state.lines[model]
    return request


def _watch_hold(state: State, model: str, now_us: int) -> None:
    line = state.lines[model]
    if state.servable(model, v1=False):
        line.held_since_us = line.held_native_since_us = 0
        return
    line.held_native_since_us = line.held_native_since_us or now_us
    line.held_since_us = 0 if state.servable(model, v1=True) else line.held_since_us or now_us


def _admission(state: State, request: Request) -> list[Command]:
    if request.bar:
        return keying.turned_away(state, request)
    moved = substituting.on_admission(state, request)
    if moved is not None:
        return [moved]
    model = request.model
    nodes = state.nodes.values()
    models = request.choices or [model]
    known = any(node.serves(each, v1=request.v1) for each in models for node in nodes)
    if not known and state.settled():
        known = any(node.has(model) for node in nodes)
        if known or not pulling.allowed(state, model):
            return reject(state, request, UNKNOWN, "only_v1" if known else "unknown_model")
        if (full := _full(state, request)) is not None:
            return full
        pull = pulling.begin(state, model)
        return reject(state, request, UNKNOWN, "pull_failed") if pull is None else pull
    return _full(state, request) or []


def _full(state: State, request: Request) -> list[Command] | None:
    settings = state.settings
    if len(state.lines[request.model].waiting) > settings.max_queue:
        return reject(state, _last(state, request), 429, "queue_full")
    if state.waiting > settings.max_queue_total:
        return reject(state, request, 429, "queue_full")
    return None


def _last(state: State, newest: Request) -> Request:
    """Return whom a full line turns away: its last by rank, if no node has tried it yet."""
    if not state.settings.make_room:
        return newest
    last = state.requests[next(reversed(state.lines[newest.model].waiting))]
    return newest if last.attempt else last


def _in_vain(state: State, queue: str, event: PullEnded) -> list[Command]:
    """Reject those who waited for a pull that has brought nothing."""
    wanted = pulling.key(event.model)
    if event.outcome == "done" or not pulling.for_requests(state, event.model):
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
    elsewhere = [node for node in others(state, request) if node.node_id != event.node_id]
    if request.attempt <= state.settings.max_retries:
        if elsewhere:
            return []
        if waking.waits_on(state, event) or waking.awaited(state, request):
            return []
        if (back := substituting.back(state, request)) is not None:
            return [back]
    return fail(state, request, event.phase, event.node_id, (event.status, event.error))


def _ends(state: State, model: str, now_us: int) -> list[Command]:
    ended: list[Command] = []
    left = stranded(state, model)
    for request in left:
        said = (request.last_status, request.last_error)
        ended += fail(state, request, "queue", request.excluded[-1], said)
    for request, reason in overdue(state, model, now_us):
        if request not in left:
            ended += reject(state, request, 503, reason)
    return ended
