"""One node alone: through herd, against the same requests sent to it at once.

`direct` is the node with its own queue: every request is sent as it comes. Differences are of
pairs: the same seed. In virtual time, so without what the data path itself costs (`benchmarks
http` tells that).
"""

import argparse
from concurrent.futures import ProcessPoolExecutor

from benchmarks.machine import Json, begin, publish, table
from benchmarks.placement.fleets import laptop, studio
from benchmarks.placement.play import BEGIN_US, play
from benchmarks.placement.proof import SEEDS, interval_of, shipped
from benchmarks.placement.workload import arrivals, trace

COUNT = 200
LOADS = (0.3, 0.8)
MAKERS = {"studio": studio, "laptop": laptop}
"""Machines with memory for every model: load is a share of what they could do."""
AT_ONCE = 512
"""Slots by which nobody ever waits in herd."""
BOUND = 1.02


def run(work: tuple[str, float, int]) -> tuple[float, float]:
    """Return the mean slowdown through herd, and of the node itself."""
    name, load, seed = work
    specs = (MAKERS[name](),)
    rows = trace("conv", "held")
    asked = arrivals(specs, rows, load=load, count=COUNT, seed=seed, start_us=BEGIN_US)
    through = play(specs, asked, "soonest", more=shipped())
    direct = play(specs, asked, "least-connections", slots=AT_ONCE)
    return through.slowdown, direct.slowdown


def main() -> None:
    """Compare, and say whether herd is never worse."""
    parser = argparse.ArgumentParser(prog="benchmarks placement.alone", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seeds")
    parser.add_argument("--processes", type=int, default=1)
    told = parser.parse_args()
    seeds = 2 if told.quick else SEEDS
    result: dict[str, Json] = begin("placement.alone") | {"seeds": seeds, "requests": COUNT}
    rows: list[tuple[str | float, ...]] = []
    kept: list[Json] = []
    with ProcessPoolExecutor(told.processes) as pool:
        for name in MAKERS:
            for load in LOADS:
                runs = list(pool.map(run, [(name, load, seed) for seed in range(1, seeds + 1)]))
                low, value, high = interval_of(runs, _ratio)
                met = high <= BOUND
                through = sum(each[0] for each in runs) / seeds
                direct = sum(each[1] for each in runs) / seeds
                case = (name, load, through, direct, value, low, high)
                rows.append((name, str(load), *case[2:], "met" if met else "MISSED"))
                names = ("node", "load", "through", "direct", "ratio", "low", "high", "met")
                kept.append(dict(zip(names, (*case, met), strict=True)))
                print(f"{name}, {load}: {value:.3f}", flush=True)
    head = ("node", "load", "through herd", "direct", "ratio", "95 % from", "to", "")
    print(table(f"One node alone: at most {BOUND}", head, rows))
    publish("placement_alone", result | {"cases": kept}, keep=not told.quick)


def _ratio(runs: list[tuple[float, float]]) -> float:
    return sum(each[0] for each in runs) / sum(each[1] for each in runs)


if __name__ == "__main__":
    main()
