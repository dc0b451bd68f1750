"""Learns how many requests of one model a node may hold at once, from recorded evidence only.

The limit starts at 2. While requests wait and all slots are used it grows as TCP's slow start does:
x2, from 16 on x4 until the first failure; a failed trial steps back and is repeated after 60 s.
A trial is judged by the earliest of two kinds of evidence:

* *Overlap* (streams; answers of unequal length). As many streams as have begun are served at once.
  And a node that serves P at once starts requests in order, so one that was sent when n were there
  gets its first byte only when at most P - 1 of those are still there: if k requests ended
  meanwhile, P > n - k, whatever the lengths. What is sent at nearly the same time may arrive in
  any order, so such neighbours do not count. Overlap must stand for some milliseconds, because an
  end may be reported after the start it allowed. 90 % of the limit prove the limit.
* *Pace* (seconds in the node per token, of requests sent when the node was nearly full). By
  Little's law throughput is n / pace, so no window is needed. At an unchanged pace all n are
  served at once; a queue or a saturated GPU shows as a pace that rose by `slowdown`, and
  n / slowdown is what the node really does at once (the gradient of Netflix's concurrency limits,
  TCP Vegas before it): the limit steps back towards that, or to the last good level. Where lengths
  differ widely, small limits need overlap beyond that level too: few pairs prove nothing.

Overlap may run ahead of pace by a factor 8, then waits 2.2 s for it. The pace at one request
in flight is the measure for 2; where it is unknown, a few requests are sent alone (a trial of 1).
The aim: a node that serves one at a time never holds more than 2, one that serves P never more
than 2 P beyond chance. What was sent before a cold load ended says nothing.
"""

from typing import Literal, TypeAlias

import msgspec

START = 2
CEILING = 1024
RETRY_US = 60_000_000
"""A failed trial is repeated after this long."""
LEAP = 8
"""Overlap alone may raise the limit this many times above the last measured pace..."""
LEAP_US = 2_200_000
"""...in this time."""
ORDER_US = 10_000
"""Requests sent further apart than this reach a node in the order in which they were sent."""
STAND_US, FIRST_US = 30_000, 100_000
"""How long an overlap must stand; the first one, which lets a node out of 2, longer."""
CLEAN, CLEAN_FIRST = 1.33, 1.2
"""A pace risen by less is noise; the second for a trial of 2, judged on very few requests."""
SATURATED = 1.8
"""A pace risen by more: twice the requests gave less than 10 % more throughput."""
MANY = 64
"""From here on a pace is the mean of so many that it needs no overlap beside it."""
YOUNG_S = 0.75
"""Younger streams have spent much of their time on the prompt."""
UNEQUAL = 2.2
"""Longest to shortest service above which lengths count as differing widely."""
SURE = 16
"""Ends that say whether services are alike."""
BRIEF_S = 1.25
"""Services up to here are judged by few: a thousand slots are to be found in 5 s."""
ALONE = 3
"""Requests sent alone in a trial of 1; the first ones of all report their first byte."""

Reason: TypeAlias = Literal["trial", "held", "stepped_back"]


class Turn(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """When a request was sent, in counts; kept with its lease and handed back with evidence."""

    n: int
    """In flight then, itself included."""
    freed: int
    """Ended before."""
    last: int = 0
    """In flight and ended when the sending that it was part of began: it arrived after those."""
    began: bool = False
    """Its first byte has come, and it is counted in `Slots.begun`."""


class Pace(msgspec.Struct, gc=False):
    """What requests sent at one level took, in sums."""

    ended: int = 0
    service_s: float = 0.0
    tokens: int = 0
    shortest_s: float = 0.0
    longest_s: float = 0.0
    live: int = 0
    """Reports of live streams: those that wait inside the node are not among them, so they can
    disprove a level, never prove one."""
    live_s: float = 0.0
    live_tokens: int = 0

    def end(self, service_s: float, tokens: int) -> None:
        """Add a request that ended."""
        if self.ended >= 2 * CEILING:
            self.ended, self.tokens = self.ended // 2, self.tokens // 2
            self.service_s /= 2
        self.shortest_s = min(self.shortest_s, service_s) if self.ended else service_s
        self.longest_s = max(self.longest_s, service_s)
        self.ended += 1
        self.service_s += service_s
        self.tokens += max(1, tokens)

    def report(self, age_s: float, tokens: int) -> None:
        """Add the age of a live stream, and its tokens so far."""
        if self.live >= 2 * CEILING:
            self.live, self.live_tokens = self.live // 2, self.live_tokens // 2
            self.live_s /= 2
        self.live += 1
        self.live_s += age_s
        self.live_tokens += tokens


class Slots(msgspec.Struct):
    """How many requests of one model a node may hold, and what is known about it."""

    limit: int = START
    in_flight: int = 0
    told: bool = False
    """Fixed by a flag or an agent: never learned."""
    freed: int = 0
    """Requests that ended, in any way."""
    begun: int = 0
    """Requests in flight whose first byte has come."""
    burst_us: int = -ORDER_US
    """When the present sending began..."""
    burst_last: int = 0
    """...and what was in flight and ended then."""
    rushed: int = 0
    """Requests sent up to the first one of the last sending of several: it came in any place."""
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
    unequal: bool = False
    """Services differed widely, lately."""
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
    portions: list[float] = []
    """The work of each in flight, in that of a mean one, where the setting says that it counts."""


def dispatched(s: Slots, now_us: int) -> Turn:
    """Take a slot; keep the answer with the lease."""
    if now_us >= s.burst_us + ORDER_US:
        s.burst_us, s.burst_last = now_us, s.in_flight + s.freed
    else:
        s.rushed = s.burst_last + 1
    s.in_flight += 1
    if not s.gate_us:
        s.gate_us = now_us + LEAP_US
    return Turn(n=s.in_flight, freed=s.freed, last=s.burst_last)


def first_byte(s: Slots, now_us: int, turn: Turn) -> Turn:
    """Note that an answer began; keep the answer in place of the turn."""
    if not turn.began:
        s.begun += 1
    overlap = max(s.begun, turn.last - s.freed + 1)
    _claim(s, now_us, overlap, FIRST_US if s.limit <= START else STAND_US)
    return msgspec.structs.replace(turn, began=True)


def progressed(s: Slots, now_us: int, turn: Turn, age_s: float, tokens: int) -> None:
    """Note how many tokens a live stream has had since it was sent."""
    if age_s >= YOUNG_S and tokens > 0 and _tells(s, now_us, turn, age_s):
        s.here.report(age_s, tokens)


def completed(  # noqa: PLR0913 - the fields of one fact, spread out
    s: Slots, now_us: int, turn: Turn, service_s: float, tokens: int, *, cold: bool = False
) -> None:
    """Note that a whole answer was served, and free its slot."""
    released(s, now_us, turn)
    if cold:
        s.clean_us = now_us
    elif service_s > 0 and _sent_us(now_us, service_s) >= s.clean_us:
        _claim(s, now_us, turn.last - s.freed + 2, STAND_US)
        if _tells(s, now_us, turn, service_s):
            s.here.end(service_s, tokens)
        elif _serves_base(s, turn):
            s.base.end(service_s, tokens)


def released(s: Slots, now_us: int, turn: Turn) -> None:
    """Free a slot: the request ended, in whatever way."""
    _settle(s, now_us)
    if s.in_flight:
        s.in_flight -= 1
        s.freed += 1
        if s.claim:
            s.claim -= 1
        if turn.began and s.begun:
            s.begun -= 1


def proposal(s: Slots, now_us: int, *, waiting: bool) -> tuple[int, Reason] | None:
    """Return the change to record now, if any."""
    if s.told:
        return None
    full = waiting and s.in_flight >= s.limit
    if not s.trial:
        again = full and now_us >= s.retry_us and s.limit < CEILING
        return (START if s.limit <= START else _raised(s), "trial") if again else None
    if s.limit < START:
        return (START, "trial") if s.base.ended >= ALONE else None
    slow = _slowdown(s)
    paced, overlapping = _paced(s, slow), _overlapping(s, now_us)
    if slow >= SATURATED or (_enough(s) and not (paced or overlapping)):
        return _back(s, slow)
    if s.limit >= CEILING:
        return (CEILING, "held") if _enough(s) or s.here.live >= CEILING else None
    up = paced or (overlapping and (s.limit < s.gate or _measured(s) or _overdue(s, now_us)))
    return (_raised(s), "trial") if full and up else None


def changed(s: Slots, now_us: int, slots: int, reason: Literal[Reason, "told"]) -> None:
    """Fold a `SlotsChanged`."""
    slots = max(1, min(CEILING, slots))
    up = reason == "trial" and slots > s.limit
    if up:
        s.held = s.limit
        if s.limit >= s.gate and _overdue(s, now_us):
            s.gate = CEILING
        elif _measured(s):
            s.gate = s.limit * (2 if s.failed else LEAP if s.here.live else 4)
        s.gate_us = now_us + LEAP_US
        if s.limit == START or (s.limit > START and _measured(s)):
            s.base, s.base_limit = s.here, s.limit
    elif slots <= START:
        s.base, s.base_limit, s.held = Pace(), 1, 1
        s.gate = START * LEAP
    if reason != "trial":
        s.retry_us = now_us + RETRY_US
        s.failed = True
    s.told = reason == "told"
    s.trial = reason == "trial"
    if s.here.ended > 1 and s.here.longest_s > UNEQUAL * s.here.shortest_s:
        s.unequal = True
    elif s.here.ended >= SURE:
        s.unequal = False
    if min(slots, s.limit) >= START:
        s.here = Pace()
    s.limit = slots
    s.mark = s.in_flight + s.freed
    s.overlap = s.claim = 0


def probing(s: Slots) -> bool:
    """Whether a request sent now should report its first byte at once: one event more."""
    return s.trial and not s.told and (s.in_flight > 0 or s.freed < ALONE)


def _sent_us(now_us: int, age_s: float) -> int:
    return now_us - int(age_s * 1_000_000)


def _tells(s: Slots, now_us: int, turn: Turn, age_s: float) -> bool:
    """Whether a request was sent at this level, when the node was nearly full, and not cold."""
    return (
        s.limit >= START
        and 5 * turn.n >= 3 * s.limit
        and turn.n + turn.freed > s.mark
        and _sent_us(now_us, age_s) >= s.clean_us
    )


def _serves_base(s: Slots, turn: Turn) -> bool:
    """Whether a request was sent at the level below, and found no more than that at the node."""
    known = s.held > 1 and s.base.ended >= ALONE
    return turn.n <= s.held and turn.n + turn.freed != s.rushed and not known


def _claim(s: Slots, now_us: int, overlap: int, stand_us: int) -> None:
    _settle(s, now_us)
    if overlap > s.overlap and overlap > s.claim:
        s.claim, s.claim_us = overlap, now_us + stand_us


def _settle(s: Slots, now_us: int) -> None:
    if s.claim and now_us >= s.claim_us:
        s.overlap, s.claim = max(s.overlap, s.claim), 0


def _few(s: Slots) -> int:
    """Return how many ends show a pace where services are alike.

    Of small levels a whole round: what arrived first ends first, and knows nothing of a queue.
    """
    few = max(min(8, s.limit + 1), s.limit if s.limit < MANY else s.held + 1)
    return few if _brief(s) else max(few, SURE)


def _brief(s: Slots) -> bool:
    """Whether services are so short that a quick judgement is worth a small risk."""
    return max(s.base.longest_s, s.here.longest_s) <= BRIEF_S


def _many(s: Slots) -> int:
    """Return how many ends show a pace."""
    return 2 * _few(s) if _alike(s) else max(SURE, min(CEILING, 2 * s.limit))


def _enough(s: Slots) -> bool:
    """Whether a trial may be called failed."""
    return s.here.ended >= _many(s)


def _measured(s: Slots) -> bool:
    """Whether the pace at this level is known."""
    if s.here.live >= ALONE and (s.base.live or s.base.ended < ALONE):
        return True
    return s.here.ended >= (_few(s) if _alike(s) else _many(s))


def _overdue(s: Slots, now_us: int) -> bool:
    """Whether no pace came at all, so that overlap has to do."""
    return now_us >= s.gate_us and not s.here.live and not s.base.live and s.base.ended < ALONE


def _alike(s: Slots) -> bool:
    shortest_s, longest_s = s.here.shortest_s, s.here.longest_s
    if s.base.ended:
        shortest_s = min(s.base.shortest_s, shortest_s)
        longest_s = max(s.base.longest_s, longest_s)
    return not s.unequal and longest_s <= UNEQUAL * shortest_s


def _slowdown(s: Slots) -> float:
    """Return how many times longer a token takes here than at the base; 0 if unknown.

    Early ends are of short requests, whose pace suffers most from a long prompt; the mean of both
    ratios is fair to them.
    """
    here, base = s.here, s.base
    if base.live and here.live >= ALONE:
        drag = (here.live_s / here.live_tokens) * (base.live_tokens / base.live_s)
        if drag >= SATURATED:
            return drag
    if base.ended and here.ended >= (_few(s) if _alike(s) else _many(s)):
        pace = (here.service_s / here.tokens) * (base.tokens / base.service_s)
        return (pace + (here.service_s / here.ended) * (base.ended / base.service_s)) / 2
    return 0.0


def _paced(s: Slots, slow: float) -> bool:
    """Whether the pace at this level proves it."""
    if not 0 < slow <= (CLEAN if s.limit > START else CLEAN_FIRST):
        return False
    if s.limit <= START and s.base.ended < ALONE and not _brief(s):
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
        return (1, "trial") if s.base.ended < ALONE and _alike(s) else (START, "held")
    served = int(0.9 * s.limit / slow) if slow else s.limit
    if 10 * s.overlap >= 9 * s.limit:
        return max(START, s.base_limit, served, s.held // 4), "stepped_back"
    if slow >= SATURATED:
        return max(START, s.held), "stepped_back"
    sure = s.base.ended >= SURE and s.base.longest_s <= UNEQUAL * s.base.shortest_s
    return max(s.held, served if slow and sure else s.overlap), "stepped_back"
