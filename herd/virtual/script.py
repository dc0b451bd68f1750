"""What goes into a virtual world, and what comes out of it."""

from typing import TypeAlias

import msgspec

from events import Event, RequestId, RequestReceived

NEVER = float("inf")


class Arrival(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request that comes, and what an answer to it takes."""

    at_us: int
    request: RequestReceived
    prompt_tokens: int
    output_tokens: int
    patience_s: float = NEVER
    """From its arrival until the client leaves."""


class Happening(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A fact about the fleet: a node joins, is drained, a setting changes."""

    at_us: int
    fact: Event


Line: TypeAlias = Arrival | Happening
"""One line of a script, which is in order of time."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of one request, in seconds from its arrival."""

    request_id: RequestId
    model: str
    node_id: str
    """The last it was on; empty if it was on none."""
    at_us: int
    """When it came."""
    how: str
    """completed, failed, cancelled or rejected."""
    wait_s: float
    """Until its last dispatch; until its end if there was none."""
    ttft_s: float
    """Until the first byte of the answer; 0 if there was none."""
    total_s: float
    cold: bool
    """It had to wait for a load that began with it."""
