"""What the owner lends, on the wire: `capacity` of a heartbeat, with ollama-herd's keys.

Its learner tells `mode`, a ceiling in GiB and a score. What it holds back in its first week
(`bootstrap`) is not held back here; what it tells as a score, in fine steps, is taken in quarters.
`wake` is ours, too: the hardware addresses by which the machine may be woken.
"""

import msgspec

from events import Limits
from herd.agent.cards import cards
from herd.agent.owner import IN_USE
from herd.dialects.numbers import count

GIB = 1024**3
NO_LIMITS = Limits()
LONGEST = 160
"""Of a reason."""


class Capacity(msgspec.Struct, kw_only=True, gc=False):
    """What a node's owner lends; `max_requests` and `ceiling_bytes` are ours."""

    mode: str | None = "full"
    ceiling_gb: float | None = 0.0
    """0 for no limit."""
    availability_score: float | None = 1.0
    reason: str | None = ""
    max_requests: int | None = 0
    ceiling_bytes: int | None = None
    wake: list[str] | None = None


def written(limits: Limits) -> Capacity | None:
    """Return limits as they are sent; nothing if there are none."""
    if limits == NO_LIMITS:
        return None
    return Capacity(
        mode="paused" if limits.paused else "full",
        ceiling_gb=round(limits.max_bytes / GIB, 2),
        availability_score=limits.available_share,
        reason=limits.paused,
        max_requests=limits.max_requests,
        ceiling_bytes=limits.max_bytes,
        wake=list(limits.macs) or None,
    )


def read(told: Capacity | None, *, ours: bool) -> Limits:
    """Return the limits that a heartbeat tells; `ours` if it comes from herd's own agent."""
    if told is None or (told.mode == "bootstrap" and not ours):
        return NO_LIMITS
    most_bytes = told.ceiling_bytes
    score = 1.0 if told.availability_score is None else min(1.0, max(0.0, told.availability_score))
    return Limits(
        paused=_reason(told.reason or "", ours=ours) if told.mode == "paused" else "",
        max_requests=count(told.max_requests),
        max_bytes=count((told.ceiling_gb or 0.0) * GIB if most_bytes is None else most_bytes),
        available_share=round(score, 1) if ours else round(score * 4) / 4,
        macs=cards(told.wake or []) if ours else (),
    )


def _reason(text: str, *, ours: bool) -> str:
    """Return why it is paused; another agent's reason has figures in it, new in each heartbeat."""
    shown = "".join(each for each in text if each.isprintable())[:LONGEST]
    return shown if ours and shown else IN_USE
