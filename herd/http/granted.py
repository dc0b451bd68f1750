"""What a grant makes of a request: the body that goes to the node, the headers of the answer."""

import logging
from typing import Final

from events import RequestId
from herd.dialects.asking import Node
from herd.http import multipart, wire
from herd.http.asked import Asked
from herd.http.rewriting import staying, with_context, with_model
from herd.link.messages import Grant

_FLEET_LINES: Final = (
    b"X-Fleet-Node: %b\r\n"
    b"X-Fleet-Requested-Model: %b\r\n"
    b"X-Fleet-Served-Model: %b\r\n"
    b"X-Fleet-Fallback: %b\r\n"
    b"X-Fleet-Retries: %d\r\n"
    b"X-Fleet-Score: %.4g\r\n"
    b"X-Herd-Request-Id: %b\r\n"
)
_REASON_LINE: Final = b"X-Fleet-Fallback-Reason: %b\r\n"
_CONTEXT_LINE: Final = b"X-Fleet-Context: %b; asked=%d; loaded=%d\r\n"
_PREDICTED_LINES: Final = (
    b"X-Herd-Predicted-Wait-S: %.3f\r\n"
    b"X-Herd-Predicted-First-Token-S: %.3f\r\n"
    b"X-Herd-Predicted-Finish-S: %.3f\r\n"
    b"X-Herd-Predicted-Finish-Range-S: %.3f-%.3f\r\n"
)
"""Of the wait as it was admitted; of the answer in seconds from its dispatch."""

_log = logging.getLogger("herd.http.granted")


def named(grant: Grant, asked: Asked) -> str:
    """Return the model that a node is asked for: in the client's spelling, if it is that one."""
    return grant.model if grant.reason else asked.model


def body_for(grant: Grant, body: bytes, asked: Asked, node: Node, *, native: bool) -> bytes:
    """Return the body that goes to the node.

    Only on Ollama's own routes (`native`) does a body say how long its model stays in memory.
    """
    model = node.called(named(grant, asked))
    if model != asked.model:
        form = asked.form
        body = multipart.with_model(body, form, model) if form else with_model(body, model)
    action, pinned, loaded = grant.context
    if action and asked.num_ctx:
        _tell(grant, asked.num_ctx, loaded)
    if pinned:
        body = with_context(body, pinned)
    return staying(body) if grant.stays and native else body


def lines_before(asked: str, request_id: RequestId) -> bytes:
    """Return the headers of an answer that no node gave."""
    return _FLEET_LINES % (
        b"",
        wire.VALUES[asked],
        b"",
        b"false",
        0,
        0.0,
        request_id.encode("ascii"),
    )


def lines_of(grant: Grant, asked: str, num_ctx: int, served: str, tries: int) -> bytes:
    """Return what herd says of an answer: headers, in whole lines."""
    other = grant.reason not in {"", "alias"}
    lines = _FLEET_LINES % (
        wire.VALUES[grant.node_id],
        wire.VALUES[asked],
        wire.VALUES[served],
        b"true" if other else b"false",
        max(0, tries - 1),
        grant.score,
        grant.request_id.encode("ascii"),
    )
    if other:
        lines += _REASON_LINE % wire.VALUES[grant.reason]
    action, _, loaded = grant.context
    if action:
        lines += _CONTEXT_LINE % (wire.VALUES[action], num_ctx, loaded)
    if not grant.predicted_s:
        return lines
    return lines + _PREDICTED_LINES % (
        grant.predicted_wait_s,
        grant.predicted_first_s,
        grant.predicted_s,
        *grant.predicted_range_s,
    )


def _tell(grant: Grant, num_ctx: int, loaded: int) -> None:
    """Say it in the log, in the words for which people search there."""
    named = (grant.request_id, num_ctx, grant.node_id, loaded)
    if grant.context[0] == "pinned":
        text = "Context protection: request %s asks for num_ctx %d; pinned, as %s has %d loaded"
        _log.info(text, *named)
    else:
        text = (
            "Context protection: request %s asks for num_ctx %d; forwarded, though %s has %d loaded"
        )
        _log.warning(text, *named)
