"""A node under load, simulated event by event: what the slot learner would see of it.

One model for all nodes: at most `serves` requests are active, in order of arrival; up to `batch`
active ones each run at full speed, more share the speed of `batch`. What is sent at once arrives
in any order. Seeded; no real time.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from actors.core.slots import (
    Slots,
    Turn,
    changed,
    completed,
    dispatched,
    first_byte,
    probing,
    progressed,
    proposal,
)

ENDLESS = 10**9
TICK_US = 250_000


@dataclass(frozen=True)
class Job:
    """What a request asks of an idle node."""

    prefill_s: float
    decode_s: float
    tokens: int


Jobs = Callable[[random.Random], Job]


@dataclass
class Sent:
    job: Job
    turn: Turn
    at_us: int
    probing: bool
    cold: bool = False
    began: float = -1.0
    """The node's work clock when it became active; negative while it waits inside the node."""
    streaming: bool = False


@dataclass
class World:
    jobs: Jobs
    serves: int = ENDLESS
    batch: int = ENDLESS
    streams: bool = True
    reports: bool = True
    """Whether progress of streams is reported."""
    load_s: float = 0.0
    """The cold load that the first request meets."""
    waiting: int = ENDLESS
    rush_s: float = 0.0
    """When the others come, after the first request."""
    seed: int = 1
    slots: Slots = field(default_factory=Slots)
    now_us: int = 0
    speed: float = 1.0
    work: float = 0.0
    """Seconds of full speed that every active request has had since the start."""
    changes: list[tuple[float, int, str]] = field(default_factory=list[tuple[float, int, str]])
    served: int = 0
    peak: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - a simulation
        self.inside: deque[Sent] = deque()
        self.active = 0
        self.due: list[tuple[float, int, str, Sent]] = []
        self.live: dict[int, Sent] = {}
        self.count = 0
        self.loaded_us = int(self.load_s * 1e6)
        self.tick_us = int(self.rush_s * 1e6) or TICK_US
        self.above_us: dict[int, int] = {}
        self._fill()

    def run(self, until_s: float) -> "World":
        """Let time pass until then."""
        until_us = int(until_s * 1e6)
        while self.now_us < until_us:
            rate = self._rate()
            next_us = self.tick_us
            milestone = False
            if self.due and rate > 0:
                at_us = self.now_us + max(0, int((self.due[0][0] - self.work) / rate * 1e6) + 1)
                if at_us <= next_us:
                    next_us, milestone = at_us, True
            if self.now_us < self.loaded_us <= next_us:
                next_us, milestone = self.loaded_us, False
            passed_us = next_us - self.now_us
            limit = self.slots.limit
            self.above_us[limit] = self.above_us.get(limit, 0) + passed_us
            self.work += passed_us / 1e6 * rate
            self.now_us = next_us
            if milestone:
                self._reach()
            elif next_us == self.tick_us:
                self._tick()
            self._fill()
        return self

    def share(self, limit: int) -> float:
        """Return the share of the time in which the limit was at most this."""
        held = sum(us for level, us in self.above_us.items() if level <= limit)
        return held / sum(self.above_us.values())

    def forget(self) -> None:
        """Begin the statistics anew."""
        self.above_us, self.peak, self.served = {}, 0, 0

    def _rate(self) -> float:
        if self.now_us < self.loaded_us or not self.active:
            return 0.0
        return self.speed * min(1.0, self.batch / self.active)

    def _fill(self) -> None:
        s = self.slots
        sent: list[Sent] = []
        while True:
            waiting = self.waiting if self.now_us >= self.rush_s * 1e6 else 1 - s.in_flight
            change = proposal(s, self.now_us, waiting=waiting > 0)
            if change is not None:
                self.changes.append((self.now_us / 1e6, *change))
                changed(s, self.now_us, *change)
                continue
            if waiting <= 0 or s.in_flight >= s.limit:
                break
            self.waiting -= 1
            cold = self.now_us < self.loaded_us
            turn = dispatched(s, self.now_us)
            sent.append(Sent(self.jobs(self.random), turn, self.now_us, probing(s), cold))
            self.peak = max(self.peak, s.in_flight)
        self.random.shuffle(sent)
        self.inside.extend(sent)
        self._start()

    def _start(self) -> None:
        while self.inside and self.active < self.serves:
            sent = self.inside.popleft()
            self.active += 1
            self.count += 1
            sent.began = self.work
            job = sent.job
            if self.streams:
                heapq.heappush(self.due, (self.work + job.prefill_s, self.count, "byte", sent))
            end = self.work + job.prefill_s + job.decode_s
            heapq.heappush(self.due, (end, self.count, "end", sent))
            self.live[self.count] = sent

    def _reach(self) -> None:
        _, number, what, sent = heapq.heappop(self.due)
        if what == "byte":
            sent.streaming = True
            if sent.probing:
                self._report(sent)
            return
        del self.live[number]
        self.active -= 1
        self.served += 1
        service_s = (self.now_us - sent.at_us) / 1e6
        completed(self.slots, self.now_us, sent.turn, service_s, sent.job.tokens, cold=sent.cold)
        self._start()

    def _report(self, sent: Sent) -> None:
        sent.turn = first_byte(self.slots, self.now_us, sent.turn)

    def _tick(self) -> None:
        self.tick_us += TICK_US - self.tick_us % TICK_US
        for sent in self.live.values():
            if sent.streaming and not sent.turn.began and self.now_us >= sent.at_us + 1_000_000:
                self._report(sent)
        if self.streams and self.reports and self.now_us % 1_000_000 == 0:
            for sent in list(self.live.values()):
                done = self.work - sent.began - sent.job.prefill_s
                if sent.streaming and done > 0:
                    tokens = int(sent.job.tokens * done / sent.job.decode_s)
                    age_s = (self.now_us - sent.at_us) / 1e6
                    progressed(self.slots, self.now_us, sent.turn, age_s, tokens)


def seconds(low: float, high: float, *, prefill_s: float = 0.0, tokens: int = 0) -> Jobs:
    """Requests whose service differs for no visible reason."""
    return lambda chance: Job(prefill_s, chance.uniform(low, high), tokens)


def lengths(*, low: int = 10, high: int = 1000, prefill_s: float = 0.2) -> Jobs:
    """Answers of so many tokens, 10 ms each, after a prompt."""

    def job(chance: random.Random) -> Job:
        tokens = chance.randint(low, high)
        return Job(prefill_s * chance.uniform(0.5, 1.5), tokens / 100, tokens)

    return job


def mixed(prefill_s: float = 0.2) -> Jobs:
    """Answers that are either short or long."""

    def job(chance: random.Random) -> Job:
        tokens = chance.choice((10, 1000))
        return Job(prefill_s, tokens / 100, tokens)

    return job
