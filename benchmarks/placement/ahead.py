"""What prefix affinity and the planner are worth: with and without each, on the same requests.

Conversations are laid over the traces (`sessions`). The load is of what a fleet can serve without
any cache. Differences are of pairs: the same seed, with and without.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from math import sqrt
from random import Random
from typing import NamedTuple

from benchmarks.machine import Json, begin, publish, table
from benchmarks.placement.fleets import FLEETS
from benchmarks.placement.play import BEGIN_US, Figures, play
from benchmarks.placement.sessions import as_told, talk
from benchmarks.placement.workload import Part, arrivals, trace
from herd.simulator.hardware import NodeSpec
from herd.virtual.script import Arrival

COUNT = 400
SEEDS = 5
LOADS = (0.5, 0.8, 1.2)


class Variant(NamedTuple):
    """A policy, and what helps it."""

    policy: str
    affinity: bool
    planner: bool

    def __str__(self) -> str:
        """Return its name."""
        helps = [name for name in ("affinity", "planner") if getattr(self, name)]
        return " + ".join((self.policy, *helps))


VARIANTS = (
    Variant("resident-first", affinity=False, planner=False),
    Variant("resident-first", affinity=False, planner=True),
    Variant("soonest", affinity=False, planner=False),
    Variant("soonest", affinity=True, planner=False),
    Variant("soonest", affinity=False, planner=True),
    Variant("soonest", affinity=True, planner=True),
)


class Case(NamedTuple):
    """A fleet under a load, and how it is played."""

    fleet: str
    load: float
    variant: Variant


def workload(specs: Sequence[NodeSpec], part: Part, load: float, seed: int) -> list[Arrival]:
    """Return conversations over a slice of the trace of chats."""
    rows = trace("conv", part)
    start = Random(seed).randrange(len(rows) - COUNT)  # noqa: S311 (traffic, not secrets)
    grown, turns = talk(rows[start : start + COUNT], seed)
    asked = arrivals(specs, grown, load=load, count=COUNT, seed=seed, start_us=BEGIN_US)
    return as_told(asked, turns)


def main() -> None:
    """Run all cases, or a few."""
    parser = argparse.ArgumentParser(prog="benchmarks placement.ahead", description=__doc__)
    parser.add_argument("--part", choices=("tune", "held"), default="tune")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--fleet", choices=tuple(FLEETS), action="append")
    parser.add_argument("--load", type=float, action="append")
    parser.add_argument("--keep", action="store_true", help="write the result down")
    told = parser.parse_args()
    cases = [
        Case(fleet, load, variant)
        for fleet in told.fleet or FLEETS
        for load in told.load or LOADS
        for variant in VARIANTS
    ]
    work = [(case, told.part, seed) for case in cases for seed in range(1, told.seeds + 1)]
    with ProcessPoolExecutor() as pool:
        runs = list(pool.map(_run, work, chunksize=1))
    found = {case: runs[n * told.seeds : (n + 1) * told.seeds] for n, case in enumerate(cases)}
    rows: list[tuple[str | float, ...]] = []
    kept: list[Json] = []
    for case in cases:
        plain = found[case._replace(variant=case.variant._replace(affinity=False, planner=False))]
        row = _row(found[case], plain)
        rows.append((case.fleet, case.load, str(case.variant), *row.values()))
        kept.append({"fleet": case.fleet, "load": case.load, "variant": str(case.variant), **row})
    head = ("fleet", "load", "variant", "slowdown", "against plain", "+-", "p95", "TTFT p95 s")
    print(table("Ahead", (*head, "in time", "cold", "planned", "evictions", "failed"), rows))
    result: dict[str, Json] = begin("placement.ahead")
    result |= {"part": told.part, "seeds": told.seeds, "requests": COUNT, "cases": kept}
    publish("placement_ahead", result, keep=told.keep)


def _run(work: tuple[Case, Part, int]) -> Figures:
    case, part, seed = work
    specs = FLEETS[case.fleet]()
    asked = workload(specs, part, case.load, seed)
    variant = case.variant
    more = {"prefix_affinity": variant.affinity, "planner": variant.planner}
    return play(specs, asked, variant.policy, more=more)


def _row(runs: list[Figures], plain: list[Figures]) -> dict[str, float]:
    """Return the means, and the paired change of the mean slowdown with its 95 % half width."""
    ratios = [a.slowdown / b.slowdown - 1.0 for a, b in zip(runs, plain, strict=True)]
    mean = sum(ratios) / len(ratios)
    spread = sum((each - mean) ** 2 for each in ratios) / max(1, len(ratios) - 1)
    return {
        "slowdown": _mean(runs, "slowdown"),
        "change": mean,
        "change_95": 1.96 * sqrt(spread / len(ratios)),
        "slowdown_p95": _mean(runs, "slowdown_p95"),
        "ttft_p95_s": _mean(runs, "ttft_p95_s"),
        "goodput": _mean(runs, "goodput"),
        "cold": _mean(runs, "cold"),
        "planned": _mean(runs, "planned"),
        "evictions": _mean(runs, "evictions"),
        "failed": _mean(runs, "failed"),
    }


def _mean(runs: list[Figures], name: str) -> float:
    return float(sum(getattr(each, name) for each in runs)) / len(runs)


if __name__ == "__main__":
    main()
