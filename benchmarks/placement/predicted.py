"""What clients are told of their answers beforehand, against what came true.

Of every request that was completed: the time from its dispatch to its last byte, as it was said in
its headers and as it was. `held` slices, from a cold start, so that learning counts as well; with
and without what the last answers tell (decision 0026).
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from math import exp, log
from typing import NamedTuple

from benchmarks.machine import Json, begin, publish, table
from benchmarks.placement.play import play
from benchmarks.placement.proof import Case, shipped, workload
from events import Recorded, RequestCompleted, RequestDispatched, RequestId

SEEDS = 12
NEAR, NEARER = 0.5, 0.2
CASES = (
    Case("home", "conv", 0.3),
    Case("home", "conv", 0.8),
    Case("home", "conv", 1.2),
    Case("office", "conv", 0.3),
    Case("office", "conv", 0.8),
    Case("home", "code", 0.3),
)


class Told(NamedTuple):
    """Of one request, in seconds."""

    whole_s: float
    least_s: float
    most_s: float
    took_s: float


class _Listener:
    def __init__(self) -> None:
        self.told: list[Told] = []
        self._sent: dict[RequestId, RequestDispatched] = {}

    def observe(self, record: Recorded) -> None:
        event = record.event
        if isinstance(event, RequestDispatched):
            self._sent[event.request_id] = event
        elif isinstance(event, RequestCompleted):
            sent = self._sent.pop(event.request_id)
            said = sent.predicted_s, sent.predicted_least_s, sent.predicted_most_s
            self.told.append(Told(*said, event.service_s))


def run(work: tuple[Case, int, bool]) -> list[Told]:
    """Return what was told in one run."""
    case, seed, last = work
    listener = _Listener()
    specs, asked = workload(case, "held", seed)
    more = shipped() | {"lengths_by_last": last}
    play(specs, asked, "soonest", more=more, also=listener.observe)
    return listener.told


def shares(told: list[Told]) -> dict[str, float]:
    """Return how much of it came true, and how wide the ranges are."""
    n = len(told)
    off = [abs(each.whole_s - each.took_s) / each.took_s for each in told]
    width = sum(log(each.most_s / max(0.001, each.least_s)) for each in told) / n
    return {
        "within 20 %": sum(each <= NEARER for each in off) / n,
        "within 50 %": sum(each <= NEAR for each in off) / n,
        "in its range": sum(each.least_s <= each.took_s <= each.most_s for each in told) / n,
        "upper over lower end": exp(width),
    }


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks placement.predicted", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    seeds = range(1, 2 if args.quick else 1 + SEEDS)
    result: dict[str, Json] = begin("placement.predicted") | {"seeds": len(seeds)}
    rows: list[tuple[str | float, ...]] = []
    kept: list[Json] = []
    with ProcessPoolExecutor(args.processes) as pool:
        for case in CASES:
            name = f"{case.fleet}, {case.trace}, {case.load:.0%}"
            for last in (False, True):
                runs = pool.map(run, [(case, seed, last) for seed in seeds])
                found = shares([each for told in runs for each in told])
                label = f"{name}, {'last answers' if last else 'multiples alone'}"
                rows.append((label, *(f"{each:.2f}" for each in found.values())))
                kept.append({"case": name, "lengths_by_last": last, **found})
                print(*rows[-1], flush=True)
    print(table("What was said, and what it was", ("", *found), rows))
    publish("placement_predicted", result | {"cases": kept}, keep=not args.quick)


if __name__ == "__main__":
    main()
