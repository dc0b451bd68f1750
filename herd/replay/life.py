"""What happened to one request, step by step, in a few words each."""

import msgspec

from events import (
    ActorFailed,
    AttemptFailed,
    Event,
    Lease,
    LeaseAdopted,
    LeaseVoided,
    ModelSubstituted,
    NodeId,
    ReapPlanned,
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
    RequestStalled,
    StreamStarted,
    WakePlanned,
)

ENDS = (
    RequestCancelled,
    RequestCompleted,
    RequestFailed,
    RequestInterrupted,
    RequestReaped,
    RequestRejected,
)


class Step(msgspec.Struct, frozen=True):
    """One event of a request's life."""

    seq: int
    at_s: float
    """Seconds from its receipt: when it was reported, but of a first byte when that came."""
    kind: str
    node_id: NodeId
    text: str


def steps(records: list[Recorded]) -> list[Step]:
    """Return the life of the request that these records are about."""
    first_us = records[0].recorded_at
    sent_s: dict[Lease, float] = {}
    found: list[Step] = []
    for record in records:
        event = record.event
        at_s = (record.recorded_at - first_us) / 1e6
        if isinstance(event, RequestDispatched):
            sent_s[event.lease] = at_s
        elif isinstance(event, StreamStarted):  # reported later than it came
            at_s = min(at_s, sent_s.get(event.lease, at_s) + event.ttft_s)
        kind = str(event.__struct_config__.tag)
        node_id = getattr(event, "node_id", NodeId(""))
        found.append(Step(record.seq, at_s, kind, node_id, told(event)))
    return found


def told(event: Event) -> str:  # noqa: C901, PLR0911, PLR0912 (one case a kind)
    """Return an event of a request in words."""
    match event:
        case RequestReceived():
            return _received(event)
        case ModelSubstituted():
            return _substituted(event)
        case RequestQueued(reason="hold"):
            return f"waits, {_place(event)}: no node online has the model"
        case RequestQueued():
            return f"waits for a slot, {_place(event)}"
        case WakePlanned():
            return _woken(event)
        case RequestDispatched():
            again = f", attempt {event.attempt}" if event.attempt > 1 else ""
            load = ", which has to load the model" if event.cold else ""
            return f"sent to {event.node_id}{load}{again}{_context(event)}{_predicted(event)}"
        case AttemptFailed():
            said = _why(event.status, event.error)
            return f"{event.node_id} failed it {_phase(event.phase)}: {said}"
        case RequestStalled():
            return f"{event.node_id} owes an answer for {event.idle_s:.0f} s: asked elsewhere"
        case StreamStarted():
            return f"first byte, {event.ttft_s:.2f} s after it was sent"
        case RequestCompleted():
            return _completed(event)
        case RequestRejected():
            return f"rejected with {event.status} ({event.reason.replace('_', ' ')})"
        case RequestFailed():
            return _failed(event)
        case RequestCancelled():
            had = f", {event.completion_tokens} tokens had come" if event.completion_tokens else ""
            return f"the client left {_phase(event.phase)}{had}"
        case ReapPlanned():
            return f"no progress on {event.node_id} for {event.idle_s:.0f} s: its front ends it"
        case RequestReaped():
            return f"ended by herd: no progress on {event.node_id} for {event.idle_s:.0f} s"
        case RequestInterrupted():
            return f"interrupted: {_INTERRUPTED[event.reason]}"
        case LeaseVoided():
            return f"the grant for {event.node_id} never reached its front: queued again"
        case LeaseAdopted():
            return f"found running on {event.node_id} after a restart"
        case ActorFailed():
            return f"herd stumbled over it: {event.error}"
        case _:
            return str(event.__struct_config__.tag).replace("_", " ")


_INTERRUPTED = {
    "front_lost": "the process that held its client died",
    "unknown_to_front": "its front no longer knew it",
    "herd_stopped": "herd was stopped",
}


def _received(event: RequestReceived) -> str:
    named = f" (asked as {event.asked_model})" if event.asked_model else ""
    app = f", app {event.app}" if event.app else ""
    limit = f", waits {event.deadline_s:g} s at most" if event.deadline_s else ""
    kind = "" if event.priority == "normal" else f", {event.priority}"
    held = f", held {event.waited_s:.1f} s before" if event.waited_s else ""
    context = f", with a context of {event.num_ctx}" if event.num_ctx else ""
    context += f", up to {event.most_tokens} tokens" if event.most_tokens else ""
    others = f", else {', '.join(event.fallbacks)}" if event.fallbacks else ""
    only = ", and no other model" if event.no_fallback else ""
    model = f"{event.model}{named}{others}{only}"
    return f"received: {model}, {event.route}{context}{app}{kind}{limit}{held}"


def _substituted(event: ModelSubstituted) -> str:
    saved = f", about {event.saved_s:.0f} s sooner" if event.saved_s else ""
    return f"goes to {event.to}{saved}: {_INSTEAD[event.reason].format(model=event.model)}"


_INSTEAD = {
    "alias": "that is what {model} stands for",
    "fallback_models": "no node online has {model}, and its body names this one",
    "anthropic": "no node has {model}, and this is the best in memory that can use tools",
    "vram": "it is in memory, and {model} is in none",
}


def _woken(event: WakePlanned) -> str:
    """Return why a node is woken, and what that costs."""
    wake = f"{event.node_id} is woken, which takes about {event.wake_s:.0f} s"
    again = f", attempt {event.attempt}" if event.attempt > 1 else ""
    match event.reason:
        case "asked":
            return f"{wake}{again}: somebody asked for it"
        case "only":
            return f"{wake}{again}: no other node that could be asked has {event.model}"
        case "queue":
            there, waits = f"{event.there_s:.0f} s", f"{event.wait_s:.0f} s"
            line = f"the last of {event.in_line} in line would wait {waits} without it"
            return f"{wake}{again}: {line}, and it can help in {there}"


def _context(event: RequestDispatched) -> str:
    match event.context:
        case "pinned":
            return f", its context pinned to the {event.num_ctx} that is loaded there"
        case "reloads":
            return f", which has {event.loaded_ctx} of context loaded and may have to load anew"
        case _:
            return ""


def _predicted(event: RequestDispatched) -> str:
    if not event.predicted_s:
        return ""
    least_s, most_s = event.predicted_least_s, event.predicted_most_s
    return f", said to take {event.predicted_s:.1f} s ({least_s:.1f} to {most_s:.1f} s)"


def _completed(event: RequestCompleted) -> str:
    load = f", of these {event.load_s:.2f} s loading" if event.load_s else ""
    finish = f", {event.finish}" if event.finish else ""
    status = f" with {event.status}" if event.status != 200 else ""  # noqa: PLR2004 (HTTP's OK)
    return (
        f"completed{status}: {event.completion_tokens} tokens{finish}, first byte after "
        f"{event.ttft_s:.2f} s{load}, all of it after {event.service_s:.2f} s"
    )


def _failed(event: RequestFailed) -> str:
    where = f" on {event.node_id}" if event.node_id else ""
    got = f"; its client got {event.status}" if event.status else ""
    said = event.error or "no reason told"
    return f"failed{where} {_phase(event.phase)}, fault of the {event.fault}: {said}{got}"


def _place(event: RequestQueued) -> str:
    return "next in line" if event.position == 1 else f"number {event.position} in line"


def _phase(phase: str) -> str:
    return _PHASES.get(phase, f"in phase {phase}")


_PHASES = {
    "admit": "before it was admitted",
    "hold": "while it waited",
    "queue": "while it waited",
    "connect": "at the connection",
    "first_byte": "before the first byte",
    "stream": "in the middle of the answer",
}


def _why(status: int, error: str) -> str:
    return error or (f"answered {status}" if status else "no reason told")
