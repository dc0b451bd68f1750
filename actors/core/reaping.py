"""Reaper: a request that makes no progress is asked of another node, or ended.

Its front ends it, and says how: it may have had its answer a moment before, so that only the front
knows the one end. A front that does not say so for `front_timeout_s` is not asked any more.
"""

from actors.core.commands import Cancel, Command, Send
from actors.core.recovery import is_awaited
from actors.core.stalling import stalled
from actors.core.state import US, Request, State
from events import (
    Event,
    FrontConnected,
    Lease,
    ReapPlanned,
    Recorded,
    RequestReaped,
    RequestStalled,
    StreamsProgressed,
    StreamStarted,
    TimerFired,
)

STALLED = "stalled"
"""Why a front is to leave a node: it tells of the failed attempt, if there is no answer yet."""
STALE = "stale"
"""Why a front is to end a request, and to say how it ended."""
REAPED = "reaped"
"""Why a front is to end a request that counts as ended."""

HEARS: tuple[type[Event], ...] = (
    FrontConnected,
    ReapPlanned,
    RequestStalled,
    StreamStarted,
    StreamsProgressed,
    TimerFired,
)


def evolve(state: State, record: Recorded) -> None:
    """Note when a running request last made progress, and whether it is being ended."""
    match record.event:
        case StreamStarted(request_id=request_id) | RequestStalled(request_id=request_id):
            if (request := state.requests.get(request_id)) is not None:
                request.progress_us = record.recorded_at
        case StreamsProgressed():
            _progress(state, record.event, record.recorded_at)
        case ReapPlanned(request_id=request_id, lease=lease):
            if (request := state.requests.get(request_id)) is not None:
                request.reaping = lease
        case FrontConnected():  # what it was told may be lost with the link
            for request in state.requests.values():
                if request.src == record.src:
                    request.reaping = Lease("")
        case _:
            pass


def _progress(state: State, event: StreamsProgressed, now_us: int) -> None:
    for request_id, tokens in event.progress:
        request = state.requests.get(request_id)
        if request is not None and tokens > request.tokens:
            request.tokens = tokens
            request.progress_us = now_us


def decide(state: State, record: Recorded) -> list[Command]:
    """Ask for another node in place of one that does not answer; end what is stale."""
    if not isinstance(record.event, TimerFired):
        return []
    commands: list[Command] = []
    for request in stalled(state, record.recorded_at):
        told = RequestStalled(
            request_id=request.request_id,
            model=request.model,
            node_id=request.node_id,
            lease=request.lease,
            idle_s=(record.recorded_at - request.progress_us) / US,
        )
        commands += [told, Send(request.src, Cancel(request.request_id, request.lease, STALLED))]
    for request in stale(state, record.recorded_at):
        asked = state.settings.front_timeout_s > 0 and request.reaping != request.lease
        idle_s = (record.recorded_at - request.progress_us) / US
        kind = ReapPlanned if asked else RequestReaped
        ended = kind(
            request_id=request.request_id,
            model=request.model,
            node_id=request.node_id,
            lease=request.lease,
            idle_s=idle_s,
        )
        reason = STALE if asked else REAPED
        cancel = Cancel(request.request_id, request.lease, reason, idle_s if asked else 0.0)
        commands += [ended, Send(request.src, cancel)]
    return commands


def stale(state: State, now_us: int) -> list[Request]:
    """Return the running requests to end now: those without progress for `stale_timeout_s`."""
    limit_us = int(state.settings.stale_timeout_s * US)
    patient_us = limit_us + int(state.settings.front_timeout_s * US)
    return [
        request
        for request in state.requests.values()
        if request.lease
        and now_us - request.progress_us
        >= (patient_us if request.reaping == request.lease else limit_us)
        and not is_awaited(state, request.src)
    ]
