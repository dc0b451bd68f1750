"""Plays the held-out slices of the traces to each fleet under each policy, in virtual time."""

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from math import sqrt
from typing import NamedTuple

import msgspec

from benchmarks.machine import Json, begin, publish, table
from benchmarks.placement.clairvoyant import Clairvoyant
from benchmarks.placement.fleets import FLEETS
from benchmarks.placement.oracle import bounds
from benchmarks.placement.play import BEGIN_US, START_US, Figures, figures, play
from benchmarks.placement.proof import CLOSE_SEEDS, prove
from benchmarks.placement.proof import SEEDS as PROOF_SEEDS
from benchmarks.placement.workload import Part, arrivals, trace
from herd.platform import core_count

POLICIES = (
    "no-queue least-connections",
    "round-robin",
    "least-connections",
    "resident-first",
    "points",
    "soonest",
    "clairvoyant",
    "oracle",
)
COUNT = 500
SEEDS = 5
NO_QUEUE = "no-queue "
NO_QUEUE_SLOTS = 512


class Case(NamedTuple):
    """One row of figures, but for the seeds."""

    fleet: str
    trace: str
    load: float
    policy: str


def main() -> None:
    """Run all cases, or a few."""
    parser = argparse.ArgumentParser(prog="benchmarks placement", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one fleet, one load, two seeds")
    parser.add_argument("--part", choices=("tune", "held"), default="held")
    parser.add_argument(
        "--seeds", type=int, help=f"{SEEDS}; {PROOF_SEEDS} or {CLOSE_SEEDS} for a proof"
    )
    parser.add_argument("--proof", action="store_true", help="the targets, against the oracle")
    parser.add_argument("--fleet", choices=tuple(FLEETS), action="append", help="only with --proof")
    parser.add_argument("--processes", type=int, default=core_count())
    asked = parser.parse_args()
    if asked.proof:
        proof_seeds = 2 if asked.quick else asked.seeds
        fleets = asked.fleet or ("home", "office")
        prove(
            asked.part,
            proof_seeds,
            asked.processes,
            fleets,
            keep=asked.part == "held" and not asked.quick,
        )
        return
    seeds = 2 if asked.quick else asked.seeds or SEEDS
    cases = list(_cases(quick=asked.quick))
    result: dict[str, Json] = begin("placement")
    result |= {"part": asked.part, "seeds": seeds, "requests": COUNT}
    with ProcessPoolExecutor(asked.processes) as pool:
        work = [(case, asked.part, seed) for case in cases for seed in range(1, seeds + 1)]
        found = list(pool.map(_run, work, chunksize=1))
    rows: list[tuple[str | float, ...]] = []
    kept: list[Json] = []
    for number, case in enumerate(cases):
        runs = found[number * seeds : (number + 1) * seeds]
        kept.append({**case._asdict(), **_means(runs), "slowdown_95": _half_width(runs)})
        rows.append(_row(case, runs))
    result["cases"] = kept
    head = ("fleet", "trace", "load", "policy", "slowdown", "+-", "p95", "in time", "TTFT p95 s")
    print(table("Placement", (*head, "loads", "failed", "worst model"), rows))
    publish("placement", result, keep=not asked.quick)


def _cases(*, quick: bool) -> Iterator[Case]:
    if quick:
        yield from (Case("home", "conv", 0.8, policy) for policy in POLICIES)
        return
    for fleet, name, load in (
        ("home", "conv", 0.1),
        ("home", "conv", 0.5),
        ("home", "conv", 0.8),
        ("home", "conv", 1.2),
        ("home", "code", 0.8),
        ("office", "conv", 0.5),
        ("office", "conv", 0.8),
        ("office", "conv", 1.2),
        ("office", "code", 0.8),
        ("lab", "conv", 0.8),
    ):
        yield from (Case(fleet, name, load, policy) for policy in POLICIES)


def _run(work: tuple[Case, Part, int]) -> Figures:
    case, part, seed = work
    specs = FLEETS[case.fleet]()
    asked = arrivals(
        specs,
        trace(case.trace, part),
        load=case.load,
        count=COUNT,
        seed=seed,
        start_us=BEGIN_US,
    )
    if case.policy == "clairvoyant":
        return play(specs, asked, "soonest", by=Clairvoyant(specs, asked))
    if case.policy == "oracle":
        runs = [figures(specs, asked, each) for each in bounds(specs, asked, START_US)]
        return min(runs, key=lambda each: each.slowdown)
    if case.policy.startswith(NO_QUEUE):
        return play(specs, asked, case.policy.removeprefix(NO_QUEUE), slots=NO_QUEUE_SLOTS)
    return play(specs, asked, case.policy)


def _means(runs: list[Figures]) -> dict[str, Json]:
    names = Figures.__struct_fields__
    return {name: sum(getattr(each, name) for each in runs) / len(runs) for name in names}


def _half_width(runs: list[Figures]) -> float:
    """Return half the width of a 95 % interval of the mean slowdown, by the normal distribution."""
    mean = sum(each.slowdown for each in runs) / len(runs)
    spread = sum((each.slowdown - mean) ** 2 for each in runs) / max(1, len(runs) - 1)
    return 1.96 * sqrt(spread / len(runs))


def _row(case: Case, runs: list[Figures]) -> tuple[str | float, ...]:
    mean = msgspec.convert(_means(runs), Figures, strict=False)
    return (
        case.fleet,
        case.trace,
        case.load,
        case.policy,
        mean.slowdown,
        _half_width(runs),
        mean.slowdown_p95,
        mean.goodput,
        mean.ttft_p95_s,
        mean.cold,
        mean.failed,
        mean.worst_model,
    )


if __name__ == "__main__":
    main()
