"""logd as a process: killed at any moment, asked to finish, locked out, asked by a front."""

import asyncio
import multiprocessing
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb
import pytest

from events import decode
from herd.journal.reader import lines
from herd.journal.segments import Journal, Limits
from herd.logd.wire import LogdAwayError, Question, ask
from herd.paths import DataDir
from herd.processes.logd import PAUSE_S, run_logd
from tests.herd.journal.sample import busy_log, snapshot
from tests.herd.logd.rig import append, data_dir, end, logd, rows, store, write

DEADLINE_S = 20.0


def until(directory: DataDir, count: int) -> None:
    """Wait until a running logd has taken in so many events."""
    ends = time.monotonic() + DEADLINE_S
    while time.monotonic() < ends:
        try:
            answer = asyncio.run(ask(directory.logd_socket, Question("log_health")))
        except LogdAwayError:
            time.sleep(0.05)
            continue
        [[last_seq, *_]] = answer.rows
        if isinstance(last_seq, int) and last_seq >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"logd did not get to {count}")


def assert_exactly(directory: DataDir, count: int) -> None:
    with store(directory) as db:
        query = "SELECT count(*), count(DISTINCT seq), min(seq), max(seq) FROM events"
        assert rows(db, query) == [(count, count, 1, count)]
        assert rows(db, "FROM gaps") == rows(db, "FROM quarantine") == []


class Writer(threading.Thread):
    """Control's part: appends until told to stop, and rotates often."""

    def __init__(self, directory: DataDir) -> None:
        super().__init__()
        self.stop = threading.Event()
        self.written = 0
        limits = Limits(segment_events=2_000, reserve_bytes=0)
        self._journal = Journal.open(directory.journal, directory.snapshots, limits)

    def run(self) -> None:
        while not self.stop.is_set():
            if self._journal.needs_rotation:
                self._journal.rotate(snapshot(self._journal.last_seq + 1))
            self._journal.append(busy_log(41, self._journal.last_seq)[1:])
            self.written = self._journal.last_seq
            time.sleep(0.005)
        self._journal.close()


def test_killed_again_and_again_it_takes_in_everything_once(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    chance = random.Random(7)  # noqa: S311 (when to kill, no secret)
    writer = Writer(directory)
    writer.start()
    try:
        for _ in range(8):
            process = logd(directory)
            time.sleep(0.3 + chance.random() * 0.7)
            assert end(process, kill=True) == -9
    finally:
        writer.stop.set()
        writer.join()
    process = logd(directory)
    until(directory, writer.written)
    assert end(process) == 0
    assert writer.written > 10_000
    assert_exactly(directory, writer.written)
    assert [decode(line).seq for line in lines(directory.journal)][-1] == writer.written


def test_asked_to_finish_it_takes_in_the_rest_first(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, busy_log(10))
    process = logd(directory)
    until(directory, 10)
    append(directory, busy_log(20_000)[10:])
    began = time.monotonic()
    assert end(process) == 0
    assert time.monotonic() - began < 5
    assert_exactly(directory, 20_000)
    assert not directory.logd_socket.exists()
    jsonl = directory.jsonl.read_bytes()
    assert jsonl.count(b'"logger":"herd.request"') == 19_999 // 3


def test_a_steady_trickle_makes_few_transactions(tmp_path: Path) -> None:
    """A transaction costs the same for one event as for hundreds."""
    directory = data_dir(tmp_path)
    write(directory, busy_log(10))
    process = logd(directory)
    until(directory, 10)
    began = time.monotonic()
    for seq in range(11, 161):
        append(directory, busy_log(seq)[seq - 1 :])
        time.sleep(0.01)
    until(directory, 160)
    took_s = time.monotonic() - began
    assert end(process) == 0
    with store(directory) as db:
        [(transactions,)] = rows(db, "SELECT count(*) FROM ingested")
        assert transactions <= 2 + took_s / PAUSE_S + 1


def run_spawned(root: Path, alive: Connection) -> None:
    run_logd(DataDir(root), alive)


def test_it_finishes_when_the_supervisor_is_gone(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, busy_log(10))
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    process = context.Process(target=run_spawned, args=(tmp_path, theirs))
    process.start()
    theirs.close()
    until(directory, 10)
    ours.close()
    process.join(5)
    assert process.exitcode == 0
    assert_exactly(directory, 10)


def test_it_waits_while_another_program_has_the_database(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, busy_log(10))
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(directory.database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        process = logd(directory)
        ends = time.monotonic() + DEADLINE_S
        while b"open in another program" not in read(directory.jsonl):
            assert time.monotonic() < ends
            time.sleep(0.05)
        assert process.poll() is None
        other.communicate(b"\n")
    until(directory, 10)
    assert end(process) == 0


def read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def test_a_database_of_another_log_is_made_anew_at_the_next_start(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, busy_log(30))
    with store(directory) as db:
        db.execute(
            "INSERT INTO events SELECT 20, now(), 'x', 1, 's', 0, 0, NULL, NULL, NULL, NULL,"
            " NULL, NULL, NULL, NULL, NULL, '{}'"
        )
    process = logd(directory)
    assert process.wait(10) == 1
    end(process)
    process = logd(directory)
    until(directory, 30)
    assert end(process) == 0
    assert_exactly(directory, 30)


def test_what_a_full_disk_refuses_at_the_start_is_said_in_words(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    directory.open_sql.with_suffix(".tmp").mkdir()  # as good as no room for that file
    process = logd(directory)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "logd has to start anew" in said
    assert "Traceback" not in said


@pytest.fixture
def running(tmp_path: Path) -> Iterator[DataDir]:
    directory = data_dir(tmp_path)
    write(directory, busy_log(31))
    process = logd(directory)
    try:
        until(directory, 31)
        yield directory
    finally:
        end(process)


def test_a_front_gets_named_queries_answered(running: DataDir) -> None:
    counts = asyncio.run(ask(running.logd_socket, Question("counts")))
    assert counts.columns == ["kind", "events"]
    assert counts.rows == [
        ["request_completed", 10],
        ["request_dispatched", 10],
        ["request_received", 10],
        ["state_snapshotted", 1],
    ]
    recent = asyncio.run(ask(running.logd_socket, Question("recent_requests", {"limit": 3})))
    found = [dict(zip(recent.columns, row, strict=True)) for row in recent.rows]
    assert [request["status"] for request in found] == ["completed"] * 3
    assert found[0]["received_at"] == pytest.approx(1_760_000_000.029)


def test_a_front_cannot_send_sql(running: DataDir) -> None:
    for name in ("FROM events", ""):
        with pytest.raises(LogdAwayError, match="no query is named"):
            asyncio.run(ask(running.logd_socket, Question(name)))
    with pytest.raises(LogdAwayError):
        asyncio.run(ask(running.logd_socket, Question("recent_requests", {"limit": "1; DROP"})))


def test_nobody_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(LogdAwayError, match="does not answer"):
        asyncio.run(ask(tmp_path / "logd.sock", Question("counts")))


def test_readers_need_no_lock_while_it_runs(running: DataDir) -> None:
    with pytest.raises(duckdb.IOException, match="lock"):
        duckdb.connect(running.database, read_only=True)
    with duckdb.connect() as connection:
        connection.execute(running.open_sql.read_text())
        assert rows(connection, "SELECT count(*) FROM events") == [(31,)]
