"""Memory and idleness: each process at rest with three nodes, and under 2,000 slow streams.

RSS counts shared pages in every process; PSS shares them out, and is what all of `herd run` costs.
"""

import argparse
import asyncio
import contextlib
import tempfile
from pathlib import Path

import msgspec
import psutil

from benchmarks import loads, targets
from benchmarks.machine import Json, begin, cpu_s, publish, table, tree
from benchmarks.targets import Target
from herd.platform import run_loop
from herd.tasks import spawn

STREAMS = 2_000
MIB = 1 << 20


class Process(msgspec.Struct):
    """One process of `herd run`."""

    rss_mb: float
    pss_mb: float
    cpu_share: float = 0.0
    """Of one core."""


def _named(target: Target) -> dict[str, psutil.Process]:
    assert target.herd is not None
    names = {pid: name for name, pid in target.herd.pids().items()}
    return {names.get(one.pid, "other"): one for one in tree(target.pid)}


def _memory(target: Target) -> dict[str, Process]:
    found: dict[str, Process] = {}
    for name, process in _named(target).items():
        memory = process.memory_full_info()
        pss: int = getattr(memory, "pss", memory.uss)
        found[name] = Process(rss_mb=memory.rss / MIB, pss_mb=pss / MIB)
    return found


async def idle(folder: Path, seconds: float) -> dict[str, Process]:
    """Watch herd do nothing, with three nodes."""
    async with contextlib.AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(targets.paced(1.0)) for _ in range(3)]
        target = await stack.enter_async_context(targets.herd(folder, [n.url for n in nodes]))
        await asyncio.sleep(6.0)
        processes = _named(target)
        before = {name: cpu_s(one.pid) for name, one in processes.items()}
        await asyncio.sleep(seconds)
        found = _memory(target)
        for name, one in processes.items():
            found[name].cpu_share = (cpu_s(one.pid) - before[name]) / seconds
    return found


async def slow_streams(
    folder: Path, count: int, tokens: int
) -> tuple[dict[str, Process], list[str]]:
    """Hold so many streams of a token a second; return the most that each process took."""
    most: dict[str, Process] = {}

    async def watch(target: Target) -> None:
        while True:
            await asyncio.sleep(1.0)
            for name, now in _memory(target).items():
                if name not in most or now.rss_mb > most[name].rss_mb:
                    most[name] = now

    async with targets.paced(1.0) as node, targets.herd(folder, [node.url], slots=4096) as target:
        watching = spawn(watch(target), name="watch")
        seen = await loads.streams(target.url, count=count, tokens=tokens)
        watching.cancel()
        print(f"{seen.tokens:,} tokens in {seen.seconds:.1f} s, gap p99 {seen.gap_p99_ms:.0f} ms")
    return most, seen.errors


def _rows(found: dict[str, Process]) -> list[list[str | float]]:
    rows: list[list[str | float]] = [
        [name, one.rss_mb, one.pss_mb, 100 * one.cpu_share] for name, one in found.items()
    ]
    for title, left_out in (("all", ""), ("all but logd", "logd")):
        some = [one for name, one in found.items() if name != left_out]
        sums: list[float] = [sum(one.rss_mb for one in some), sum(one.pss_mb for one in some)]
        rows.append([title, *sums, 100 * sum(one.cpu_share for one in some)])
    return rows


async def measure(seconds: float, count: int, tokens: int, *, keep: bool) -> None:
    """Measure, show and keep all of it."""
    result: dict[str, Json] = {"machine": begin("memory")}
    head = ("", "RSS MiB", "PSS MiB", "CPU %")
    with tempfile.TemporaryDirectory() as name:
        found = await idle(Path(name), seconds)
    print(table(f"Idle, 3 nodes, {seconds:.0f} s", head, _rows(found)))
    result["idle"] = msgspec.to_builtins(found)
    with tempfile.TemporaryDirectory() as name:
        busy, errors = await slow_streams(Path(name), count, tokens)
    print(table(f"{count:,} streams, a token a second each", head, _rows(busy)))
    print(f"\nerrors: {loads.first_error(errors) or 0}")
    result |= {"streams": msgspec.to_builtins(busy), "errors": len(errors)}
    publish("memory", result, keep=keep)


def main(arguments: list[str] | None = None) -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--tokens", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="short, nothing kept")
    told = parser.parse_args(arguments)
    if told.quick:
        run_loop(measure(3, 500, 4, keep=False))
    else:
        run_loop(measure(told.seconds, told.streams, told.tokens, keep=True))


if __name__ == "__main__":
    main()
