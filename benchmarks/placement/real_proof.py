"""The proof with processes: the targets of `soonest`, as clients of a whole herd meet them.

Every run is a fleet of simulated nodes as processes, started anew, with one system before it, and
real requests by HTTP (`placement.real`); the nodes' time runs twice as fast. The oracle is that of
the proof in virtual time, on the same requests and the same machines. Runs mostly wait, so that
several are played beside each other. That disturbs all that are played, not the oracle.
Where a node crashes, its Ollama is killed in the middle and started again two minutes later.
herd's own limits are in real time: its `queue_timeout_s` is twice as long in that of the nodes.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from math import nan
from statistics import fmean
from typing import NamedTuple, TypeAlias

import msgspec

from benchmarks.machine import RESULTS, Json, begin, publish, table
from benchmarks.placement import play, real
from benchmarks.placement.alone import BOUND as ALONE
from benchmarks.placement.fleets import FLEETS, studio
from benchmarks.placement.oracle import bounds
from benchmarks.placement.proof import AGEING_S, BUSY, JUDGED, SEEDS, Case, Judged, Target
from benchmarks.placement.real import COUNT, DIRECT, SHOWN, TIME_SCALE, Figures
from benchmarks.placement.workload import arrivals, trace
from benchmarks.targets import MissingError
from herd.errors import HerdError
from herd.platform import run_loop
from herd.simulator.hardware import NodeSpec
from herd.virtual.script import Arrival

NAME = "placement_real_proof"
CRASH = "soonest, a node crashes"
RIVAL = "ollama-herd"
ORACLE = "oracle"
TRIES = 3
"""A run is played again if one of its processes did not start, as where a port was taken; how often
that was is kept."""


class Plan(NamedTuple):
    """What is played of a case, with how many requests."""

    case: Case
    requests: int
    systems: tuple[str, ...]


ONE = "studio"
"""A fleet of one machine, with memory for every model."""
FEWER = 60
"""For one node, which is never far from what it is alone."""
PLANS = (
    Plan(Case("home", "conv", BUSY), COUNT, ("soonest", CRASH, RIVAL, ORACLE)),
    Plan(Case("office", "conv", BUSY), COUNT, ("soonest", CRASH, RIVAL, ORACLE)),
    Plan(Case("home", "conv", 0.1), COUNT, ("soonest", ORACLE)),
    Plan(Case("office", "conv", 0.1), COUNT, ("soonest", ORACLE)),
    Plan(Case("home", "conv", 0.3), COUNT, ("soonest", ORACLE)),
    Plan(Case("office", "conv", 0.3), COUNT, ("soonest", ORACLE)),
    Plan(Case("home", "conv", 1.2), COUNT, ("soonest", ORACLE)),
    Plan(Case("office", "conv", 1.2), COUNT, ("soonest", ORACLE)),
    Plan(Case(ONE, "conv", BUSY), FEWER, ("soonest", DIRECT)),
    Plan(Case(ONE, "conv", 0.3), FEWER, ("soonest", DIRECT)),
)
"""A run at 10 % takes ten minutes, most others two or three."""


class Run(msgspec.Struct):
    """What came of one workload by each system that it was played to, and by the oracle's rules."""

    seed: int
    by: dict[str, Figures] = {}
    oracle: list[play.Figures] = []
    again: int = 0
    """How often one of them had to be started anew."""

    @property
    def _known(self) -> list[Figures | play.Figures]:
        return [*self.oracle, *(found for name, found in self.by.items() if name != CRASH)]

    @property
    def least(self) -> float:
        """The oracle's mean slowdown; a system that is better than all its rules is the bound."""
        return min(each.slowdown for each in self._known)

    @property
    def most(self) -> float:
        """The oracle's share in time."""
        return max(each.goodput for each in self._known)


Runs: TypeAlias = Mapping[Plan, dict[int, Run]]
"""What was played of each plan, by seed."""


class Work(NamedTuple):
    """One run of one system."""

    plan: Plan
    seed: int
    system: str


def done(work: Work) -> tuple[Figures | list[play.Figures], int]:
    """Play it, in a process of its own; tell how often it was started anew."""
    specs, asked = _workload(work)
    if work.system == ORACLE:
        start_us = play.BEGIN_US
        return [play.figures(specs, asked, each) for each in bounds(specs, asked, start_us)], 0
    crash = work.system == CRASH
    system = "soonest" if crash else work.system
    for tried in range(TRIES):
        try:
            found = run_loop(real.measure(specs, asked, system, TIME_SCALE, crash=crash))
        except (MissingError, HerdError, AssertionError, OSError) as error:
            print(f"again: {work}: {error!r}", flush=True)
        else:
            return found, tried
    raise RuntimeError(f"{work} could not be played")


def _workload(work: Work) -> tuple[tuple[NodeSpec, ...], list[Arrival]]:
    case, count, _ = work.plan
    specs = (studio(),) if case.fleet == ONE else FLEETS[case.fleet]()
    start_us = play.BEGIN_US if work.system == ORACLE else 0
    rows = trace(case.trace, "held")
    return specs, arrivals(
        specs, rows, load=case.load, count=count, seed=work.seed, start_us=start_us
    )


def prove(runs: Runs, beside: int, *, keep: bool) -> None:
    """Play what is not there yet, and say what is met; what was played is kept, also if it is ended
    before.
    """
    result: dict[str, Json] = begin("placement.real_proof")
    works_left = list(_missing(runs))
    result |= {"time_scale": TIME_SCALE, "seeds": len(next(iter(runs.values()))), "beside": beside}
    left = Counter(work.plan for work in works_left)
    with ProcessPoolExecutor(beside) as pool:
        works = {pool.submit(done, work): work for work in works_left}
        try:
            for future in as_completed(works):
                plan, seed, system = works[future]
                run = runs[plan][seed]
                found, again = future.result()
                run.again += again
                if isinstance(found, Figures):
                    run.by[system] = found
                else:
                    run.oracle = found
                left[plan] -= 1
                name = " ".join(map(str, plan.case))
                print(f"{name}, seed {seed}: {system}, {left.total()} left", flush=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            whole = {plan: list(by.values()) for plan, by in runs.items() if not left[plan]}
            judged = [each for plan, played in whole.items() for each in _judged(plan, played)]
            result["targets"] = [each._asdict() for each in judged]
            result["cases"] = _cases(runs)
            publish(NAME, result, keep=keep)
    rows = [row for plan, played in whole.items() for row in _rows(plan, played)]
    print(table("By processes", ("fleet", "trace", "load", "system", *SHOWN), rows))
    print(table("Targets, by processes", JUDGED, [each.row() for each in judged]))


def kept(plans: Sequence[Plan], seeds: int) -> Runs:
    """Return what the last result has of these."""
    runs = nothing(plans, seeds)
    told = msgspec.json.decode((RESULTS / f"{NAME}.json").read_bytes())
    for plan in plans:
        for case in told["cases"]:
            if Case(case["fleet"], case["trace"], case["load"]) == plan.case:
                found = msgspec.convert(case["runs"], list[Run])
                runs[plan] |= {run.seed: run for run in found if run.seed <= seeds}
    return runs


def nothing(plans: Sequence[Plan], seeds: int) -> Runs:
    """Return what is to be played."""
    return {plan: {seed: Run(seed) for seed in range(1, seeds + 1)} for plan in plans}


def _cases(runs: Runs) -> list[Json]:
    return [
        {
            **plan.case._asdict(),
            "requests": plan.requests,
            "runs": msgspec.to_builtins(list(played.values())),
        }
        for plan, played in runs.items()
    ]


def _judged(plan: Plan, runs: Sequence[Run]) -> Iterator[Judged]:
    for system in plan.systems:
        for target in TARGETS[system]:
            if plan.case.load in target.loads:
                yield target.judged(plan.case, runs)


def _missing(runs: Runs) -> Iterator[Work]:
    """Yield what is to be played: seed by seed, so that busy fleets and idle ones lie beside."""
    for seed in next(iter(runs.values())):
        for plan, by in runs.items():
            for system in plan.systems:
                if not (by[seed].oracle if system == ORACLE else system in by[seed].by):
                    yield Work(plan, seed, system)


def _rows(plan: Plan, runs: Sequence[Run]) -> Iterator[tuple[str | float, ...]]:
    for system in plan.systems:
        if system != ORACLE:
            means = [_mean(runs, name, system) for name in Figures.__struct_fields__]
            yield (*map(str, plan.case), system, *means)
        else:
            least, most = _least(runs), fmean(each.most for each in runs)
            yield (*map(str, plan.case), system, least, nan, most, *[nan] * (len(SHOWN) - 3))


def _mean(runs: Sequence[Run], name: str, system: str = "soonest") -> float:
    return fmean(getattr(each.by[system], name) for each in runs)


def _least(runs: Sequence[Run]) -> float:
    return fmean(each.least for each in runs)


def _slower(runs: Sequence[Run]) -> float:
    return _mean(runs, "slowdown") / _least(runs)


def _in_time(runs: Sequence[Run]) -> float:
    return _mean(runs, "goodput") / fmean(each.most for each in runs)


def _than(system: str) -> Callable[[Sequence[Run]], float]:
    return lambda runs: _mean(runs, "slowdown") / _mean(runs, "slowdown", system)


def _worst(runs: Sequence[Run]) -> float:
    return _mean(runs, "worst_model")


def _unsaid(runs: Sequence[Run]) -> float:
    crashes = [each.by[CRASH] for each in runs]
    return max(each.failed - each.cut for each in crashes)


LOADS = (0.1, 0.3, BUSY, 1.2)
TARGETS: dict[str, tuple[Target[Run], ...]] = {
    "soonest": (
        Target("failed", LOADS, lambda runs: max(each.by["soonest"].failed for each in runs), 0.0),
        Target(
            "worst model's mean over all", (BUSY,), lambda runs: _mean(runs, "worst_model"), 3.0
        ),
        Target(
            "longest until the first token, s",
            (BUSY, 1.2),
            lambda runs: max(each.by["soonest"].ttft_most_s for each in runs),
            AGEING_S,
        ),
    ),
    CRASH: (Target("failed, a node crashes", LOADS, _unsaid, 0.0),),
    RIVAL: (Target("slowdown over that of ollama-herd", LOADS, _than(RIVAL), 0.5),),
    DIRECT: (Target("slowdown over that of the node", LOADS, _than(DIRECT), ALONE),),
    ORACLE: (
        Target("slowdown over the oracle's", (0.1, 0.3), _slower, 1.1),
        Target("slowdown over the oracle's", (BUSY,), _slower, 1.5),
        Target("in time over the oracle's", (BUSY,), _in_time, 0.9, at_least=True),
        Target("in time over the oracle's", (1.2,), _in_time, 0.85, at_least=True),
    ),
}
"""By what it is compared with."""


def main() -> None:
    """Prove from the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks placement.real_proof", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seeds of home at 80 %%")
    parser.add_argument("--more", action="store_true", help="only what the last result has not")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--beside", type=int, default=4, help="runs at the same time")
    told = parser.parse_args()
    if told.quick:
        runs = nothing([plan for plan in PLANS if plan.case == Case("home", "conv", BUSY)], 2)
    else:
        runs = (kept if told.more else nothing)(PLANS, told.seeds)
    prove(runs, told.beside, keep=not told.quick)


if __name__ == "__main__":
    main()
