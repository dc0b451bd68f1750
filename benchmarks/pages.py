"""The dashboard's routes with a long log: how long each takes to answer.

A log of so many events is written as control would write it, over the last two weeks: requests of
many applications for many models on eight nodes, one in a hundred failed. A whole `herd run` takes
it in. Then every route below `/dashboard/api` and `/fleet` that only tells is asked in turn, many
times, by one client that waits for each answer. What a front keeps for a second is too old each
time; the past of an event (`past?seq=`) is left out, since a process of its own replays it.
"""

import argparse
import asyncio
import contextlib
import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Final, cast
from urllib.parse import quote

import msgspec
import psutil

from actors.run_queue import fold_envelope
from benchmarks import core
from benchmarks.machine import Json, begin, free_port, publish, quantile, settled, table
from events import (
    Event,
    Recorded,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestId,
    RequestReceived,
)
from herd.clock import wall_s
from herd.control.restore import head_of_segment
from herd.http.client import FetchError, fetch
from herd.http.history import KEPT_S
from herd.http.parameters import LARGEST
from herd.ids import RequestIds
from herd.journal.segments import Journal
from herd.logd.rollup import LEAST
from herd.logd.wire import LogdAwayError, Question, ask
from herd.paths import DataDir
from herd.platform import run_loop
from tests.chaos.running import Herd

AIM_S: Final = 0.1
SPAN_S: Final = 14 * 86_400
NODES: Final = 8
MODELS: Final = tuple(f"model{number}:{number}b" for number in range(1, 13))
APPS: Final = tuple(f"app{number}" for number in range(30))
BATCH: Final = 256
ROUTES: Final = (
    *("/fleet/status", "/fleet/queue", "/fleet/limits", "/fleet/pin"),
    *("/dashboard/api/overview", "/dashboard/api/usage", "/dashboard/api/usage?days=30"),
    *("/dashboard/api/trends", "/dashboard/api/trends?hours=720"),
    *("/dashboard/api/models", "/dashboard/api/models?days=30"),
    *("/dashboard/api/apps", "/dashboard/api/apps?days=30", "/dashboard/api/apps/daily"),
    *("/dashboard/api/tags", "/dashboard/api/tags/daily", "/dashboard/api/tags/daily?days=30"),
    *("/dashboard/api/context-usage", "/dashboard/api/context-usage?days=30"),
    *("/dashboard/api/traces?limit=20", "/dashboard/api/traces?limit=200"),
    *("/dashboard/api/traces?status=failed", "/dashboard/api/traces?model={model}&node={node}"),
    *("/dashboard/api/traces?before={middle}", "/dashboard/api/decisions"),
    *("/dashboard/api/requests/{request}", "/dashboard/api/requests/{old_request}"),
    *("/dashboard/api/health", "/dashboard/api/recommendations", "/dashboard/api/settings"),
    *("/dashboard/api/model-management", "/dashboard/api/pull", "/dashboard/api/pinned-models"),
    *("/dashboard/api/benchmarks", "/dashboard/api/benchmarks/progress"),
    *("/dashboard/api/past", "/metrics", "/openapi.json", "/fleet/keys", "/fleet/nodes"),
)


class Written(msgspec.Struct):
    """What of a log is asked for by name."""

    last: int = 0
    middle: int = 0
    request: str = ""
    old_request: str = ""


def write(directory: DataDir, events: int) -> Written:
    """Write so many events, and return what they are called."""
    made = core.Core(NODES, 16, core.pure)
    chance = random.Random(1)  # noqa: S311 (durations, no secret)
    began_us = int((wall_s() - SPAN_S) * 1e6)
    step_us = int(SPAN_S * 1e6 / events)
    disguise = Disguise(chance, lambda: (began_us + made.state.seq * step_us) / 1e6)
    directory.create()
    journal = Journal.open(directory.journal, directory.snapshots)
    found = Written()
    while found.last < events:
        if journal.needs_rotation or not found.last:
            head = head_of_segment(made.state, made.now_us)
            if found.last:
                fold_envelope(made.state, head)
            else:
                head = made.log.pop(0)
            journal.rotate(_at(head, began_us + head.seq * step_us))
        core.serve(made, BATCH, 24, seed=found.last)
        records = [_at(record, began_us + record.seq * step_us) for record in disguise.of(made.log)]
        journal.append(records)
        made.log.clear()
        found.last = records[-1].seq
        found.request = disguise.last
        if not found.middle and found.last > events // 2:
            found.middle, found.old_request = found.last, found.request
    journal.close()
    return found


class Disguise:
    """Makes requests of the benchmark's core look like those of a fleet."""

    def __init__(self, chance: random.Random, now_s: Callable[[], float]) -> None:
        """Draw from `chance`; ids are made at `now_s`."""
        self._chance = chance
        self._ids = RequestIds(now_s)
        self._real: dict[str, tuple[RequestId, str]] = {}
        self.last = ""

    def of(self, records: list[Recorded]) -> Iterator[Recorded]:
        """Yield each with another id, model and size."""
        for record in records:
            event = record.event
            if isinstance(event, RequestReceived | RequestDispatched | RequestCompleted):
                event = self._changed(event)
            yield msgspec.structs.replace(record, event=event)

    def _changed(self, event: RequestReceived | RequestDispatched | RequestCompleted) -> Event:
        chance = self._chance
        if isinstance(event, RequestReceived):
            model = MODELS[min(int(chance.expovariate(0.4)), len(MODELS) - 1)]
            real = self._real[event.request_id] = (self._ids.next(), model)
            self.last = real[0]
            app = chance.choice(APPS)
            more: dict[str, object] = {"app": app, "client": f"192.0.2.{chance.randrange(40)}"}
            more |= {"tags": (app, "team:a"), "body_bytes": chance.randrange(200, 40_000)}
        elif isinstance(event, RequestDispatched):
            real = self._real[event.request_id]
            more = {"queue_s": round(chance.expovariate(4), 6), "cold": chance.random() < 0.002}
        else:
            real = self._real.pop(event.request_id)
            if chance.random() < 0.01:
                return RequestFailed(
                    request_id=real[0],
                    model=real[1],
                    phase="stream",
                    fault="node",
                    status=502,
                    node_id=event.node_id,
                    lease=event.lease,
                    error="the node closed the connection",
                )
            ttft_s = round(chance.lognormvariate(-1.5, 0.8), 6)
            more = {
                "ttft_s": ttft_s,
                "service_s": round(ttft_s + chance.lognormvariate(1.0, 0.8), 6),
                "prompt_tokens": chance.randrange(10, 8_000),
                "completion_tokens": chance.randrange(1, 900),
                "usage_source": "reported",
                "finish": "stop",
            }
        changed = msgspec.structs.replace(event, request_id=real[0], model=real[1], **more)
        return cast("Event", changed)


def _at(record: Recorded, at_us: int) -> Recorded:
    return msgspec.structs.replace(record, recorded_at=at_us)


async def _taken_in(directory: DataDir, last: int) -> float:
    """Return how long it took until the database had all, and had counted it."""
    began = perf_counter()
    while True:
        await asyncio.sleep(0.5)
        with contextlib.suppress(LogdAwayError):
            answer = await ask(directory.logd_socket, Question("log_span"))
            _, newest, counted = cast("list[int]", answer.rows[0])
            if newest >= last and newest - counted <= LEAST:
                return perf_counter() - began


async def _asked(url: str, path: str) -> tuple[int, int, float]:
    """Ask a route; return the status, the length, and how long it took."""
    began = perf_counter()
    try:
        answer = await fetch("GET", url + path, timeout_s=30.0)
    except FetchError:
        return 0, 0, float("inf")
    return answer.status, len(answer.body), perf_counter() - began


def _user_s(pids: Iterable[int]) -> float:
    """Return the user CPU of some processes."""
    return math.fsum(psutil.Process(pid).cpu_times().user for pid in pids)


async def _rounds(herd: Herd, routes: dict[str, str], times: int) -> dict[str, Json]:
    """Ask each route once in each round; no round finds an answer of the one before kept."""
    took_s: dict[str, list[float]] = {route: [] for route in routes}
    user_s = dict.fromkeys(routes, 0.0)
    last: dict[str, tuple[int, int]] = {}
    pids = herd.pids().values()
    for _ in range(times):
        began = perf_counter()
        for route, path in routes.items():
            user_s[route] -= _user_s(pids)
            status, size, spent_s = await _asked(herd.url, path)
            user_s[route] += _user_s(pids)
            took_s[route].append(spent_s)
            last[route] = status, size
        await asyncio.sleep(max(0.0, began + KEPT_S + 0.1 - perf_counter()))
    return {
        route: {
            "status": last[route][0],
            "bytes": last[route][1],
            "p50_ms": round(quantile(spent, 0.5) * 1e3, 1),
            "p95_ms": round(quantile(spent, 0.95) * 1e3, 1),
            "max_ms": round(max(spent) * 1e3, 1),
            "user_ms": round(user_s[route] / times * 1e3, 1),
        }
        for route, spent in took_s.items()
    }


async def _found(url: str) -> Written:
    """Return what of a log that is there is asked for by name."""
    last, request = await _newest(url, LARGEST)
    middle, old_request = await _newest(url, last // 2)
    return Written(last, middle, request, old_request)


async def _newest(url: str, before: int) -> tuple[int, str]:
    """Return the newest row of the traces before an event: its number, and its request."""
    path = f"/dashboard/api/traces?limit=1&before={before}"
    answer = await fetch("GET", url + path, timeout_s=30.0)
    [row] = msgspec.json.decode(answer.body)["traces"]
    return row["id"], row["request_id"]


async def _measured(directory: DataDir, written: Written | None, times: int) -> dict[str, Json]:
    port = free_port()
    herd = Herd(directory.root, [], port=port)
    herd.start()
    try:
        await herd.ready(0, timeout_s=120.0)
        taken_s = await _taken_in(directory, written.last if written else 1)
        await settled(herd.pids()["supervisor"], within_s=300.0)
        if written is None:
            written = await _found(herd.url)
        names = msgspec.structs.asdict(written)
        names |= {"model": quote(MODELS[0]), "node": "node1"}
        paths = {route: route.format(**names) for route in ROUTES}
        routes = await _rounds(herd, paths, times)
    finally:
        herd.stop()
    size = sum(each.stat().st_size for each in directory.root.rglob("*") if each.is_file())
    return {
        "events": written.last,
        "taken_in_s": round(taken_s, 1),
        "log_mb": round(size / 1e6),
        "load_1_min_after": round(os.getloadavg()[0], 2),
        "routes": routes,
    }


def measure(directory: DataDir, events: int, times: int, *, keep: bool) -> None:
    """Measure, show and keep all of it; of a log that is there if no events are to be written."""
    result: dict[str, Json] = {"machine": begin("pages"), "aim_ms": AIM_S * 1e3}
    began = time.monotonic()
    written = write(directory, events) if events else None
    if written is not None:
        print(f"wrote {written.last:,} events in {time.monotonic() - began:.0f} s", flush=True)
    found = run_loop(_measured(directory, written, times))
    routes = cast("dict[str, dict[str, float]]", found["routes"])
    rows = [(route, *each.values()) for route, each in routes.items()]
    head = ("route", "status", "bytes", "p50 ms", "p95 ms", "max ms", "user ms")
    print(table("routes", head, rows))
    slow = [route for route, each in routes.items() if each["p50_ms"] > AIM_S * 1e3]
    print(f"\nabove {AIM_S * 1e3:.0f} ms: {', '.join(slow) or 'none'}")
    publish("pages", result | found, keep=keep)


def main(arguments: list[str] | None = None) -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="a short log, nothing kept")
    parser.add_argument("--kept", type=Path, metavar="DIR", help="a data directory that has a log")
    told = parser.parse_args(arguments)
    events, times = (100_000, 3) if told.quick else (told.events, told.times)
    if told.kept is not None:
        measure(DataDir(told.kept), 0, times, keep=not told.quick)
        return
    with tempfile.TemporaryDirectory() as name:
        measure(DataDir(Path(name) / "herd"), events, times, keep=not told.quick)


if __name__ == "__main__":
    main()
