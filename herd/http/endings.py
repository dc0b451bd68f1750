"""What a front tells of requests that it ends itself, and of a grant that nobody waits for."""

from typing import Final

from actors.core.reaping import STALE
from events import (
    Event,
    Lease,
    NodeId,
    RequestCancelled,
    RequestId,
    RequestInterrupted,
    RequestReaped,
)
from herd.link.messages import Cancel, Grant, Refuse

STOPPING: Final = "herd_is_stopping"
"""Why a front refuses and cancels what is left when it ends."""


def ended(cancel: Cancel, model: str, node_id: NodeId) -> Event | None:
    """Return what to tell of a running request that is cancelled; None if control knows."""
    if cancel.reason == STALE:
        return RequestReaped(
            request_id=cancel.request_id,
            model=model,
            node_id=node_id,
            lease=cancel.lease,
            idle_s=cancel.idle_s,
        )
    if cancel.reason == STOPPING:
        return _stopped(cancel.request_id, model, node_id, cancel.lease)
    return None


def refused(refuse: Refuse, model: str) -> Event | None:
    """Return what to tell of a request that gets no node; None if control knows."""
    if refuse.reason == STOPPING:
        return _stopped(refuse.request_id, model, NodeId(""), Lease(""))
    return None


def nobody(grant: Grant) -> RequestCancelled:
    """Return what gives back the slot of a request that is gone."""
    return RequestCancelled(
        request_id=grant.request_id,
        model="",
        phase="queue",
        node_id=grant.node_id,
        lease=grant.lease,
    )


def _stopped(
    request_id: RequestId, model: str, node_id: NodeId, lease: Lease
) -> RequestInterrupted:
    return RequestInterrupted(
        request_id=request_id, model=model, reason="herd_stopped", node_id=node_id, lease=lease
    )
