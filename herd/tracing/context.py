"""`traceparent`, as W3C Trace Context (level 1) has it: which trace a request belongs to."""

import re
from typing import Final, NamedTuple

_FORM: Final = re.compile("00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED: Final = 1


class Context(NamedTuple):
    """The client's span, under which what follows is to be."""

    trace_id: int
    span_id: int
    sampled: bool
    """Whether the client wants it to be kept."""


def context_of(traceparent: str) -> Context | None:
    """Return what a header says, None if it is not of that form."""
    told = _FORM.fullmatch(traceparent)
    if told is None:
        return None
    return Context(int(told[1], 16), int(told[2], 16), bool(int(told[3], 16) & _SAMPLED))
