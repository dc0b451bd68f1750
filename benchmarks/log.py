"""The log: what logd costs for 1,000 events, and how soon an event can be read in DuckDB.

* Alone: logd finds a journal of so many events and takes it in.
* Beside herd at 1,000 requests a second: logd is asked every 50 ms for the newest event that a
  query sees; the journal tells when that one was recorded. CPU is that of the time before the
  questions begin.
* Sealed: what a million events take on the disk, with ids and durations as unlike one another as
  they are in earnest.
"""

import argparse
import asyncio
import bisect
import contextlib
import random
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import cast

import msgspec

from actors.run_queue import fold_envelope
from benchmarks import core, loads, targets
from benchmarks.loads import SMALL_BODY, address
from benchmarks.machine import Json, begin, cpu_s, end_of, publish, quantile, settled, table
from events import Recorded, RequestCompleted, RequestDispatched, RequestId, RequestReceived
from herd.clock import wall_s
from herd.control.restore import head_of_segment
from herd.ids import RequestIds
from herd.journal.files import segments
from herd.journal.segments import Journal
from herd.logd.ingest import Ingest
from herd.logd.parquet import prepare, span_path, spans
from herd.logd.seal import NEWEST_KEPT, seal_next
from herd.logd.store import open_store
from herd.logd.wire import LogdAwayError, Question, ask
from herd.paths import DataDir
from herd.platform import run_loop
from herd.tasks import spawn
from tests.chaos.running import journal

CONNECTIONS = 40
BATCH = 256
_LOGD = """
import sys
from pathlib import Path
from herd.paths import DataDir
from herd.processes.logd import run_logd
run_logd(DataDir(Path(sys.argv[1])), None)
"""


class Paced(asyncio.Protocol):
    """One connection that sends a small request at every turn, if the last one was answered."""

    def __init__(self, first_s: float, every_s: float) -> None:
        """Begin when connected."""
        self._loop = asyncio.get_running_loop()
        self._at_s = self._loop.time() + first_s
        self._every_s = every_s
        self._transport: asyncio.Transport | None = None
        body = SMALL_BODY.encode()
        head = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        self._request = head % len(body) + body
        self._waiting = False
        self.answered = 0
        self.skipped = 0
        """Turns at which the last answer had not come."""
        self.wrong = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._loop.call_at(self._at_s, self._turn)

    def data_received(self, data: bytes) -> None:
        """Count; a small answer comes in one piece."""
        self._waiting = False
        if data.startswith(b"HTTP/1.1 200"):
            self.answered += 1
        else:
            self.wrong += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        del exc
        self._transport = None

    def _turn(self) -> None:
        if self._transport is None:
            return
        self._at_s += self._every_s
        self._loop.call_at(self._at_s, self._turn)
        if self._waiting:
            self.skipped += 1
        else:
            self._waiting = True
            self._transport.write(self._request)


def _take_in(events: int) -> dict[str, float]:
    """Let a fresh logd take in a journal, and count its CPU."""
    made = core.Core(2, 16, core.pure)
    core.serve(made, events // 3, 8)
    with tempfile.TemporaryDirectory() as name:
        directory = DataDir(Path(name))
        directory.create()
        written = Journal.open(directory.journal, directory.snapshots)
        written.rotate(made.log[0])
        for at in range(1, len(made.log), BATCH):
            written.append(made.log[at : at + BATCH])
        written.close()
        process = subprocess.Popen([sys.executable, "-c", _LOGD, name])
        try:
            began = perf_counter()
            while (there := asyncio.run(_newest(directory))) < 1:
                time.sleep(0.002)
            first_s, first_cpu_s = perf_counter() - began, cpu_s(process.pid)
            while asyncio.run(_newest(directory)) < made.log[-1].seq:
                time.sleep(0.05)
            seconds = perf_counter() - began - first_s
            time.sleep(1.0)
            used_s = cpu_s(process.pid) - first_cpu_s
        finally:
            end_of(process)
    count = len(made.log) - there
    return {
        "events": count,
        "events_per_s": count / seconds,
        "cpu_ms_per_1000": used_s / count * 1e6,
        "first_seen_after_start_s": first_s,
    }


def _sealed(events: int) -> dict[str, float]:
    """Seal so many events in groups, as logd does; return what they take."""
    made = core.Core(4, 16, core.pure)
    chance = random.Random(1)  # noqa: S311 (durations, no secret)
    ids = RequestIds(lambda: made.now_us / 1e6)
    with tempfile.TemporaryDirectory() as name:
        directory = DataDir(Path(name))
        directory.create()
        prepare(directory)
        written = Journal.open(directory.journal, directory.snapshots)
        written.rotate(made.log[0])
        written.append(made.log[1:])
        count = 0
        while count < events or len(segments(directory.journal)) < NEWEST_KEPT + 1:
            made.log.clear()
            if written.needs_rotation:
                head = head_of_segment(made.state, made.now_us)
                fold_envelope(made.state, head)
                written.rotate(head)
            core.serve(made, BATCH, 24)
            written.append(_in_earnest(made.log, ids, chance))
            count = written.last_seq
        written.close()
        found = segments(directory.journal)
        journal_bytes = sum(segment.path.stat().st_size for segment in found[:-NEWEST_KEPT])
        with contextlib.closing(open_store(directory.database)) as connection:
            ingest = Ingest(connection, directory.journal)
            while ingest.step() is not None:
                pass
            began, began_cpu_s = perf_counter(), time.process_time()
            while seal_next(connection, directory, ingest.position.first_seq, wall_s()):
                pass
            seconds, used_s = perf_counter() - began, time.process_time() - began_cpu_s
        sealed = spans(directory.sealed)
        size_bytes = sum(span_path(directory.sealed, span).stat().st_size for span in sealed)
        count = sealed[-1].last_seq
    return {
        "events": count,
        "files": len(sealed),
        "journal_mb_per_million": journal_bytes / count,
        "sealed_mb_per_million": size_bytes / count,
        "seconds": seconds,
        "cpu_ms_per_1000": used_s / count * 1e6,
    }


def _in_earnest(records: list[Recorded], ids: RequestIds, chance: random.Random) -> list[Recorded]:
    """Return the records with real ids and durations, and requests of several clients."""
    real: dict[str, RequestId] = {}
    found: list[Recorded] = []
    for record in records:
        event, more = record.event, dict[str, object]()
        if isinstance(event, RequestReceived):
            real[event.request_id] = ids.next()
            client = f"192.0.2.{chance.randrange(40)}"
            more = {"client": client, "body_bytes": chance.randrange(200, 40_000)}
        elif isinstance(event, RequestDispatched):
            more = {"queue_s": round(chance.expovariate(4), 6)}
        elif isinstance(event, RequestCompleted):
            more = {
                "ttft_s": round(chance.lognormvariate(-1.5, 0.8), 6),
                "service_s": round(chance.lognormvariate(1.0, 0.8), 6),
                "prompt_tokens": chance.randrange(10, 8_000),
                "completion_tokens": chance.randrange(1, 900),
                "usage_source": "reported",
                "finish": "stop",
            }
        if isinstance(event, RequestReceived | RequestDispatched | RequestCompleted):
            event = msgspec.structs.replace(event, request_id=real[event.request_id], **more)
        found.append(msgspec.structs.replace(record, event=event))
    return found


async def _newest(directory: DataDir) -> int:
    """Return the newest event that a query sees; 0 while there is none."""
    with contextlib.suppress(LogdAwayError):
        answer = await ask(directory.logd_socket, Question("log_health"))
        newest = answer.rows[0][0]
        return newest if isinstance(newest, int) else 0
    return 0


async def _watch(directory: DataDir, seen: list[tuple[float, int]]) -> None:
    while True:
        newest = await _newest(directory)
        seen.append((wall_s(), newest))
        await asyncio.sleep(0.05)


async def _freshness(folder: Path, per_s: int, seconds: float) -> dict[str, float]:
    """Serve so many requests a second, and look how far behind the database is."""
    loop = asyncio.get_running_loop()
    seen: list[tuple[float, int]] = []
    async with targets.canned(folder) as node, targets.herd(folder, [node.url]) as target:
        herd = target.herd
        assert herd is not None
        await settled(target.pid)
        pids = herd.pids()
        used_s = {name: cpu_s(pid) for name, pid in pids.items()}
        every_s = CONNECTIONS / per_s
        made = [
            await loop.create_connection(
                partial(Paced, every_s * number / CONNECTIONS, every_s), *address(target.url)
            )
            for number in range(CONNECTIONS)
        ]
        await asyncio.sleep(seconds / 2)
        used_s = {name: cpu_s(pid) - used_s[name] for name, pid in pids.items()}
        unwatched = sum(client.answered for _, client in made)
        began_at = wall_s()
        watching = spawn(_watch(herd.directory, seen), name="watch")
        await asyncio.sleep(seconds / 2)
        ended_at = wall_s()
        for transport, _ in made:
            transport.abort()
        await asyncio.sleep(2.5)
        watching.cancel()
    log = [
        record
        for record in journal(herd.directory)
        if began_at * 1e6 <= record.recorded_at <= ended_at * 1e6
    ]
    newest = [seq for _, seq in seen]
    late: list[float] = []
    for record in log:
        at = bisect.bisect_left(newest, record.seq)
        late.append(seen[at][0] - record.recorded_at / 1e6 if at < len(seen) else float("inf"))
    answered = sum(client.answered for _, client in made)
    return {
        "requests_per_s": answered / seconds,
        "wrong": sum(client.wrong for _, client in made),
        "skipped": sum(client.skipped for _, client in made),
        "fresh_p50_s": quantile(late, 0.5),
        "fresh_p95_s": quantile(late, 0.95),
        "fresh_max_s": max(late),
        "logd_cpu_ms_per_1000_events": used_s["logd"] / unwatched / 3 * 1e6,
        "logd_cpu_share_of_a_core": used_s["logd"] / (seconds / 2),
        "control_cpu_us_per_request": used_s["control"] / unwatched * 1e6,
        "front_cpu_us_per_request": used_s["front 1"] / unwatched * 1e6,
    }


async def _loaded(folder: Path, seconds: float) -> dict[str, float]:
    """Serve as fast as it goes; return what was recorded, and when logd had all of it."""
    async with targets.canned(folder) as node, targets.herd(folder, [node.url]) as target:
        herd = target.herd
        assert herd is not None
        await settled(target.pid)
        used_s = cpu_s(herd.pids()["logd"])
        first = await _newest(herd.directory)
        busy = await loads.small(target.url, folder, connections=64, seconds=seconds)
        ended = perf_counter()
        await asyncio.sleep(0.1)
        last = journal(herd.directory)[-1].seq
        while await _newest(herd.directory) < last:
            await asyncio.sleep(0.05)
        behind_s = perf_counter() - ended
        await settled(target.pid)
        used_s = cpu_s(herd.pids()["logd"]) - used_s
    return {
        "requests_per_s": busy.per_s,
        "events_per_s": (last - first) / (busy.microseconds / 1e6),
        "caught_up_after_s": behind_s,
        "logd_cpu_ms_per_1000": used_s / (last - first) * 1e6,
        "errors": busy.errors,
    }


def measure(events: int, seconds: float, *, keep: bool) -> None:
    """Measure, show and keep all of it."""
    result: dict[str, Json] = {"machine": begin("log")}
    cases: dict[str, dict[str, float]] = {"logd alone": _take_in(events)}
    cases["sealed"] = _sealed(1_000_000 if keep else events)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("fresh", "loaded"):
            (folder / part).mkdir()
        cases["1,000 requests a second"] = run_loop(_freshness(folder / "fresh", 1_000, seconds))
        cases["as fast as it goes, c=64"] = run_loop(_loaded(folder / "loaded", seconds))
    for title, found in cases.items():
        print(table(title, ("", "figure"), list(found.items())))
    result |= dict(cases)
    publish("log", result, keep=keep)


def main(arguments: list[str] | None = None) -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.log", description=__doc__)
    parser.add_argument("--events", type=int, default=240_000)
    parser.add_argument("--seconds", type=float, default=16)
    parser.add_argument("--quick", action="store_true", help="short, nothing kept")
    parser.add_argument("--sealed", action="store_true", help="only the size, nothing kept")
    told = parser.parse_args(arguments)
    if told.sealed:
        print(table("sealed", ("", "figure"), list(_sealed(1_000_000).items())))
        return
    if told.quick:
        measure(30_000, 3, keep=False)
    else:
        measure(told.events, told.seconds, keep=True)


if __name__ == "__main__":
    main()
