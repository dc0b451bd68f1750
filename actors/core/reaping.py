"""Reaper: a request that makes no progress is asked of another node, or ended."""

from functools import partial

from actors.core.commands import Cancel, Command, Send
from actors.core.recovery import AWAITED
from actors.core.stalling import stalled
from actors.core.state import US, Request, State
from events import (
    Event,
    Recorded,
    RequestReaped,
    RequestStalled,
    StreamsProgressed,
    StreamStarted,
    TimerFired,
)

NAME = "reaper"

STALLED = "stalled"
"""Why a front is to leave a node: it tells of the failed attempt, if there is no answer yet."""

HEARS: tuple[type[Event], ...] = (RequestStalled, StreamStarted, StreamsProgressed, TimerFired)


def evolve(state: State, record: Recorded) -> None:
    """Note when a running request last made progress."""
    match record.event:
        case StreamStarted(request_id=request_id) | RequestStalled(request_id=request_id):
            if (request := state.requests.get(request_id)) is not None:
                request.progress_us = record.recorded_at
        case StreamsProgressed(progress=progress):
            for request_id, tokens in progress:
                request = state.requests.get(request_id)
                if request is not None and tokens > request.tokens:
                    request.tokens = tokens
                    request.progress_us = record.recorded_at
        case _:
            pass


def decide(state: State, record: Recorded) -> list[Command]:
    """Ask for another node in place of one that does not answer; end what is stale.

    Of a front that is waited for nobody knows whether its requests are at an end already.
    """
    if not isinstance(record.event, TimerFired):
        return []
    commands: list[Command] = []
    for request in filter(partial(_known, state), stalled(state, record.recorded_at)):
        told = RequestStalled(
            request_id=request.request_id,
            model=request.model,
            node_id=request.node_id,
            lease=request.lease,
            idle_s=(record.recorded_at - request.progress_us) / US,
        )
        commands += [told, Send(request.src, Cancel(request.request_id, request.lease, STALLED))]
    for request in filter(partial(_known, state), stale(state, record.recorded_at)):
        reaped = RequestReaped(
            request_id=request.request_id,
            model=request.model,
            node_id=request.node_id,
            lease=request.lease,
            idle_s=(record.recorded_at - request.progress_us) / US,
        )
        cancel = Cancel(request.request_id, request.lease, "reaped")
        commands += [reaped, Send(request.src, cancel)]
    return commands


def _known(state: State, request: Request) -> bool:
    front = state.fronts.get(request.src)
    return front is None or front.missed != AWAITED


def stale(state: State, now_us: int) -> list[Request]:
    """Return the running requests without progress for `stale_timeout_s`."""
    limit_us = int(state.settings.stale_timeout_s * US)
    return [
        request
        for request in state.requests.values()
        if request.lease and now_us - request.progress_us >= limit_us
    ]
