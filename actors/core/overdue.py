"""Which requests have waited too long, and for what; which of them have no node left to go to."""

from typing import Literal

from actors.core import owning, pulling, waking
from actors.core.state import US, Node, Request, State

Overdue = Literal["hold_timeout", "queue_timeout", "deadline", "still_pulling", "paused"]


def stranded(state: State, model: str) -> list[Request]:
    """Return the requests of one line that failed once, and have no other node left to go to."""
    return [
        request
        for request_id in state.lines[model].waiting
        if (request := state.requests[request_id]).excluded
        and not others(state, request)
        and not waking.awaited(state, request)
    ]


def overdue(state: State, model: str, now_us: int) -> list[tuple[Request, Overdue]]:
    """Return the requests of one line that have waited too long, and for what."""
    line = state.lines[model]
    settings = state.settings
    pulled = pulling.awaited(state, model)
    hold_s = settings.auto_pull_timeout_s if pulled else settings.hold_timeout_s
    ended: list[tuple[Request, Overdue]] = []
    for request_id in line.waiting:
        request = state.requests[request_id]
        since_us = line.held_since_us if request.v1 else line.held_native_since_us
        waits_since_us = request.waits_since_us or request.received_us
        held_us = now_us - max(since_us, waits_since_us)
        if request.deadline_us and now_us >= request.deadline_us:
            ended.append((request, "deadline"))
        elif now_us - waits_since_us >= settings.queue_timeout_s * US:
            ended.append((request, "queue_timeout"))
        elif since_us and held_us >= hold_s * US and not waking.awaited(state, request):
            ended.append((request, "still_pulling" if pulled else _held_by(state, request)))
    return ended


def _held_by(state: State, request: Request) -> Literal["hold_timeout", "paused"]:
    """Return why no node had the model: owners may keep those that have it to themselves."""
    kept = any(
        node.health != "offline"
        and node.serves(request.model, v1=request.v1)
        and owning.keeps(node, request.model)
        for node in state.nodes.values()
    )
    return "paused" if kept else "hold_timeout"


def others(state: State, request: Request) -> list[Node]:
    """Return the nodes that may still serve a request."""
    return [
        node
        for node in state.nodes.values()
        if node.takes(request.model, v1=request.v1) and node.node_id not in request.excluded
    ]
