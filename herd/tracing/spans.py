"""One tree of spans a request, made from its events alone.

The root is the request; under it lie its wait in the queue and each attempt at a node. The ids are
derived from the request's id, so that a log gives the same trace whenever it is read. If the
client sent a `traceparent` (W3C Trace Context, level 1), the root is a child of the client's span:
herd passes that header on to the node unchanged. Names of attributes are those of OpenTelemetry's
semantic conventions for generative AI and HTTP where they have one, else they begin with `herd.`.
The tokens stand at the request alone, so that nobody who adds them up counts them twice.
"""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, Literal, TypeAlias

import msgspec

from events import (
    AttemptFailed,
    Event,
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
    RequestStalled,
)
from herd.operations import operation
from herd.providers import OLLAMA, Providers
from herd.tracing.context import context_of

MOST_OPEN: Final = 50_000
"""Requests whose end has not come; the oldest of more are forgotten."""
NS: Final = 1_000
"""Of a microsecond, as the log counts time."""
_PROVIDER: Final = "gen_ai.provider.name"

Value: TypeAlias = str | bool | int | float | Sequence[str]
Kind: TypeAlias = Literal["server", "client", "internal"]

_ENDS = (
    RequestCompleted
    | RequestFailed
    | RequestCancelled
    | RequestRejected
    | RequestReaped
    | RequestInterrupted
)


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of time; instants are nanoseconds since the epoch."""

    name: str
    trace_id: int
    span_id: int
    parent_id: int = 0
    """0: there is none."""
    parent_is_remote: bool = False
    kind: Kind = "internal"
    start_ns: int
    end_ns: int
    attributes: dict[str, Value] = {}
    error: str = ""
    """What went wrong; empty if nothing did."""
    first_byte_ns: int = 0


class Spans:
    """Gathers the events of requests that run, and makes the spans of those that end."""

    def __init__(self, providers: Providers | None = None) -> None:
        """Begin without any; who answers at the nodes may be known from before."""
        self._providers = providers or Providers()
        self._open: OrderedDict[RequestId, list[Recorded]] = OrderedDict()

    def add(self, record: Recorded) -> list[Span]:
        """Take the next event of the log; return the tree of the request that it ends, if any.

        A request whose beginning was before the first event has no tree.
        """
        event = record.event
        self._providers.hear(event)
        if isinstance(event, RequestReceived):
            self._open[event.request_id] = [record]
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
            return []
        request_id: RequestId | None = getattr(event, "request_id", None)
        if request_id is None or request_id not in self._open:
            return []
        self._open[request_id].append(record)
        if not isinstance(event, _ENDS):
            return []
        return tree(self._open.pop(request_id), self._providers)


def tree(life: Sequence[Recorded], providers: Providers) -> list[Span]:
    """Return the spans of a request: its first event is its beginning, its last one its end.

    A client that does not want its trace to be kept gets none.
    """
    received, end = life[0].event, life[-1]
    assert isinstance(received, RequestReceived)  # noqa: S101 (the caller gathered them so)
    parent = context_of(received.trace)
    if parent is not None and not parent.sampled:
        return []
    trace_id = _id(received.request_id, "trace", 16) if parent is None else parent.trace_id
    parent_id = 0 if parent is None else parent.span_id
    start_ns = life[0].recorded_at * NS - round(received.waited_s * 1e9)
    attributes = _asked(received)
    children: list[Span] = []
    waits_ns = life[0].recorded_at * NS
    number = 0
    for place, record in enumerate(life):
        event = record.event
        if isinstance(event, RequestDispatched):
            number += 1
            at_ns = record.recorded_at * NS
            if at_ns > waits_ns:
                children.append(_wait(received, trace_id, number, waits_ns, at_ns))
            attempt = _attempt(received, trace_id, event, at_ns, life[place + 1 :])
            attempt.attributes[_PROVIDER] = attributes[_PROVIDER] = providers.of(event.node_id)
            children.append(attempt)
            waits_ns = attempt.end_ns
            attributes["gen_ai.response.model"] = event.model
    root = Span(
        name=f"{attributes['gen_ai.operation.name']} {received.model}",
        trace_id=trace_id,
        span_id=_id(received.request_id, "request", 8),
        parent_id=parent_id,
        parent_is_remote=bool(parent_id),
        kind="server",
        start_ns=start_ns,
        end_ns=end.recorded_at * NS,
        attributes=attributes | _outcome(end.event),
        error=_error(end.event),
    )
    return [root, *children]


def _id(request_id: RequestId, what: str, size_bytes: int) -> int:
    """Return an id that is the same whenever it is asked for."""
    digest = blake2b(f"{request_id}:{what}".encode(), digest_size=size_bytes).digest()
    return int.from_bytes(digest, "big") or 1


def _wait(
    received: RequestReceived, trace_id: int, number: int, start_ns: int, end_ns: int
) -> Span:
    return Span(
        name="queue",
        trace_id=trace_id,
        span_id=_id(received.request_id, f"queue {number}", 8),
        parent_id=_id(received.request_id, "request", 8),
        start_ns=start_ns,
        end_ns=end_ns,
    )


def _attempt(
    received: RequestReceived,
    trace_id: int,
    sent: RequestDispatched,
    start_ns: int,
    later: Sequence[Recorded],
) -> Span:
    ended = next(each for each in later if _ends(each.event))
    event = ended.event
    ttft_s = getattr(event, "ttft_s", 0.0)
    return Span(
        name=f"attempt {sent.attempt} at {sent.node_id}",
        trace_id=trace_id,
        span_id=_id(received.request_id, f"attempt {sent.attempt}", 8),
        parent_id=_id(received.request_id, "request", 8),
        kind="client",
        start_ns=start_ns,
        end_ns=max(start_ns, ended.recorded_at * NS),
        first_byte_ns=start_ns + round(ttft_s * 1e9) if ttft_s else 0,
        attributes={
            "gen_ai.operation.name": operation(received.route),
            "gen_ai.request.model": sent.model,
            **_first_chunk(received, ttft_s),
            **_error_type(event),
            "herd.node.id": sent.node_id,
            "herd.attempt": sent.attempt,
            "herd.cold": sent.cold,
            "herd.policy": sent.policy,
            "herd.predicted_s": sent.predicted_s,
            "herd.score": sent.terms[0].score if sent.terms else 0.0,
        },
        error=_error(event),
    )


def _first_chunk(received: RequestReceived, ttft_s: float) -> dict[str, Value]:
    return {"gen_ai.response.time_to_first_chunk": ttft_s} if received.stream and ttft_s else {}


def _ends(event: Event) -> bool:
    return isinstance(event, _ENDS | AttemptFailed | RequestStalled)


def _asked(received: RequestReceived) -> dict[str, Value]:
    known: dict[str, Value] = {
        "gen_ai.operation.name": operation(received.route),
        _PROVIDER: OLLAMA,
        "gen_ai.request.model": received.model,
        "gen_ai.request.stream": received.stream,
        "http.request.method": "POST",
        "url.path": received.route,
        "herd.request.id": received.request_id,
        "herd.app": received.app,
        "herd.priority": received.priority,
    }
    if received.tags:
        known["herd.tags"] = received.tags
    return known


def _outcome(event: Event) -> dict[str, Value]:
    match event:
        case RequestCompleted():
            known: dict[str, Value] = {"http.response.status_code": event.status}
            if event.usage_source != "none":
                known["gen_ai.usage.input_tokens"] = event.prompt_tokens
                known["gen_ai.usage.output_tokens"] = event.completion_tokens
            if event.finish:
                known["gen_ai.response.finish_reasons"] = [event.finish]
            return known
        case RequestFailed(status=status) | RequestRejected(status=status):
            return {"http.response.status_code": status, **_error_type(event)}
        case _:
            return _error_type(event)


def _error_type(event: Event) -> dict[str, Value]:
    """Return how it ended in one word, of which there are few: the phase of a failure, a reason."""
    match event:
        case RequestCompleted():
            return {}
        case RequestFailed(phase=phase) | AttemptFailed(phase=phase):
            return {"error.type": phase}
        case RequestRejected(reason=reason) | RequestInterrupted(reason=reason):
            return {"error.type": str(reason)}
        case RequestCancelled():
            return {"error.type": "cancelled"}
        case _:
            return {"error.type": "no_progress"}


def _error(event: Event) -> str:
    match event:
        case RequestCompleted():
            return ""
        case RequestFailed(phase=phase, fault=fault):
            return f"failed: {phase}, {fault}"
        case AttemptFailed(phase=phase):
            return f"failed: {phase}"
        case RequestRejected(reason=reason) | RequestInterrupted(reason=reason):
            return str(reason)
        case RequestCancelled():
            return "cancelled"
        case _:
            return "no progress"
