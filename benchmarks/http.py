"""The data path beside others: small requests, streams and large bodies, in one run, in turn.

Every round measures each target once (A B A B), and what is shown is the median of the rounds. CPU
is that of the whole process tree, with what it puts off (herd's log) waited for.
"""

import argparse
import contextlib
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import msgspec

from benchmarks import bodies, loads, targets
from benchmarks.machine import Json, begin, cpu_s, publish, settled, table, tree_cpu_s
from benchmarks.targets import Target
from herd.http.client import fetch
from herd.platform import run_loop

Start: TypeAlias = Callable[[Path, str], contextlib.AbstractAsyncContextManager[Target]]
"""Starts a target, in a folder, in front of an upstream."""

TWO_FRONTS = "herd, two fronts"
_JSON = ((b"Content-Type", b"application/json"),)


class Plan(msgspec.Struct, frozen=True):
    """How long and how often."""

    rounds: int
    seconds: float
    """Of each load of small requests."""
    tokens: int
    """Of each stream."""


class SmallFigures(msgspec.Struct):
    """Small requests through one target, once."""

    per_s: float
    c64_p50_us: int
    c64_p99_us: int
    c1_per_s: float
    c1_p50_us: int
    c1_p99_us: int
    added_p50_us: int = 0
    added_p99_us: int = 0
    cpu_us: float = 0.0
    """A request, at c=64."""
    parts: dict[str, float] = {}
    """The same of each of herd's processes."""
    errors: int = 0


class StreamFigures(msgspec.Struct):
    """Streams through one target, once."""

    per_s: float
    gap_p50_ms: float
    gap_p99_ms: float
    cpu_us: float
    """A token."""
    errors: str


def _parts(target: Target) -> dict[str, float]:
    if target.herd is None:
        return {}
    return {name: cpu_s(pid) for name, pid in target.herd.pids().items()}


async def _load(target: Target, folder: Path, connections: int, seconds: float) -> loads.Small:
    return await loads.small(
        target.url, folder, connections=connections, seconds=seconds, path=target.path
    )


async def _small(
    target: Target, folder: Path, plan: Plan, direct: SmallFigures | None
) -> SmallFigures:
    if target.pid:
        await settled(target.pid)
    used_s = tree_cpu_s(target.pid)
    parts_s = _parts(target)
    busy = await _load(target, folder, 64, plan.seconds)
    await settled(target.pid)
    used_s = tree_cpu_s(target.pid) - used_s
    after_s = _parts(target)
    calm = await _load(target, folder, 1, plan.seconds)
    return SmallFigures(
        per_s=busy.per_s,
        c64_p50_us=busy.p50_us,
        c64_p99_us=busy.p99_us,
        c1_per_s=calm.per_s,
        c1_p50_us=calm.p50_us,
        c1_p99_us=calm.p99_us,
        added_p50_us=calm.p50_us - direct.c1_p50_us if direct else 0,
        added_p99_us=calm.p99_us - direct.c1_p99_us if direct else 0,
        cpu_us=used_s / busy.requests * 1e6,
        parts={name: (after_s[name] - parts_s[name]) / busy.requests * 1e6 for name in parts_s},
        errors=busy.errors + calm.errors,
    )


async def _streams(target: Target, count: int, tokens: int) -> StreamFigures:
    await settled(target.pid)
    used_s = tree_cpu_s(target.pid)
    seen = await loads.streams(target.url, count=count, tokens=tokens)
    await settled(target.pid)
    return StreamFigures(
        per_s=seen.per_s,
        gap_p50_ms=seen.gap_p50_ms,
        gap_p99_ms=seen.gap_p99_ms,
        cpu_us=(tree_cpu_s(target.pid) - used_s) / seen.tokens * 1e6,
        errors=loads.first_error(seen.errors),
    )


async def _proxies(
    stack: contextlib.AsyncExitStack, folder: Path, upstream: Target, *starts: Start
) -> list[Target]:
    """Start what stands in front of that upstream; say what cannot be had."""
    folder.mkdir(exist_ok=True)
    enter = stack.enter_async_context
    found = [upstream]
    for start in starts:
        try:
            found.append(await enter(start(folder, upstream.url)))
        except targets.MissingError as error:
            print(f"left out: {error}")
    return found


def _one_herd(folder: Path, upstream: str) -> contextlib.AbstractAsyncContextManager[Target]:
    return targets.herd(folder, [upstream])


@contextlib.asynccontextmanager
async def _two_fronts(folder: Path, upstream: str) -> AsyncIterator[Target]:
    place = folder / "two"
    place.mkdir()
    async with targets.herd(place, [upstream], workers=2) as target:
        target.name = TWO_FRONTS
        yield target


_PROXIES: tuple[Start, ...] = (targets.nginx, targets.haproxy, _one_herd)
_SLOW: tuple[Start, ...] = (targets.ollama_herd, targets.litellm)


async def small_requests(folder: Path, plan: Plan) -> dict[str, list[SmallFigures]]:
    """Measure every target in turn, round after round."""
    figures: dict[str, list[SmallFigures]] = {}
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(targets.canned(folder))
        starts = (*_PROXIES, _two_fronts, *_SLOW)
        found = await _proxies(stack, folder / "small", upstream, *starts)
        for target in found:
            await _answers_alike(target, upstream)
            await _load(target, folder, 64, 1)
        for _ in range(plan.rounds):
            direct: SmallFigures | None = None
            for target in found:
                one = await _small(target, folder, plan, direct)
                direct = direct or one
                figures.setdefault(target.name, []).append(one)
    return figures


async def _answers_alike(target: Target, upstream: Target) -> None:
    """Make sure that what is measured is an answer."""
    body = loads.SMALL_BODY.encode()
    answer, wanted = [
        await fetch("POST", one.url + one.path, headers=_JSON, body=body, timeout_s=20.0)
        for one in (target, upstream)
    ]
    assert answer.status == 200, (target.name, answer)
    same = answer.body == wanted.body
    if not same and b"Hello! How can I help you?" not in answer.body:
        raise RuntimeError(f"{target.name} answers {answer.body[:300]!r}")
    if not same:
        print(f"{target.name} changes the answer: {answer.body[:200]!r}...")


async def streams(
    folder: Path, plan: Plan, *, step_s: float, count: int
) -> dict[str, list[StreamFigures]]:
    """Measure every target in turn, round after round."""
    figures: dict[str, list[StreamFigures]] = {}
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(targets.paced(step_s))
        # ollama-herd holds at most 8 requests of a model at a node: nothing to pace
        starts = _PROXIES if step_s else (*_PROXIES, targets.ollama_herd)
        found = await _proxies(stack, folder / f"streams-{step_s}-{count}", upstream, *starts)
        for _ in range(plan.rounds):
            for target in found:
                tokens = plan.tokens // 10 if target.name == "ollama-herd" else plan.tokens
                one = await _streams(target, count, tokens)
                figures.setdefault(target.name, []).append(one)
    return figures


async def large_bodies(folder: Path, plan: Plan) -> dict[str, dict[str, list[bodies.BodyFigures]]]:
    """Measure every target with requests of each size."""
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(bodies.node())
        found = await _proxies(stack, folder / "bodies", upstream, *_PROXIES)
        return await bodies.measure(found, folder, rounds=plan.rounds, seconds=plan.seconds)


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _small_table(figures: dict[str, list[SmallFigures]]) -> str:
    of_nginx = _median([one.per_s for one in figures.get("nginx", figures["direct"])])
    rows: list[list[str | float]] = []
    for name, rounds in figures.items():
        per_s = _median([one.per_s for one in rounds])
        rows.append(
            [
                name,
                per_s,
                f"{per_s / of_nginx:.3f}",
                _median([one.c64_p99_us / 1e3 for one in rounds]),
                _median([one.c1_per_s for one in rounds]),
                _median([one.c1_p50_us for one in rounds]),
                _median([one.c1_p99_us for one in rounds]),
                _median([one.added_p50_us for one in rounds]),
                _median([one.added_p99_us for one in rounds]),
                _median([one.cpu_us / 100 for one in rounds]),
                sum(one.errors for one in rounds),
            ]
        )
    head = (
        "",
        "req/s c=64",
        "x nginx",
        "p99 ms c=64",
        "req/s c=1",
        "p50 us c=1",
        "p99 us c=1",
        "added p50 us",
        "added p99 us",
        "CPU s / 10 k",
        "errors",
    )
    return table("Small requests, not streamed", head, rows)


def _parts_table(name: str, rounds: list[SmallFigures]) -> str:
    names = list(rounds[0].parts)
    rows = [[part, _median([one.parts[part] for one in rounds])] for part in names]
    return table(f"{name}, CPU us a small request at c=64", ("process", "us"), rows)


def _stream_table(title: str, figures: dict[str, list[StreamFigures]]) -> str:
    of_nginx = _median([one.cpu_us for one in figures.get("nginx", figures["direct"])])
    rows: list[list[str | float]] = []
    for name, rounds in figures.items():
        cpu_us = _median([one.cpu_us for one in rounds])
        rows.append(
            [
                name,
                _median([one.per_s for one in rounds]),
                cpu_us,
                f"{cpu_us / of_nginx:.2f}",
                _median([one.gap_p50_ms for one in rounds]),
                _median([one.gap_p99_ms for one in rounds]),
                "; ".join(one.errors for one in rounds if one.errors) or "0",
            ]
        )
    head = ("", "tokens/s", "CPU us / token", "x nginx", "gap p50 ms", "gap p99 ms", "errors")
    return table(title, head, rows)


async def measure(plan: Plan, *, keep: bool) -> None:
    """Measure, show and keep all of it."""
    result: dict[str, Json] = {"machine": begin("http"), "plan": msgspec.to_builtins(plan)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = await small_requests(folder, plan)
        print(_small_table(small))
        for herd in ("herd", TWO_FRONTS):
            print(_parts_table(herd, small[herd]))
        result["small"] = msgspec.to_builtins(small)
        loads_of_streams: list[tuple[str, float, int]] = [
            ("256 streams x 10 ms", 0.01, 256),
            ("512 streams x 10 ms", 0.01, 512),
            ("256 streams, unpaced", 0.0, 256),
        ]
        for title, step_s, count in loads_of_streams:
            seen = await streams(folder, plan, step_s=step_s, count=count)
            print(_stream_table(title, seen))
            result[title] = msgspec.to_builtins(seen)
        large = await large_bodies(folder, plan)
        for size, of_size in large.items():
            print(bodies.shown(size, of_size, _median))
        result["bodies"] = msgspec.to_builtins(large)
    publish("http", result, keep=keep)


Measure = Callable[[], Awaitable[None]]


def main(arguments: list[str] | None = None) -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--quick", action="store_true", help="one short round, nothing kept")
    told = parser.parse_args(arguments)
    plan = Plan(1, 1, 60) if told.quick else Plan(told.rounds, told.seconds, told.tokens)
    run_loop(measure(plan, keep=not told.quick))


if __name__ == "__main__":
    main()
