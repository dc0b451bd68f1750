"""What the owner of this machine lends of it: his wishes, and whether he uses it himself now.

He uses it while other programs than the servers of models take `busy_pct` of the processor, or a
key or the mouse was touched within `away_s`; and he still does for as long after that. In hours at
which he was usually away (`past`) it takes as little as a fifth of that time.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from events import Limits
from herd.agent.hours import Hours
from herd.agent.past import Past

IN_USE = "its owner is using it"
SMOOTH_S = 15.0
"""Over which the use of the processor is taken: less is a program that starts."""
SOONEST = 0.2
"""The part of `away_s` that is enough in hours at which the owner was always away."""
PAST = 0.4
"""The weight of the past in what is available now, once it is believed."""
STEP = 0.25
"""In which that share is told; a change of less than three quarters of it is none. Each is news
for the whole fleet, and goes into its log."""

Lend: TypeAlias = Callable[[], Limits]
"""Says what is lent now; may take a while, so it is asked in a thread."""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner has said once."""

    hours: Hours | None = None
    max_requests: int = 0
    max_bytes: int = 0
    spare: bool = False
    """Whether the machine takes no work while he uses it."""
    busy_pct: float = 50.0
    away_s: float = 300.0


class Use(msgspec.Struct, frozen=True):
    """How a machine is used now, other than by the servers of models."""

    others_pct: float = 0.0
    """Of the whole processor."""
    idle_s: float | None = None
    """Since a key or the mouse was touched; None where nobody can tell."""


class Owner:
    """One owner, and what he lends."""

    def __init__(self, wishes: Wishes, past: Past | None = None) -> None:
        """Begin as if nobody had used the machine."""
        self._wishes = wishes
        self._past = past or Past()
        self._smooth_pct = 0.0
        self._used_s = -math.inf
        self._seen_s: float | None = None
        self._told = 1.0

    def lends(self, use: Use, now_s: float, minute: int) -> Limits:
        """Return what he lends, by how the machine is used; `now_s` never goes back."""
        wishes = self._wishes
        paused = ""
        if wishes.spare and self._uses(use, now_s, minute // 60):
            paused = IN_USE
        if wishes.hours is not None and not wishes.hours.serve(minute):
            paused = f"it serves {wishes.hours.text} only"
        return Limits(
            paused=paused,
            max_requests=wishes.max_requests,
            max_bytes=wishes.max_bytes,
            available_share=self._available(minute // 60) if wishes.spare else 1.0,
        )

    def _uses(self, use: Use, now_s: float, hour: int) -> bool:
        lasted_s = 0.0 if self._seen_s is None else now_s - self._seen_s
        self._seen_s = now_s
        new = 1.0 - math.exp(-lasted_s / SMOOTH_S)
        self._smooth_pct += new * (use.others_pct - self._smooth_pct)
        if self._smooth_pct >= self._wishes.busy_pct:
            self._used_s = now_s
        elif use.idle_s is not None:
            self._used_s = max(self._used_s, now_s - use.idle_s)
        away = self._past.sure(hour) * (1.0 - self._past.usual(hour))
        enough_s = self._wishes.away_s * (1.0 - (1.0 - SOONEST) * away)
        used = now_s - self._used_s < enough_s
        self._past.add(hour, lasted_s, used=used)
        return used

    def _available(self, hour: int) -> float:
        """Return what he leaves now, and usually at this hour; in steps that hold for a while."""
        weight = PAST * self._past.sure(hour)
        found = (1.0 - self._smooth_pct / 100.0) * (1.0 - weight)
        found += (1.0 - self._past.usual(hour)) * weight
        if abs(found - self._told) > 0.75 * STEP:
            self._told = round(found / STEP) * STEP
        return self._told
