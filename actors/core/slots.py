"""Learns how many requests of one model a node may hold at once, from recorded evidence only.

The limit starts at 2. While requests wait and all slots are used it grows as TCP's slow start does:
x2, from 16 on x4 until the first failure; a failed trial steps back and is repeated after 60 s.
A trial is judged by the earliest of two kinds of evidence:

* *Overlap* (streams; answers of unequal length). A node that serves P at once starts requests in
  order, so one sent as the n-th in flight gets its first byte only when at most P - 1 of those
  before it are still there. If k requests ended meanwhile, P >= n - k, whatever the lengths. It
  must stand for some milliseconds, because an end may be reported after the start it allowed.
  Overlap of 90 % of the limit proves the limit.
* *Pace* (seconds in the node per token, of requests sent when the node was nearly full). By
  Little's law throughput is n / pace, so no window is needed. At an unchanged pace all n are
  served at once; a queue or a saturated GPU shows as a pace that rose by `slowdown`, and
  n / slowdown is what the node really does at once (the gradient of Netflix's concurrency limits,
  TCP Vegas before it): the limit steps back to that. Where lengths differ widely, small limits
  need overlap beyond the last good level as well: a few pairs of long and short prove nothing.

Overlap may run ahead of pace by a factor 8, then waits 1.5 s for it. The pace at one request
in flight is the measure for 2; where it is unknown, a few requests are sent alone (a trial of 1).
So a node that serves one at a time never holds more than 2, and one that serves P never holds
more than 2 P. What was sent before a cold load ended says nothing.
"""

from typing import Literal, TypeAlias

import msgspec

START = 2
CEILING = 1024
RETRY_US = 60_000_000
"""A failed trial is repeated after this long."""
LEAP = 8
"""Overlap alone may raise the limit this many times above the last measured pace..."""
LEAP_US = 1_500_000
"""...in this time."""
STAND_US, FIRST_US = 30_000, 100_000
"""How long an overlap must stand; the first one, which lets a node out of 2, longer."""
CLEAN, CLEAN_FIRST = 1.33, 1.2
"""A pace risen by less is noise; the second for a trial of 2, judged on very few requests."""
SATURATED = 1.8
"""A pace risen by more: twice the requests gave less than 10 % more throughput."""
MANY = 64
"""From here on a pace is the mean of so many that it needs no overlap beside it."""
UNEQUAL = 2.2
"""Longest to shortest service above which lengths count as differing widely."""
ALONE = 4
"""Requests sent alone in a trial of 1."""

Reason: TypeAlias = Literal["trial", "held", "stepped_back"]


class Turn(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """When a request was sent, in counts; kept with its lease and handed back with evidence."""

    n: int
    """In flight then, itself included."""
    freed: int
    """Ended before."""


class Pace(msgspec.Struct, gc=False):
    """What requests sent at one level took, in sums that fade."""

    reports: int = 0
    """Of progress or of an end."""
    age_s: float = 0.0
    tokens: int = 0
    ended: int = 0
    service_s: float = 0.0
    shortest_s: float = 0.0
    longest_s: float = 0.0

    def add(self, age_s: float, tokens: int) -> None:
        """Add the age of a request and its tokens so far."""
        if self.reports >= 2 * CEILING:
            self.reports, self.tokens, self.ended = (
                self.reports // 2,
                self.tokens // 2,
                self.ended // 2,
            )
            self.age_s, self.service_s = self.age_s / 2, self.service_s / 2
        self.reports += 1
        self.age_s += age_s
        self.tokens += max(1, tokens)

    def end(self, service_s: float, tokens: int) -> None:
        """Add a request that ended."""
        self.add(service_s, tokens)
        self.shortest_s = min(self.shortest_s, service_s) if self.ended else service_s
        self.longest_s = max(self.longest_s, service_s)
        self.ended += 1
        self.service_s += service_s

    def join(self, other: "Pace") -> None:
        """Add another's sums."""
        if other.ended:
            self.shortest_s = (
                min(self.shortest_s, other.shortest_s) if self.ended else other.shortest_s
            )
        self.longest_s = max(self.longest_s, other.longest_s)
        self.reports += other.reports
        self.age_s += other.age_s
        self.tokens += other.tokens
        self.ended += other.ended
        self.service_s += other.service_s

    def pace(self) -> float:
        """Return seconds per token."""
        return self.age_s / self.tokens

    def mean_s(self) -> float:
        """Return the mean service of the requests that ended."""
        return self.service_s / self.ended


class Slots(msgspec.Struct):
    """How many requests of one model a node may hold, and what is known about it."""

    limit: int = START
    in_flight: int = 0
    told: bool = False
    """Fixed by a flag or an agent: never learned."""
    freed: int = 0
    """Requests that ended, in any way."""
    trial: bool = True
    """The limit is not proven."""
    mark: int = 0
    """Requests sent before this level began."""
    failed: bool = False
    """A trial failed once: no more leaps."""
    retry_us: int = 0
    clean_us: int = 0
    """The last cold load ended; what was sent before is no evidence."""
    overlap: int = 0
    """Proven at this level to be served at once."""
    claim: int = 0
    """An overlap that still has to stand until `claim_us`."""
    claim_us: int = 0
    gate: int = START * LEAP
    """Overlap alone raises the limit no further..."""
    gate_us: int = 0
    """...before this instant."""
    held: int = 1
    """The last level that was good."""
    base_limit: int = 1
    base: Pace = msgspec.field(default_factory=Pace)
    """The last measured good level and its pace."""
    here: Pace = msgspec.field(default_factory=Pace)
    """The pace at this level."""


def dispatched(s: Slots, now_us: int) -> Turn:
    """Take a slot; keep the answer with the lease."""
    s.in_flight += 1
    if not s.gate_us:
        s.gate_us = now_us + LEAP_US
    return Turn(n=s.in_flight, freed=s.freed)


def first_byte(s: Slots, now_us: int, turn: Turn, ttft_s: float) -> None:
    """Note that an answer began: how many were there meanwhile says more than how long it took."""
    del ttft_s
    _claim(s, now_us, turn.n + turn.freed - s.freed, FIRST_US if s.limit <= START else STAND_US)


def progressed(s: Slots, now_us: int, turn: Turn, age_s: float, tokens: int) -> None:
    """Note how many tokens a live stream has had since it was sent."""
    if age_s > 0 and tokens > 0 and _tells(s, now_us, turn, age_s):
        s.here.add(age_s, tokens)


def completed(  # noqa: PLR0913 - the fields of one fact, spread out
    s: Slots, now_us: int, turn: Turn, service_s: float, tokens: int, *, cold: bool = False
) -> None:
    """Note that a whole answer was served, and free its slot."""
    released(s, now_us)
    if cold:
        s.clean_us = now_us
    elif service_s > 0 and _sent_us(now_us, service_s) >= s.clean_us:
        _claim(s, now_us, turn.n + turn.freed - s.freed + 1, STAND_US)
        if _tells(s, now_us, turn, service_s):
            s.here.end(service_s, tokens)
        elif turn.n <= s.held and (s.held == 1 or s.base.reports < ALONE):
            s.base.end(service_s, tokens)


def released(s: Slots, now_us: int) -> None:
    """Free a slot: the request ended, in whatever way."""
    _settle(s, now_us)
    if s.in_flight:
        s.in_flight -= 1
        s.freed += 1
        s.claim = max(0, s.claim - 1)


def proposal(s: Slots, now_us: int, *, waiting: bool) -> tuple[int, Reason] | None:
    """Return the change to record now, if any."""
    full = waiting and s.in_flight >= s.limit
    if s.told:
        return None
    if not s.trial:
        again = full and now_us >= s.retry_us and s.limit < CEILING
        return (START if s.limit <= START else _raised(s), "trial") if again else None
    if s.limit < START:
        return (START, "trial") if s.base.reports >= ALONE else None
    slow = _slowdown(s)
    paced, overlapping = _paced(s, slow), _overlapping(s, now_us)
    if _enough(s) and (slow >= SATURATED or not (paced or overlapping)):
        return _back(s, slow)
    if s.limit >= CEILING:
        return (CEILING, "held") if _enough(s) else None
    open_ = s.limit < s.gate or now_us >= s.gate_us or s.here.reports >= _few(s)
    return (_raised(s), "trial") if full and (paced or (overlapping and open_)) else None


def changed(s: Slots, now_us: int, slots: int, reason: Literal[Reason, "told"]) -> None:
    """Fold a `SlotsChanged`."""
    slots = max(1, min(CEILING, slots))
    up = reason == "trial" and slots > s.limit
    if up:
        s.held = s.limit
        measured = s.here.reports >= _few(s)
        if measured:
            s.base, s.base_limit = s.here, s.limit
        elif s.limit == START:
            s.base.join(s.here)
        if measured or now_us >= s.gate_us:
            s.gate, s.gate_us = s.limit * LEAP, now_us + LEAP_US
    elif slots <= START:
        s.base, s.base_limit, s.held = Pace(), 1, 1
    if reason != "trial":
        s.retry_us = now_us + RETRY_US
        s.failed = True
    s.told = reason == "told"
    s.trial = reason == "trial"
    s.limit = slots
    s.mark = s.in_flight + s.freed
    s.here = Pace()
    s.overlap = s.claim = 0


def probing(s: Slots) -> bool:
    """Whether requests sent now should report their first byte at once."""
    return s.trial and not s.told


def _sent_us(now_us: int, age_s: float) -> int:
    return now_us - int(age_s * 1_000_000)


def _tells(s: Slots, now_us: int, turn: Turn, age_s: float) -> bool:
    """Whether a request was sent at this level, when the node was nearly full, and not cold."""
    return (
        s.limit >= START
        and 4 * turn.n >= 3 * s.limit
        and turn.n + turn.freed > s.mark
        and _sent_us(now_us, age_s) >= s.clean_us
    )


def _claim(s: Slots, now_us: int, overlap: int, stand_us: int) -> None:
    _settle(s, now_us)
    if overlap > max(s.claim, s.overlap):
        s.claim, s.claim_us = overlap, now_us + stand_us


def _settle(s: Slots, now_us: int) -> None:
    if now_us >= s.claim_us:
        s.overlap, s.claim = max(s.overlap, s.claim), 0


def _few(s: Slots) -> int:
    """Return how many reports show a pace where services are alike."""
    return ALONE if s.limit <= START or not s.here.ended else max(8, s.limit // 8)


def _enough(s: Slots) -> bool:
    """Whether a trial may be called failed."""
    return s.here.reports >= (2 * _few(s) if _alike(s) else max(32, s.limit // 2))


def _alike(s: Slots) -> bool:
    return max(s.base.longest_s, s.here.longest_s) <= UNEQUAL * min(
        s.base.shortest_s, s.here.shortest_s
    )


def _slowdown(s: Slots) -> float:
    """Return how many times longer a token takes here than at the base; 0 if unknown.

    Early ends are of short requests, whose pace suffers most from a long prompt; the mean of both
    ratios is fair to them.
    """
    if not s.base.reports or s.here.reports < _few(s):
        return 0.0
    pace = s.here.pace() / s.base.pace()
    if 2 * s.here.ended < s.here.reports or not s.base.ended:
        return pace
    return (pace + s.here.mean_s() / s.base.mean_s()) / 2


def _paced(s: Slots, slow: float) -> bool:
    """Whether the pace at this level proves it."""
    if not 0 < slow <= (CLEAN if s.limit > START else CLEAN_FIRST):
        return False
    return _alike(s) or (_enough(s) and (s.overlap > s.held or s.limit >= MANY))


def _overlapping(s: Slots, now_us: int) -> bool:
    overlap = max(s.overlap, s.claim) if now_us >= s.claim_us else s.overlap
    return 10 * overlap >= 9 * s.limit


def _raised(s: Slots) -> int:
    return min(CEILING, s.limit * (4 if s.limit >= 2 * LEAP and not s.failed else 2))


def _back(s: Slots, slow: float) -> tuple[int, Reason]:
    """Return the level that a failed trial leaves."""
    if s.limit <= START:
        return (1, "trial") if s.base.reports < ALONE and _alike(s) else (START, "held")
    served = int(0.9 * s.limit / slow) if slow else 0
    good = s.base_limit if slow >= SATURATED else max(s.held, s.overlap)
    return max(START, served, good), "stepped_back"
