"""Refusals: how a request ends that gets no node, and when it is worth asking again."""

from actors.core.commands import Command, Refuse, Send
from actors.core.owning import limit_of
from actors.core.state import US, Request, State
from events import (
    NodeId,
    Phase,
    Rejection,
    RequestFailed,
    RequestRejected,
)

BUSY = 503
"""A node's word that it has no room; passed on, since another try may find some."""

BAD_GATEWAY = 502
"""What any other failure of the last node becomes."""

UNKNOWN = 404
"""Waiting would not help."""

IN_VAIN = (401, 403, UNKNOWN)


def retry_after_s(state: State, model: str) -> int:
    """Return when it is worth asking again, in whole seconds: the line's length over its pace."""
    slots = 0
    completed = 0
    service_s = 0.0
    for node in state.nodes.values():
        if node.online and model in node.slots:
            slots += limit_of(node, node.slots[model])
        if (tally := node.tallies.get(model)) is not None:
            completed += tally.completed
            service_s += tally.service_s
    if not slots or not completed:
        return int(state.settings.hold_timeout_s)
    line = state.lines.get(model)
    ahead = 1 if line is None else len(line.waiting) + 1
    return max(1, min(600, round(ahead * service_s / completed / slots)))


def fail(
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
    wait_s = again_s or (0 if status in IN_VAIN else retry_after_s(state, request.model))
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
