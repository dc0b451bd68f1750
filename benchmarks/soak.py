"""An hour with everything going wrong, and its log held against what the clients were told.

What goes wrong, and what must come out right all the same, is in `tests/chaos`: this runs it for
longer than CI can, and keeps the figures. `--quick` is the size that CI runs.
"""

import argparse
import json
import secrets
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.machine import Json, begin, free_port, publish, table
from herd.platform import run_loop
from tests.chaos.soak import LONG, SHORT, Size, Soak


def soak(folder: Path, size: Size, seed: int, *, keep: bool) -> bool:
    """Run it, show and keep what was found; return whether all was right."""
    result: dict[str, Json] = {"machine": begin("soak")}
    one = Soak(folder, size, seed, free_port())
    run_loop(one.run())
    figures = one.figures()
    result |= figures
    rows = [[key, json.dumps(value)] for key, value in figures.items() if key != "recovery_s"]
    print(table("everything at once", ("", "found"), rows))
    recovered = [
        [who, float(each["times"]), each["p50"], each["p99"]]
        for who, each in sorted(figures["recovery_s"].items())
    ]
    print(table("seconds until somebody is answered again", ("", "times", "p50", "p99"), recovered))
    for wrong in one.verdict.wrong[:20]:
        print(f"WRONG: {wrong}")
    publish("soak", result, keep=keep)
    return not one.verdict.wrong


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=LONG.kills, help="at least, if there is time")
    parser.add_argument("--minutes", type=float, help="at most  [default: 60]")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--folder", type=Path, help="keep the log here")
    parser.add_argument("--quick", action="store_true", help="as in CI, nothing kept")
    told = parser.parse_args(arguments)
    size = SHORT if told.quick else replace(LONG, kills=told.kills)
    if told.minutes is not None:
        size = replace(size, most_s=60 * told.minutes, least_s=min(size.least_s, 60 * told.minutes))
    folder = told.folder or Path(tempfile.mkdtemp(prefix="herd-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {told.seed}, in {folder}", flush=True)
    good = soak(folder, size, told.seed, keep=not told.quick)
    if good and told.folder is None:
        shutil.rmtree(folder)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
