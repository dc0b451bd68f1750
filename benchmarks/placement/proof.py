"""What `soonest` is held to, in virtual time: by pairs with the oracle and with the points formula.

The settings are those that herd has when it is installed, but for those by which another model may
serve a request. A target counts as met when the whole 95 % interval (bootstrap over seeds) meets
it. The oracle's bound of a run is, of its rules and of the policies themselves, the least mean
slowdown and the most in time, each by itself. A crash takes the first machine away in the middle of
the run, for two minutes. What was played is kept after each case.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from random import Random
from statistics import fmean
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

import msgspec

from actors.core.state import US
from benchmarks.machine import Json, begin, publish, table
from benchmarks.placement.fleets import FLEETS
from benchmarks.placement.oracle import bounds
from benchmarks.placement.play import BEGIN_US, START_US, Figures, figures, play
from benchmarks.placement.workload import Part, arrivals, trace
from events import NodeId, NodeProbed
from herd.config import CHANGEABLE, Settings
from herd.simulator.hardware import NodeSpec
from herd.virtual.script import Arrival, Happening

COUNT = 300
SEEDS = 20
CLOSE_SEEDS = 60
"""Of the cases that were near their bounds with 20: set before any of them was played."""
MANY_SEEDS = 240
"""Of the two whose bound still lay within the interval of 60: set before any more was played."""
RESAMPLED = 2000
CRASH_S = 120.0
AGEING_S = 600.0
"""No request may wait longer for a node: then herd refuses it (`queue_timeout_s`)."""
JUDGED = ("fleet", "trace", "load", "target", "bound", "value", "95 % from", "to", "")
BY_OTHERS = {"vram_fallback", "fallback_models", "anthropic_fallback", "auto_pull", "policy"}

Sample = TypeVar("Sample")


class Case(NamedTuple):
    """A fleet under a load."""

    fleet: str
    trace: str
    load: float


BUSY = 0.8
"""The load at which it is also compared with the points formula, and a node crashes."""
CLOSE = (
    Case("home", "conv", BUSY),
    Case("home", "conv", 1.2),
    Case("home", "conv", 0.1),
    Case("home", "conv", 0.3),
    Case("office", "conv", 0.3),
)
MANY = (Case("home", "conv", 0.1), Case("office", "conv", 0.3))
CASES = (*CLOSE, *(Case("office", "conv", load) for load in (BUSY, 1.2, 0.1)))


class Run(msgspec.Struct):
    """What came of one workload: the figures of each."""

    seed: int
    soonest: Figures
    points: Figures | None
    crash: Figures | None
    """`soonest`, while a node crashes."""
    oracle: list[Figures]
    """By its rules."""

    @property
    def known(self) -> list[Figures]:
        """What one who knows everything could do: by the rules, or as the policies themselves."""
        return [*self.oracle, self.soonest, *([] if self.points is None else [self.points])]

    @property
    def least(self) -> float:
        """The oracle's mean slowdown."""
        return min(each.slowdown for each in self.known)

    @property
    def most(self) -> float:
        """The oracle's share in time."""
        return max(each.goodput for each in self.known)


class Judged(NamedTuple):
    """A figure of a case, within its 95 % interval."""

    fleet: str
    trace: str
    load: float
    target: str
    bound: str
    value: float
    low: float
    high: float
    met: bool

    def row(self) -> tuple[str | float, ...]:
        """Return it as a row of a table."""
        last = "met" if self.met else "MISSED"
        return *map(str, self[:3]), self.target, self.bound, self.value, self.low, self.high, last


class Target(NamedTuple, Generic[Sample]):
    """A figure of runs that is to be at most, or at least, so much."""

    what: str
    loads: tuple[float, ...]
    figure: Callable[[Sequence[Sample]], float]
    bound: float
    at_least: bool = False

    def judged(self, case: Case, runs: Sequence[Sample]) -> Judged:
        """Return the figure between the ends of its interval, and whether all of it is met."""
        low, value, high = interval_of(runs, self.figure)
        met = low >= self.bound if self.at_least else high <= self.bound
        bound = f"{'>=' if self.at_least else '<='} {self.bound:g}"
        return Judged(*case, self.what, bound, value, low, high, met)


def shipped() -> dict[str, bool | int | float | str]:
    """Return the settings of an installation."""
    told = Settings().flat()
    found = {name: told[name] for name in sorted(CHANGEABLE - BY_OTHERS)}
    return found | {"max_queue": 100_000, "max_queue_total": 100_000}


def workload(case: Case, part: Part, seed: int) -> tuple[tuple[NodeSpec, ...], list[Arrival]]:
    """Return a fleet, and what is asked of it."""
    specs, rows = FLEETS[case.fleet](), trace(case.trace, part)
    return specs, arrivals(specs, rows, load=case.load, count=COUNT, seed=seed, start_us=BEGIN_US)


def run(work: tuple[Case, Part, int]) -> Run:
    """Play one workload to all."""
    case, part, seed = work
    specs, asked = workload(case, part, seed)
    return Run(
        seed,
        play(specs, asked, "soonest", more=shipped()),
        play(specs, asked, "points", more=shipped()) if case.load == BUSY else None,
        play(specs, asked, "soonest", more=shipped(), faults=_crash(specs, asked))
        if case.load == BUSY
        else None,
        [figures(specs, asked, outcomes) for outcomes in bounds(specs, asked, START_US)],
    )


def _crash(specs: Sequence[NodeSpec], asked: Sequence[Arrival]) -> tuple[Happening, ...]:
    at_us = (asked[0].at_us + asked[-1].at_us) // 2
    name = NodeId(specs[0].name)
    gone = NodeProbed(node_id=name, reachable=False, error="connection refused")
    back = NodeProbed(node_id=name, reachable=True, resident=())
    return (
        Happening(at_us=at_us, fact=gone),
        Happening(at_us=at_us + int(CRASH_S * US), fact=back),
    )


def prove(
    part: Part, seeds: int | None, processes: int, fleets: Sequence[str], *, keep: bool
) -> None:
    """Play all cases, with so many seeds each or as many as they have, and say what is met."""
    result = begin("placement.proof")
    result |= {"part": part, "requests": COUNT}
    cases = [case for case in CASES if case.fleet in fleets]
    rows: list[tuple[str | float, ...]] = []
    told: list[tuple[str | float, ...]] = []
    kept: list[Json] = []
    judged: list[Json] = []
    began_s = monotonic()
    with ProcessPoolExecutor(processes) as pool:
        for case in cases:
            most = seeds or _seeds(case)
            runs = list(pool.map(run, [(case, part, seed) for seed in range(1, most + 1)]))
            rows += [(*map(str, case), *row) for row in _rows(runs)]
            beaten = sum(
                each.soonest.slowdown < min(one.slowdown for one in each.oracle) for each in runs
            )
            kept.append(
                {
                    **case._asdict(),
                    "seeds": most,
                    "beaten": beaten,
                    "runs": msgspec.to_builtins(runs),
                }
            )
            for target in TARGETS:
                if case.load in target.loads:
                    found = target.judged(case, runs)
                    told.append(found.row())
                    judged.append(found._asdict())
            print(f"{case}: {monotonic() - began_s:.0f} s, oracle beaten in {beaten}", flush=True)
            publish("placement_proof", result | {"targets": judged, "cases": kept}, keep=keep)
    where = ("fleet", "trace", "load")
    head = ("policy", "slowdown", "p95", "in time", "TTFT p95 s", "cold", "failed", "cut", "worst")
    print(table("Policies and the oracle", (*where, *head), rows))
    print(table("Targets", JUDGED, told))


def _seeds(case: Case) -> int:
    return MANY_SEEDS if case in MANY else CLOSE_SEEDS if case in CLOSE else SEEDS


def _rows(runs: Sequence[Run]) -> list[tuple[str | float, ...]]:
    names = ("slowdown_p95", "goodput", "ttft_p95_s", "cold", "failed", "cut", "worst_model")
    found: list[tuple[str | float, ...]] = []
    for policy in ("soonest", "crash", "points"):
        if getattr(runs[0], policy) is None:
            continue
        means = [_mean(runs, name, policy) for name in ("slowdown", *names)]
        found.append((policy, *means))
    best = [min(each.known, key=lambda one: one.slowdown) for each in runs]
    of_best = [fmean([getattr(each, name) for each in best]) for name in names]
    of_best[1] = fmean([each.most for each in runs])
    found.append(("oracle", fmean([each.least for each in runs]), *of_best))
    return found


def interval_of(
    runs: Sequence[Sample], figure: Callable[[list[Sample]], float]
) -> tuple[float, float, float]:
    """Return a figure between the ends of its 95 % interval, by bootstrap over the runs."""
    random = Random(1)  # noqa: S311 (samples, no secret)
    found = sorted(figure(random.choices(runs, k=len(runs))) for _ in range(RESAMPLED))
    return found[int(0.025 * RESAMPLED)], figure(list(runs)), found[int(0.975 * RESAMPLED) - 1]


def _slower(runs: Sequence[Run]) -> float:
    return _mean(runs, "slowdown") / fmean([each.least for each in runs])


def _in_time(runs: Sequence[Run]) -> float:
    return _mean(runs, "goodput") / fmean([each.most for each in runs])


def _than_points(runs: Sequence[Run]) -> float:
    return _mean(runs, "slowdown") / _mean(runs, "slowdown", "points")


def _unsaid(runs: Sequence[Run]) -> float:
    """Return the most that failed in a run before their answer had begun."""
    crashes = [each.crash for each in runs if each.crash is not None]
    return max(each.failed - each.cut for each in crashes)


def _failed(runs: Sequence[Run]) -> float:
    return max(each.soonest.failed for each in runs)


def _longest_s(runs: Sequence[Run]) -> float:
    return max(each.soonest.longest_wait_s for each in runs)


def _worst(runs: Sequence[Run]) -> float:
    return _mean(runs, "worst_model")


def _mean(runs: Sequence[Run], name: str, policy: str = "soonest") -> float:
    return fmean([getattr(getattr(each, policy), name) for each in runs])


TARGETS = (
    Target("slowdown over the oracle's", (0.8,), _slower, 1.5),
    Target("in time over the oracle's", (0.8,), _in_time, 0.9, at_least=True),
    Target("slowdown over that of points", (0.8,), _than_points, 0.5),
    Target("in time over the oracle's", (1.2,), _in_time, 0.85, at_least=True),
    Target("slowdown over the oracle's", (0.1, 0.3), _slower, 1.1),
    Target("failed", (0.1, 0.3, 0.8, 1.2), _failed, 0.0),
    Target("failed, a node crashes", (0.8,), _unsaid, 0.0),
    Target("worst model's mean over all", (0.8,), _worst, 3.0),
    Target(
        "longest wait, s",
        (0.8, 1.2),
        _longest_s,
        AGEING_S,
    ),
)
