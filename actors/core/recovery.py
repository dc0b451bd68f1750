"""Recovery: the Scheduler's part when control or a front starts again, or an actor failed.

Fronts are the truth for waiting and in-flight requests, control for slots, the journal for
history. A front that connects says what it carries, after sending again every fact that was not
acknowledged; what the journal says otherwise is corrected by events, never silently. The request
that an actor failed on is given up, whatever became of it.
"""

import msgspec

from actors.core import pulling
from actors.core.commands import Cancel, Command, Refuse, Send
from actors.core.settings import Settings
from actors.core.state import Front, Request, State
from events import (
    CONTROL,
    ActorFailed,
    ConfigurationLoaded,
    ControlStarted,
    FrontConnected,
    FrontLost,
    LeaseAdopted,
    LeaseVoided,
    Recorded,
    RecoveryEnded,
    RequestFailed,
    RequestInterrupted,
    SettingsChanged,
    Source,
)

AWAITED = -1
"""Of `Front.missed`: it lives, and nobody knows yet how its requests are."""
_GONE = 2
"""Restarts of control after which a front that did not come back is forgotten: until then it may
be late, and its counter says which of its facts are written already."""


def evolve(state: State, record: Recorded) -> None:
    """Fold one event into the epoch, the settings and the fronts."""
    match record.event:
        case ControlStarted(epoch=epoch):
            _begin(state, epoch)
        case ConfigurationLoaded(settings=settings):
            _configure(state, settings)
        case SettingsChanged(key=key, new=new):
            _configure(state, {key: new})
            state.changes[key] = new
        case FrontConnected(front=number):
            _come(state, record, number)
        case FrontLost(front_src=src):
            state.fronts.pop(src, None)
        case ActorFailed():
            state.actor_failures += 1
        case RecoveryEnded(awaited=awaited):
            state.recovering = False
            for src, front in state.fronts.items():
                if front.connected:
                    front.missed = 0
                else:
                    front.missed = AWAITED if src in awaited else max(0, front.missed) + 1
            state.fronts = {
                src: front for src, front in state.fronts.items() if front.missed < _GONE
            }
        case _:
            pass


def decide(state: State, record: Recorded) -> list[Command]:
    """Correct what the journal says by what a front says, or by its silence."""
    match record.event:
        case FrontConnected():
            return _reconcile(state, record.src, record.event)
        case ActorFailed():
            return _give_up(state, record.event)
        case FrontLost(front_src=src):
            lost = [_lost(request) for request in state.requests.values() if request.src == src]
            return [*lost, *pulling.lost(state, src, record.recorded_at)]
        case ControlStarted():
            return pulling.lost(state, CONTROL, record.recorded_at)
        case RecoveryEnded(awaited=awaited):
            here = {src for src, front in state.fronts.items() if front.connected}.union(awaited)
            lost = [
                _lost(request) for request in state.requests.values() if request.src not in here
            ]
            return [*lost, *pulling.lost_with_fronts(state, here, record.recorded_at)]
        case _:
            return []


def is_awaited(state: State, src: Source) -> bool:
    """Whether nobody knows if a front's requests go on, or have had their end long ago."""
    front = state.fronts.get(src)
    return front is not None and front.missed == AWAITED


def _begin(state: State, epoch: int) -> None:
    state.epoch = epoch
    state.leases = 0
    state.recovering = True
    for front in state.fronts.values():
        front.connected = False
    for node in state.nodes.values():
        node.planned = None  # nobody is left to say what became of it


def _come(state: State, record: Recorded, number: int) -> None:
    """Know a front; judge the requests of one that was stopped by what they do from now on."""
    front = state.fronts.setdefault(record.src, Front())
    front.number = number
    front.connected = True
    if front.missed != AWAITED:
        return
    front.missed = 0
    for request in state.requests.values():
        if request.src == record.src:
            request.progress_us = record.recorded_at


def _configure(state: State, settings: dict[str, bool | int | float | str]) -> None:
    mine = msgspec.structs.asdict(state.settings)
    told = {name: settings[name] for name in mine if name in settings}
    state.settings = msgspec.convert(mine | told, Settings)


def _reconcile(state: State, src: Source, event: FrontConnected) -> list[Command]:
    waiting = dict.fromkeys(event.waiting)
    carried = {request.request_id: request for request in event.in_flight}
    commands: list[Command] = []
    for request in state.requests.values():
        if request.src != src or request.request_id in carried:
            continue
        if request.request_id not in waiting:
            commands.append(
                RequestInterrupted(
                    request_id=request.request_id,
                    model=request.model,
                    reason="unknown_to_front",
                    node_id=request.node_id,
                    lease=request.lease,
                )
            )
        elif request.lease:
            commands.append(
                LeaseVoided(
                    request_id=request.request_id,
                    model=request.model,
                    node_id=request.node_id,
                    lease=request.lease,
                )
            )
    for item in carried.values():
        known = state.requests.get(item.request_id)
        if known is None or known.lease != item.lease:
            commands.append(
                LeaseAdopted(
                    request_id=item.request_id,
                    model=item.model,
                    node_id=item.node_id,
                    lease=item.lease,
                    front_src=src,
                )
            )
    commands += [
        Send(src, Refuse(request_id, 503, "lost", 1))
        for request_id in waiting
        if request_id not in state.requests
    ]
    return commands


def _lost(request: Request) -> RequestInterrupted:
    return RequestInterrupted(
        request_id=request.request_id,
        model=request.model,
        reason="front_lost",
        node_id=request.node_id,
        lease=request.lease,
    )


def _give_up(state: State, event: ActorFailed) -> list[Command]:
    """End the request that an actor stumbled over, so that its client hears of it."""
    if not event.request_id:
        return []
    request = state.requests.get(event.request_id)
    src = event.front_src if request is None else request.src
    refusal = Send(src, Refuse(event.request_id, 500, "internal_error", 0, event.error))
    if request is None:
        return [*_taken_out(state, event), refusal]
    ended = RequestFailed(
        request_id=request.request_id,
        model=request.model,
        phase="stream" if request.lease else "queue",
        fault="herd",
        status=500,
        node_id=request.node_id,
        lease=request.lease,
        error=event.error,
    )
    cancel = Send(src, Cancel(request.request_id, request.lease, "internal_error"))
    return [ended, cancel if request.lease else refusal]


def _taken_out(state: State, event: ActorFailed) -> list[Command]:
    """Take a request that is over out of the line where a failed queue left it."""
    return [
        RequestFailed(
            request_id=event.request_id,
            model=model,
            phase="queue",
            fault="herd",
            status=500,
            error=event.error,
        )
        for model, line in state.lines.items()
        if event.request_id in line.waiting
    ]
