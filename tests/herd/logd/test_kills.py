"""logd seals and drops while it is killed at any moment, and a stranger with DuckDB looks on."""

import random
import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path

import duckdb
import pytest

from herd.journal.segments import Journal, Limits
from herd.logd.ingest import restore
from herd.logd.parquet import spans
from herd.logd.sql import write_open_sql
from herd.logd.totals import floor, forget
from herd.paths import DataDir
from tests.herd.journal.sample import at, requests, snapshot
from tests.herd.logd.rig import data_dir, end, rows, store, take_in

BESIDE_S = 1.0
LOGD = f"""
import sys
from pathlib import Path
from herd.logd.retention import Keep, drop_next, unlink_dropped
from herd.logd.seal import unlink_sealed
from herd.paths import DataDir
from herd.processes import logd
for step in (drop_next, unlink_dropped, unlink_sealed):
    step.__kwdefaults__["keep_beside_s"] = {BESIDE_S}
logd.TIDY_EVERY_S = 0.02
logd.PAUSE_S = 0.05
logd.run_logd(DataDir(Path(sys.argv[1])), None, Keep(days=1e6, size_bytes=200_000))
"""


class Writer(threading.Thread):
    """Control's part: appends whole requests until told to stop, and rotates often."""

    def __init__(self, directory: DataDir) -> None:
        super().__init__()
        self.stop = threading.Event()
        self.began = self.received = 0
        """Requests whose write began, and is over."""
        limits = Limits(segment_events=300, reserve_bytes=0)
        self._journal = Journal.open(directory.journal, directory.snapshots, limits)

    def run(self) -> None:
        told = requests()
        while not self.stop.is_set():
            if self._journal.needs_rotation:
                self._journal.rotate(snapshot(self._journal.last_seq + 1))
            first_seq = self._journal.last_seq + 1
            self.began += 10
            self._journal.append([at(first_seq + n, e) for n, e in enumerate(islice(told, 30))])
            self.received = self.began
            time.sleep(0.05)
        self._journal.close()


def look(directory: DataDir, writer: Writer, seen: list[int]) -> None:
    """Ask for the totals: all requests that were there, none twice."""
    with duckdb.connect() as connection:
        connection.execute(directory.open_sql.read_text()).fetchall()
        while not writer.stop.is_set():
            least = writer.received
            try:
                [(found,)] = rows(connection, "SELECT sum(requests)::BIGINT FROM daily")
            except duckdb.IOException as error:
                assert "No such file" in str(error)  # noqa: PT017 (the one allowed outcome)
                continue
            assert least <= (found or 0) <= writer.began
            seen.append(found)


@pytest.mark.long
@pytest.mark.timeout(400)  # up to forty kills, where the machine gives logd little time between
def test_no_request_is_missed_or_counted_twice(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write_open_sql(directory)
    chance = random.Random(11)  # noqa: S311 (when to kill, no secret)
    writer = Writer(directory)
    seen: list[int] = []
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            look(directory, writer, seen)
        except BaseException as error:  # noqa: BLE001 (shown by the test)
            failures.append(error)

    looking = threading.Thread(target=guarded)
    writer.start()
    looking.start()
    try:
        kills = 0
        while kills < 8 or (floor(directory) < 600 and kills < 40):
            process = subprocess.Popen([sys.executable, "-c", LOGD, str(tmp_path)], text=True)
            time.sleep((1.5 + chance.random() * 2.5) * (1 + kills / 20))  # more, if it is slow
            assert end(process, kill=True) == -9
            kills += 1
    finally:
        writer.stop.set()
        writer.join()
        looking.join()
    assert not failures, failures
    assert len(seen) > 20
    assert floor(directory) >= 600
    with store(directory) as db:
        forget(db, directory)
        restore(db, directory.sealed, above_seq=floor(directory))
        take_in(db, directory)
        assert rows(db, "SELECT sum(requests), sum(completed), sum(service_s) FROM daily") == [
            (writer.received, writer.received, 2.0 * writer.received)
        ]
        assert rows(db, "SELECT min(seq) FROM events") == [(floor(directory) + 1,)]
        assert rows(db, "FROM gaps") == rows(db, "FROM quarantine") == []
    assert len(spans(directory.totals)) <= 2
