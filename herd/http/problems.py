"""What clients are told when something goes wrong: who was at fault, and what to do.

Rules
1. The body has the shape of the API family that was asked, and its words where Ollama has words.
2. A text may name a model, a node and what the node said: its reader sent them. Facts and log
   lines get the short name of the problem only (`short_error`): a node's error may echo a prompt.
"""

import re
from typing import Final, Literal, TypeAlias

import msgspec

from herd.dialects import refused
from herd.errors import HerdError
from herd.http.wire import Header

Family: TypeAlias = Literal["ollama", "openai", "anthropic"]

NO_NODE: Final = "no node online: run `herd node` on a machine with Ollama, or `--node URL`"
TEXT_BYTES: Final = 500

JSON_UTF8: Final[Header] = (b"Content-Type", b"application/json; charset=utf-8")
JSON: Final[Header] = (b"Content-Type", b"application/json")
TEXT: Final[Header] = (b"Content-Type", b"text/plain")
TEXT_UTF8: Final[Header] = (b"Content-Type", b"text/plain; charset=utf-8")

_OPENAI_TYPES: Final[dict[int, str]] = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "permission_error",
    404: "not_found_error",
    429: "api_error",
}
"""As Ollama has them on `/v1` routes, where it has them."""
_OPENAI_CODES: Final[dict[int, str]] = {401: "invalid_api_key"}
_OPENAI_LIMITS: Final[dict[str, str]] = {"key_rate": "requests", "key_tokens": "tokens"}
"""What an API key has used up, as OpenAI's type of error has it."""
_ANTHROPIC_TYPES: Final[dict[int, str]] = {
    **_OPENAI_TYPES,
    401: "authentication_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_CLIENTS_FAULT: Final = range(400, 500)
_NODE_FAILED: Final = 502


class BadRequestError(HerdError):
    """A request that says nothing we could act on: in Ollama's own words, where it has some."""

    def __init__(self, what: str, *, status: int = 400) -> None:
        """Keep the status that the client gets."""
        super().__init__(what)
        self.status = status


AGAIN: Final = (b"Retry-After", b"1")
"""With a 503 that is over in a moment."""
_STUCK: Final = "no progress for too long: herd ended this request"
REFUSALS: Final[dict[str, str]] = {
    "unknown_model": "model '{model}' not found",
    "only_v1": "model '{model}' is on servers without Ollama's own routes: use "
    "/v1/chat/completions, /v1/completions or /v1/embeddings",
    "queue_full": "too many requests wait for model '{model}': see /fleet/status, and try again "
    "later",
    "too_late": "the wait for model '{model}' is expected to be longer than the deadline of this "
    "request: see Retry-After",
    "hold_timeout": "model '{model}' is on no node that is online now: start the node that has it, "
    "or pull it on another",
    "queue_timeout": "no slot for model '{model}' became free in time: see /fleet/status, and try "
    "again later",
    "deadline": "no slot for model '{model}' became free within the deadline of this request",
    "still_pulling": "model '{model}' is still being pulled: try again later; `herd log --model "
    "{model}` shows how far it is",
    "pull_failed": "model '{model}' not found: no node has it, and none could pull it; see `herd "
    "log --kind pull_ended`",
    "paused": "model '{model}' is only on nodes that their owners keep to themselves now: try "
    "again later, or pull it on another",
    "node_failed": "node failed: {detail}",
    "internal_error": "herd made a mistake with this request; the log has it",
    "control_away": "the control process of herd does not answer; it should be back in a moment",
    "key_unknown": "this API key is not known here (any more)",
    "key_model": "this API key is not for model '{model}'",
    "key_rate": "this API key has asked as often as it may in a minute: see Retry-After",
    "key_tokens": "this API key has used its tokens of this day (UTC): see Retry-After",
    "lost": "herd lost this request while a part of it started again: send it again",
    "stale": _STUCK,
    "reaped": _STUCK,
}
"""Why control, or the front in its place, refuses or ends a request: what the client is told."""

CANCELS: Final[dict[str, int]] = {"stale": 504, "reaped": 504, "herd_is_stopping": 503}
"""The status for a request that control ends before its answer began; 500 for other reasons."""


def refusal(reason: str, *, model: str, detail: str, online: bool) -> str:
    """Say why a request gets no node."""
    if reason == "hold_timeout" and not online:
        return NO_NODE
    text = REFUSALS.get(reason, "this request was ended: {detail}")
    said = text.format(model=model, detail=detail or reason.replace("_", " "))
    return f"{said}; {NO_NODE}" if reason == "unknown_model" and not online else said


def family_of(target: bytes) -> Family:
    """Return the API family of a request's target, for errors before any route was found."""
    target = _path(target)
    if target.startswith(b"/v1/messages"):
        return "anthropic"
    return "openai" if target.startswith(b"/v1/") else "ollama"


def _path(target: bytes) -> bytes:
    """Return it as a path: one that was sent as to a proxy names a server before it."""
    if target.startswith(b"/"):
        return target
    return b"/" + target.partition(b"://")[2].partition(b"/")[2]


def id_header(target: bytes) -> bytes:
    """Return the header in which clients of a `/v1` route look for the id of a request."""
    return b"request-id" if family_of(target) == "anthropic" else b"x-request-id"


def body(family: Family, status: int, text: str, request_id: str = "", reason: str = "") -> bytes:
    """Return an error's body in the shape of its family, which may have room for the id."""
    return msgspec.json.encode(_told(family, status, text, request_id, reason))


def last_event(target: bytes, text: str, request_id: str = "") -> tuple[str, dict[str, object]]:
    """Return what ends a stream that breaks off: the event's name, if it has one, and its data."""
    family = family_of(target)
    told = _told(family, _NODE_FAILED, text, request_id, "")
    if family == "anthropic":
        return "error", told
    if not _path(target).startswith(b"/v1/responses"):
        return "", told
    # flat in OpenAI's documents, beside it as its packages read it
    flat = {"type": "error", "code": "server_error", "message": text, "param": None}
    return "error", flat | {"sequence_number": 0} | told


def _told(
    family: Family, status: int, text: str, request_id: str, reason: str
) -> dict[str, object]:
    if family == "ollama":
        return {"error": text}
    other = "invalid_request_error" if status in _CLIENTS_FAULT else "api_error"
    if family == "anthropic":
        named = {"type": _ANTHROPIC_TYPES.get(status, other), "message": text}
        told: dict[str, object] = {"type": "error", "error": named}
        return told | ({"request_id": request_id} if request_id else {})
    kind, code = _OPENAI_TYPES.get(status, other), _OPENAI_CODES.get(status)
    if reason in _OPENAI_LIMITS:
        kind, code = _OPENAI_LIMITS[reason], "rate_limit_exceeded"
    return {"error": {"message": text, "type": kind, "param": None, "code": code}}


def content_type(family: Family) -> Header:
    """Return the type that the family's errors have."""
    return JSON_UTF8 if family == "ollama" else JSON


# What a node said

_KNOWN: Final = (
    (re.compile(rb"server busy", re.IGNORECASE), "server busy"),
    (re.compile(rb"loading model", re.IGNORECASE), "loading model"),
    (re.compile(rb"requires more system memory", re.IGNORECASE), "not enough memory"),
    (re.compile(rb"out of memory|cudamalloc failed", re.IGNORECASE), "out of memory"),
    (
        re.compile(rb"llama runner|model runner|runner process", re.IGNORECASE),
        "model runner failed",
    ),
    (re.compile(rb"timed? ?out", re.IGNORECASE), "timed out"),
)


def short_error(status: int, said: bytes) -> str:
    """Name a node's error by its status and a known kind; never quote it."""
    for pattern, name in _KNOWN:
        if pattern.search(said):
            return f"answered {status}: {name}"
    return f"answered {status}"


def whole_error(status: int, said: bytes) -> str:
    """Return what a node said, for the eyes of the client who made it say so."""
    text = refused.words(said)
    return f"answered {status}: {text[:TEXT_BYTES]}" if text else f"answered {status}"
