"""kill -9 under live streams: what breaks, and how long until a new request has its first byte.

64 streams run while control is killed again and again, and each time a new request is sent in the
same instant. The same with at least 100,000 events since the last stored state, without streams.
Fronts and the supervisor are killed in herds of their own.
"""

import argparse
import array
import asyncio
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from time import perf_counter

from benchmarks import loads, targets
from benchmarks.loads import Client, address, stream_request
from benchmarks.machine import Json, begin, publish, quantile, table
from herd.journal.files import segments
from herd.paths import DataDir
from herd.platform import run_loop
from herd.processes.supervisor import LONG_LIFE_S
from tests.chaos.running import Herd

STREAMS = 64
STEP_S = 0.05
EVENTS = 100_000
WITHIN_S = 15.0
TRY_AGAIN_S = 0.005
LIVES_S = LONG_LIFE_S + 0.5
"""Between two kills: so much that a restart is no quick death to the supervisor."""


def since_head(directory: DataDir) -> int:
    """Return how many events the newest segment holds."""
    newest = segments(directory.journal)[-1]
    with newest.path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


async def first_byte_s(port: int, since_s: float) -> float:
    """Ask for a short stream, again while nobody listens; return when its first line came."""
    while perf_counter() - since_s < WITHIN_S:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(stream_request(2))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN_S)
            await asyncio.wait_for(reader.readuntil(b'"done":'), WITHIN_S)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            await asyncio.sleep(TRY_AGAIN_S)
            continue
        took_s = perf_counter() - since_s
        writer.close()
        if head.startswith(b"HTTP/1.1 200"):
            return took_s
    raise TimeoutError(f"no answer within {WITHIN_S:g} s")


class Live:
    """Streams that run while something is killed."""

    def __init__(self) -> None:
        """Begin with none."""
        self.ends: list[asyncio.Future[str]] = []
        self.clients: list[Client] = []
        self.gaps = array.array("d")

    async def start(self, url: str, tokens: int) -> None:
        """Start them, and wait until each has had a token."""
        loop = asyncio.get_running_loop()
        request = stream_request(tokens)
        for _ in range(STREAMS):
            ended: asyncio.Future[str] = loop.create_future()
            make = partial(Client, request, tokens + 1, self.gaps, ended)
            _, client = await loop.create_connection(make, *address(url))
            self.ends.append(ended)
            self.clients.append(client)
        while not all(client.tokens or end.done() for client, end in self._pairs()):
            await asyncio.sleep(0.01)

    def broken(self) -> list[str]:
        """Return what went wrong so far."""
        return [error for end in self.ends if end.done() and (error := end.result())]

    def alive(self) -> int:
        """Return how many run."""
        return sum(not end.done() for end in self.ends)

    async def end(self, within_s: float) -> None:
        """Read all of them to their end."""
        await asyncio.wait(self.ends, timeout=within_s)

    def leave(self) -> None:
        """Do not wait for the end."""
        for client in self.clients:
            if client.transport is not None:
                client.transport.abort()

    def _pairs(self) -> "zip[tuple[Client, asyncio.Future[str]]]":
        return zip(self.clients, self.ends, strict=True)


async def _replaced(herd: Herd, name: str, pid: int, since_s: float) -> float:
    await herd.replaced(name, pid)
    return perf_counter() - since_s


async def control_with_a_long_tail(folder: Path, times: int, events: int) -> dict[str, Json]:
    """Kill control with so many events since the last stored state."""
    resumed: list[float] = []
    tails: list[float] = []
    async with (
        targets.canned(folder) as quick,
        targets.herd(folder, [quick.url], slots=64) as target,
    ):
        herd = target.herd
        assert herd is not None
        for _ in range(times):
            while (tail := since_head(herd.directory)) < events:
                await loads.small(target.url, folder, connections=64, seconds=2)
            tails.append(tail)
            pid = herd.kill("control")
            since_s = perf_counter()
            again = asyncio.ensure_future(_replaced(herd, "control", pid, since_s))
            resumed.append(await first_byte_s(herd.port, since_s))
            await again
            await asyncio.sleep(LIVES_S)
    return {"fewest_events": min(tails), "first_byte_s": resumed}


async def control(folder: Path, times: int) -> dict[str, Json]:
    """Kill control under 64 live streams."""
    async with (
        targets.paced(STEP_S) as node,
        targets.herd(folder, [node.url], slots=128) as target,
    ):
        herd = target.herd
        assert herd is not None
        live = Live()
        tokens = round((times * (LIVES_S + 1.0) + 10) / STEP_S)
        await live.start(target.url, tokens)
        resumed: list[float] = []
        replaced: list[float] = []
        for _ in range(times):
            await asyncio.sleep(LIVES_S)
            pid = herd.kill("control")
            since_s = perf_counter()
            again = asyncio.ensure_future(_replaced(herd, "control", pid, since_s))
            resumed.append(await first_byte_s(herd.port, since_s))
            replaced.append(await again)
        alive = live.alive()
        await live.end(tokens * STEP_S + 20)
        broken = live.broken()
        unfinished = live.alive()
        live.leave()
    return {
        "streams": STREAMS,
        "alive_after_the_last_kill": alive,
        "broken": len(broken) + unfinished,
        "errors": broken[:3],
        "gap_p99_ms": quantile(live.gaps, 0.99) * 1e3,
        "gap_max_ms": max(live.gaps) * 1e3,
        "first_byte_s": resumed,
        "replaced_s": replaced,
    }


async def front(folder: Path, times: int) -> dict[str, Json]:
    """Kill one of two fronts; its own streams break, the others do not."""
    resumed: list[float] = []
    replaced: list[float] = []
    broken = survived = 0
    async with (
        targets.paced(STEP_S) as node,
        targets.herd(folder, [node.url], slots=STREAMS, workers=2) as target,
    ):
        herd = target.herd
        assert herd is not None
        for _ in range(times):
            live = Live()
            await live.start(target.url, 10_000)
            pid = herd.kill("front 1")
            since_s = perf_counter()
            # All slots were taken: the new one waits for those that the dead front held.
            again = asyncio.ensure_future(_replaced(herd, "front 1", pid, since_s))
            resumed.append(await first_byte_s(herd.port, since_s))
            replaced.append(await again)
            broken += len(live.broken())
            survived += live.alive()
            live.leave()
            await asyncio.sleep(LIVES_S)
    return {"broken": broken, "survived": survived, "first_byte_s": resumed, "replaced_s": replaced}


async def supervisor(folder: Path, times: int) -> dict[str, Json]:
    """Kill the supervisor; a new `herd run` in the same instant takes over."""
    resumed: list[float] = []
    async with targets.paced(STEP_S) as node, targets.herd(folder, [node.url]) as target:
        herd = target.herd
        assert herd is not None
        for _ in range(times):
            herd.kill("supervisor")
            since_s = perf_counter()
            await asyncio.to_thread(herd.start)
            # The old fronts may still answer: wait for the new ones.
            while "supervisor" not in (pids := herd.pids()) or pids["supervisor"] == target.pid:
                await asyncio.sleep(TRY_AGAIN_S)
            target.pid = pids["supervisor"]
            resumed.append(await first_byte_s(herd.port, since_s))
            await herd.ready(1)
    return {"first_byte_s": resumed}


async def measure(times: int, others: int, events: int, *, keep: bool) -> None:
    """Measure, show and keep all of it."""
    result: dict[str, Json] = {"machine": begin("kills"), "target_s": 1.0}
    rows: list[list[str | float]] = []
    cases: list[tuple[str, Callable[[Path], Awaitable[dict[str, Json]]]]] = [
        ("control", lambda folder: control(folder, times)),
        ("control, long tail", lambda folder: control_with_a_long_tail(folder, others, events)),
        ("front", lambda folder: front(folder, others)),
        ("supervisor", lambda folder: supervisor(folder, others)),
    ]
    for name, case in cases:
        with tempfile.TemporaryDirectory() as folder:
            found = await case(Path(folder))
        result[name] = found
        shown = {key: value for key, value in found.items() if not key.endswith("_s")}
        print(f"{name}: {shown}")
        for what in ("first_byte_s", "replaced_s"):
            values = found.get(what)
            if isinstance(values, list):
                times_s = [float(value) for value in values if isinstance(value, float)]
                some: list[float] = [statistics.median(times_s), quantile(times_s, 0.95)]
                rows.append([f"{name}: {what}", float(len(times_s)), *some, max(times_s)])
    print(table("kill -9, seconds until ...", ("", "times", "p50", "p95", "max"), rows))
    publish("kills", result, keep=keep)


def main(arguments: list[str] | None = None) -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--others", type=int, default=5, help="Kills of fronts and supervisors.")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--quick", action="store_true", help="a few, nothing kept")
    told = parser.parse_args(arguments)
    if told.quick:
        run_loop(measure(2, 1, 10_000, keep=False))
    else:
        run_loop(measure(told.times, told.others, told.events, keep=True))


if __name__ == "__main__":
    main()
