"""Which nodes a fold touches: what was kept of those is made anew (`kept`).

Events that are not named here touch all of them, so a new kind is safe before anybody thinks of it.
"""

from typing import NamedTuple

from actors.core.state import State
from events import (
    AttemptFailed,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    Event,
    HeartbeatReceived,
    LeaseAdopted,
    LeaseVoided,
    LoadFinished,
    LoadPlanned,
    ModelSubstituted,
    NodeId,
    NodeProbed,
    ReapPlanned,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestId,
    RequestInterrupted,
    RequestQueued,
    RequestReaped,
    RequestReceived,
    RequestRejected,
    RequestStalled,
    RoomPromised,
    SlotsChanged,
    StreamsProgressed,
    StreamStarted,
    TimerFired,
)

NONE: frozenset[type[Event]] = frozenset(
    (
        ModelSubstituted,
        ReapPlanned,
        RequestQueued,
        RequestReceived,
        RequestRejected,
        RoomPromised,
        StreamStarted,
        StreamsProgressed,
        TimerFired,
    )
)
"""These change no node in anything that is kept: of slots the counts are, not the evidence."""

OF_A_REQUEST: frozenset[type[Event]] = frozenset(
    (
        AttemptFailed,
        LeaseAdopted,
        LeaseVoided,
        RequestCancelled,
        RequestCompleted,
        RequestDispatched,
        RequestFailed,
        RequestInterrupted,
        RequestReaped,
        RequestStalled,
    )
)
"""These change the node that they name, and the one that has the request."""

OF_A_NODE: frozenset[type[Event]] = frozenset(
    (
        CircuitClosed,
        CircuitHalfOpened,
        CircuitOpened,
        HeartbeatReceived,
        LoadFinished,
        LoadPlanned,
        NodeProbed,
        SlotsChanged,
    )
)
"""These change the node that they name."""

OF_MEMORY: frozenset[type[Event]] = frozenset(
    (HeartbeatReceived, LoadFinished, LoadPlanned, NodeProbed)
)
"""Of these, those that may change what its models take."""

NOBODY = NodeId("")


class Touched(NamedTuple):
    """The nodes that a fold changes, and the model of which it may learn what is asked."""

    named: NodeId = NOBODY
    other: NodeId = NOBODY
    model: str = ""


def touched(state: State, event: Event) -> Touched | None:
    """Return what a fold will change; None for everything."""
    kind = type(event)
    if kind in NONE:
        return Touched()
    if kind in OF_A_NODE or kind in OF_A_REQUEST:
        named: NodeId = getattr(event, "node_id", NOBODY)
        if kind in OF_A_NODE:
            return Touched(named)
        request_id: RequestId = getattr(event, "request_id")  # noqa: B009 (all of them have it)
        request = state.requests.get(request_id)
        if request is None:
            return Touched(named)
        return Touched(named, request.node_id, request.model if kind is RequestCompleted else "")
    return None


def touch(state: State, event: Event, what: Touched | None) -> None:
    """Forget what followed from what was folded."""
    kept = state.kept
    kept.folds += 1
    if what is None:
        kept.clear()
        return
    one, other, model = what
    if model:
        kept.learn(model)
    memory = type(event) in OF_MEMORY
    if one:
        kept.touch(one, memory=memory)
    if other and other != one:
        kept.touch(other, memory=memory)
