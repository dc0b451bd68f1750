"""What the headers of a request tell herd itself."""

import math
from collections.abc import Iterable
from typing import Final

import msgspec

from events import Priority
from herd.http.exchange import Request
from herd.http.problems import BadRequestError
from herd.tracing.context import context_of

_PRIORITIES: Final[dict[bytes, Priority]] = {
    b"interactive": "interactive",
    b"normal": "normal",
    b"batch": "batch",
}
_LOWER: Final[tuple[Priority, ...]] = ("interactive", "normal", "batch")
LONGEST_WAIT_S: Final = 7 * 24 * 3600.0
"""Of a deadline; a longer one is as good as none."""
_YES: Final = (b"true", b"1", b"yes", b"on")
MOST_TAGS: Final = 16
LONGEST_TAG: Final = 80
"""Characters of a tag that are kept; the log holds them."""


class Noted(msgspec.Struct, gc=False):
    """What the headers of a request tell the front."""

    agent: bytes = b""
    coding: bytes = b""
    """How the body is compressed; empty if it is not."""
    deadline_s: float = 0.0
    priority: Priority | None = None
    tags: tuple[str, ...] = ()
    no_fallback: bool = False
    trace: str = ""


def noted_of(request: Request) -> Noted:
    """Return what a request's headers tell; raises for what cannot be obeyed."""
    noted = Noted()
    for name, value in request.noted:
        lowered = name.lower()
        if lowered == b"user-agent":
            noted.agent = value
        elif lowered == b"x-herd-deadline-s":
            noted.deadline_s = _deadline_s(value)
        elif lowered == b"x-herd-priority":
            noted.priority = _priority(value)
        elif lowered == b"x-herd-tags":
            noted.tags = cleaned(value.decode("utf-8", "replace").split(","))
        elif lowered == b"traceparent":
            noted.trace = _trace(value.decode("latin-1"))
        elif lowered == b"x-fleet-no-fallback":
            noted.no_fallback = value.strip().lower() in _YES
        elif lowered == b"content-encoding" and value.lower() != b"identity":
            noted.coding = value
    return noted


def _deadline_s(text: bytes) -> float:
    try:
        deadline_s = float(text)
    except ValueError:
        deadline_s = 0.0
    if not (math.isfinite(deadline_s) and deadline_s > 0):
        raise BadRequestError("X-Herd-Deadline-S must be a number of seconds above 0")
    return min(deadline_s, LONGEST_WAIT_S)


def _priority(text: bytes) -> Priority:
    priority = _PRIORITIES.get(text.strip().lower())
    if priority is None:
        raise BadRequestError("X-Herd-Priority must be interactive, normal or batch")
    return priority


def _trace(traceparent: str) -> str:
    """Return a header that is of the form that it should have; any other is not recorded."""
    return "" if context_of(traceparent) is None else traceparent


def granted_priority(asked: Priority | None, most: Priority | None) -> Priority:
    """Return the priority of a request: as asked, but at most that of its key."""
    if asked is None or most is None:
        return asked or most or "normal"
    return asked if _LOWER.index(asked) >= _LOWER.index(most) else most


def cleaned(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags as they are recorded: without blanks around them, each once, not too many."""
    named = dict.fromkeys(tag.strip()[:LONGEST_TAG] for tag in tags)
    named.pop("", None)
    return tuple(named)[:MOST_TAGS]
