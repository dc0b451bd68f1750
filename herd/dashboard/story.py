"""One request as its page shows it, pure: from its recorded events alone.

Shape: `{request_id, model, app, route, ended, outcome, began_at, total_s, steps[], spans[],
decisions[], command}`. Times are seconds from the receipt, `began_at` is an instant in seconds
since 1970. What would have sent the request elsewhere needs the state of the decision: `command`
tells it.
"""

from collections.abc import Iterable, Sequence

import msgspec

from events import (
    AttemptFailed,
    LeaseVoided,
    Recorded,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestReceived,
    RequestRejected,
    StreamStarted,
    decode,
)
from herd.replay.life import ENDS, steps
from herd.replay.wording import why

US = 1_000_000


class Span(msgspec.Struct, frozen=True):
    """A stretch of the request's life, for the time line."""

    what: str
    """waiting, loading, prompt, answer, failed; or whole, where an answer came in one piece."""
    from_s: float
    to_s: float | None
    """None if it lasts."""
    node_id: str = ""


def records(lines: Iterable[str]) -> list[Recorded]:
    """Return the events of a request as logd's query `request` gives them."""
    return [decode(line.encode()) for line in lines]


def placed(record: Recorded) -> dict[str, object]:
    """Return a dispatch in words, for the list of what was decided last."""
    event = record.event
    assert isinstance(event, RequestDispatched)  # noqa: S101 (the query gives nothing else)
    return {
        "seq": record.seq,
        "at": record.recorded_at / US,
        "request_id": event.request_id,
        "model": event.model,
        "node_id": event.node_id,
        "attempt": event.attempt,
        "cold": event.cold,
        "queue_s": event.queue_s,
        "runner_up": next((msgspec.structs.asdict(each) for each in event.terms[1:2]), None),
        "why": why(event, list(event.terms), None).removeprefix(f"{event.node_id}, "),
    }


def told(life: Sequence[Recorded]) -> dict[str, object]:
    """Return what the page shows; `life` is not empty."""
    first = life[0]
    event = first.event
    ended = any(isinstance(each.event, ENDS) for each in life)
    return {
        "request_id": getattr(event, "request_id", ""),
        "model": getattr(event, "model", ""),
        "app": getattr(event, "app", ""),
        "route": getattr(event, "route", ""),
        "ended": ended,
        "outcome": outcome(life),
        "began_at": first.recorded_at / US,
        "total_s": _after(first, life[-1]) if ended else None,
        "steps": [msgspec.structs.asdict(each) for each in steps(list(life))],
        "spans": [msgspec.structs.asdict(each) for each in spans(life)],
        "decisions": [
            _decision(first, each) for each in life if isinstance(each.event, RequestDispatched)
        ],
        "command": f"herd explain {getattr(event, 'request_id', '')}",
    }


def outcome(life: Sequence[Recorded]) -> str:
    """Return how a request ended, in the words of the view `request_traces`; empty if it lasts."""
    route = getattr(life[0].event, "route", "")
    for event in (record.event for record in reversed(life)):
        if isinstance(event, RequestCompleted):
            return "completed" if event.completion_tokens or "embed" in route else "no_output"
        if isinstance(event, RequestCancelled):
            return "client_disconnected"
        if isinstance(event, RequestRejected):
            return "rejected"
        if isinstance(event, ENDS):
            return "incomplete" if getattr(event, "phase", "") == "stream" else "failed"
    return ""


def spans(life: Sequence[Recorded]) -> list[Span]:
    """Return the stretches between the events, in order; those of no length are left out."""
    first = life[0]
    found: list[Span] = []
    what, node_id, from_s, begun_s = "waiting", "", 0.0, None
    for record in life:
        event, at_s = record.event, _after(first, record)
        if isinstance(event, RequestReceived):
            from_s = at_s
        elif isinstance(event, RequestDispatched):
            found.append(Span(what, from_s, at_s))
            what, node_id, from_s, begun_s = "prompt", event.node_id, at_s, None
        elif isinstance(event, StreamStarted):
            begun_s = from_s + event.ttft_s
        elif isinstance(event, AttemptFailed | LeaseVoided):
            found.append(Span("failed", from_s, at_s, node_id))
            what, node_id, from_s = "waiting", "", at_s
        elif isinstance(event, ENDS):
            found += _ending(record, Span(what, from_s, at_s, node_id), begun_s)
            return _lasting(found if getattr(first.event, "stream", True) else _in_one(found))
    found += _running(Span(what, from_s, None, node_id), begun_s)
    return _lasting(found)


def _ending(record: Recorded, last: Span, begun_s: float | None) -> list[Span]:
    """Divide the last stretch into load, prompt and answer, as far as they are known."""
    event = record.event
    if not last.node_id:
        return [last]
    if not isinstance(event, RequestCompleted):
        failed = msgspec.structs.replace(last, what="failed")
        return [failed] if begun_s is None else _running(last, begun_s)
    from_s, to_s = last.from_s, last.from_s + event.service_s
    loaded_s = from_s + min(event.load_s, event.ttft_s)
    first_s = from_s + event.ttft_s
    return [
        Span("loading", from_s, loaded_s, last.node_id),
        Span("prompt", loaded_s, first_s, last.node_id),
        Span("answer", first_s, max(first_s, to_s), last.node_id),
    ]


def _running(last: Span, begun_s: float | None) -> list[Span]:
    if begun_s is None:
        return [last]
    return [
        Span("prompt", last.from_s, begun_s, last.node_id),
        Span("answer", begun_s, last.to_s, last.node_id),
    ]


def _in_one(found: list[Span]) -> list[Span]:
    """Make one of prompt and answer: an answer that is not streamed does not tell them apart."""
    made: list[Span] = []
    for each in found:
        if each.what == "answer" and made and made[-1].what == "prompt":
            made[-1] = msgspec.structs.replace(made[-1], what="whole", to_s=each.to_s)
        else:
            made.append(each)
    return made


def _lasting(found: list[Span]) -> list[Span]:
    return [each for each in found if each.to_s is None or each.to_s > each.from_s]


def _decision(first: Recorded, record: Recorded) -> dict[str, object]:
    event = record.event
    assert isinstance(event, RequestDispatched)  # noqa: S101 (the caller looked)
    candidates = list(event.terms)
    return {
        "seq": record.seq,
        "at_s": _after(first, record),
        "attempt": event.attempt,
        "node_id": event.node_id,
        "policy": event.policy,
        "why": why(event, candidates, None),
        "candidates": [msgspec.structs.asdict(each) for each in candidates],
        "not_listed": event.more,
        "predicted_s": event.predicted_s,
        "predicted_least_s": event.predicted_least_s,
        "predicted_most_s": event.predicted_most_s,
    }


def _after(first: Recorded, record: Recorded) -> float:
    return (record.recorded_at - first.recorded_at) / US
