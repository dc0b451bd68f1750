"""Stalls: a server that takes requests and answers none, while its `/api/tags` still does.

No probe sees that, since a probe must not load a model; traffic does. A request has stalled when
its answer should long have begun (`stall_timeout_s`, and `PATIENCE` times the longest time that
was predicted for all of it), and nothing came of any other request for its model on that node since
it was sent. It goes to another node that may serve it, and counts as enough failures to open the
circuit. Where nobody else has the model it goes on waiting: that costs nobody anything.
"""

from actors.core.placement import usable
from actors.core.recovery import is_awaited
from actors.core.state import US, Request, State

PATIENCE = 4.0
"""Lengths of answers vary, and loads from a slow disk more."""


def stalled(state: State, now_us: int) -> list[Request]:
    """Return the running requests that had better be asked of another node."""
    least_us = int(state.settings.stall_timeout_s * US)
    if not least_us:
        return []
    return [
        request
        for request in state.requests.values()
        if now_us - request.progress_us >= least_us
        and request.lease
        and _overdue(request, now_us)
        and request.attempt <= state.settings.max_retries
        and not _alive(state, request)
        and not is_awaited(state, request.src)
        and any(node.node_id != request.node_id for node in usable(state, request))
    ]


def _overdue(request: Request, now_us: int) -> bool:
    """Whether its answer has not begun, though all of it should long be there."""
    if request.tokens or request.turn.began or not request.predicted_most_s:
        return False
    return now_us - request.progress_us >= int(PATIENCE * request.predicted_most_s * US)


def _alive(state: State, request: Request) -> bool:
    """Whether anything came of the model's requests on its node since it was sent there."""
    node = state.nodes.get(request.node_id)
    speed = None if node is None else node.speeds.get(request.model)
    if speed is not None and speed.served_us > request.dispatched_us:
        return True
    return any(
        other.node_id == request.node_id
        and other.model == request.model
        and (other.tokens or other.turn.began)
        and other.progress_us > request.dispatched_us
        for other in state.requests.values()
    )
