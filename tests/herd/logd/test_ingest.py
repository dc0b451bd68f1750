"""From the journal into DuckDB: all of it, once, whatever it looks like."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from events import Recorded, encode
from herd.journal.files import segment_path
from herd.logd.ingest import DisagreementError, Ingest, restore
from tests.herd.journal.sample import START_US, busy_log
from tests.herd.logd.rig import append, data_dir, rows, seal_all, store, take_in, write


def lines_of(*logs: list[Recorded]) -> list[str]:
    return [encode(record).decode().rstrip("\n") for log in logs for record in log]


ALL = "SELECT payload::VARCHAR FROM events ORDER BY seq"


def test_every_line_is_a_row_with_its_envelope_and_the_line_itself(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    log = busy_log(10)
    write(directory, log)
    with store(directory) as db:
        take_in(db, directory)
        assert [line for (line,) in rows(db, ALL)] == lines_of(log)
        found = rows(
            db,
            "SELECT seq, epoch_us(recorded_at), kind, v, src, n, cause FROM events"
            " WHERE seq IN (1, 2) ORDER BY seq",
        )
        assert found == [
            (1, START_US + 1000, "state_snapshotted", 1, "control", 0, 0),
            (2, START_US + 2000, "request_received", 1, "f1-aaaaaa", 2, 0),
        ]


def test_hot_columns_hold_the_defaults_that_a_line_leaves_out(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    log = busy_log(4)
    write(directory, log)
    path = segment_path(directory.journal, 1)
    stored = path.read_bytes()
    path.write_bytes(stored.replace(b'"queue_s":0.25,', b"").replace(b'"prompt_tokens":11,', b""))
    with store(directory) as db:
        take_in(db, directory)
        columns = "queue_s, ttft_s, service_s, status, prompt_tokens, completion_tokens"
        assert rows(db, f"SELECT {columns} FROM events WHERE seq > 1 ORDER BY seq") == [  # noqa: S608 (constant)
            (None, None, None, None, None, None),
            (0.0, None, None, None, None, None),
            (None, 0.5, 2.0, 200, 0, 40),
        ]


def test_a_new_logd_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    log = busy_log(20)
    write(directory, log[:8])
    with store(directory) as db:
        take_in(db, directory)
    append(directory, log[8:])
    write(directory, busy_log(5, 21))
    with store(directory) as db:
        ingest = Ingest(db, directory.journal)
        assert ingest.step() == lines_of(log[8:])
        assert ingest.step() == lines_of(busy_log(5, 21))
        assert ingest.step() is None
        assert [line for (line,) in rows(db, ALL)] == lines_of(log, busy_log(5, 21))
        assert rows(db, "FROM gaps") == rows(db, "FROM quarantine") == []


@pytest.mark.parametrize("note", ["DELETE FROM ingested", "UPDATE ingested SET offset_bytes = 77"])
def test_seq_has_the_last_word_where_the_noted_place_is_wrong(tmp_path: Path, note: str) -> None:
    directory = data_dir(tmp_path)
    log = busy_log(20)
    write(directory, log[:8])
    with store(directory) as db:
        take_in(db, directory)
        db.execute(note)
    append(directory, log[8:])
    with store(directory) as db:
        take_in(db, directory)
        assert [line for (line,) in rows(db, ALL)] == lines_of(log)
        assert rows(db, "FROM gaps") == rows(db, "FROM quarantine") == []


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "torn in the middle": lambda line: line[:40] + b"\n",
    "zeros": lambda line: b"\0" * (len(line) - 1) + b"\n",
    "not UTF-8": lambda line: line.replace(b"model", b"mod\xff\xfe"),
    "no number": lambda line: line.replace(b'{"seq":6,', b'{"seq":"x",'),
    "an instant beyond DuckDB": lambda line: line.replace(
        b'"recorded_at":1760', b'"recorded_at":9000001760'
    ),
    "a number that cannot follow": lambda line: line.replace(b'"seq":6,', b'"seq":600000000,'),
    "no kind": lambda line: line.replace(b'"k":', b'"kk":'),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_line_is_set_apart_and_the_rest_goes_on(tmp_path: Path, name: str) -> None:
    directory = data_dir(tmp_path)
    log = busy_log(12)
    write(directory, log)
    path = segment_path(directory.journal, 1)
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = DAMAGE[name](lines[5])
    assert damaged != lines[5]
    path.write_bytes(b"".join(lines[:5]) + damaged + b"".join(lines[6:]))
    for _ in range(2):  # the second logd finds the same line again, and knows it
        with store(directory) as db:
            take_in(db, directory)
            assert rows(db, "SELECT seq FROM events ORDER BY seq") == [
                (seq,) for seq in range(1, 13) if seq != 6
            ]
            assert rows(db, "FROM gaps") == [(6, 6)]
            place = len(b"".join(lines[:5]))
            assert rows(db, "SELECT first_seq, offset_bytes, line FROM quarantine") == [
                (1, place, damaged[:-1])
            ]
            db.execute("DELETE FROM ingested")


def test_missing_numbers_are_noted_once(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    log = busy_log(12)
    write(directory, log[:4])
    with segment_path(directory.journal, 1).open("ab") as file:
        file.write(b"".join(encode(record) for record in log[9:]))
    with store(directory) as db:
        take_in(db, directory)
    with store(directory) as db:
        take_in(db, directory)
        assert rows(db, "FROM gaps") == [(5, 9)]
        assert rows(db, "SELECT count(*) FROM events") == [(7,)]


def test_a_segment_may_begin_far_on(tmp_path: Path) -> None:
    """After hours without recording: its name says that the number is right."""
    directory = data_dir(tmp_path)
    write(directory, busy_log(3))
    later = busy_log(3, 5_000_000)
    segment_path(directory.journal, 5_000_000).write_bytes(b"".join(map(encode, later)))
    with store(directory) as db:
        take_in(db, directory)
        assert rows(db, "SELECT max(seq) FROM events") == [(5_000_002,)]
        assert rows(db, "FROM gaps") == [(4, 4_999_999)]


def test_a_torn_last_line_waits_for_its_end(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    log = busy_log(6)
    write(directory, log[:5])
    last = encode(log[5])
    with store(directory) as db:
        with segment_path(directory.journal, 1).open("ab", buffering=0) as file:
            file.write(last[:30])
            ingest = take_in(db, directory)
            assert ingest.step() is None
            file.write(last[30:])
        assert ingest.step() == lines_of(log[5:])


def test_a_refused_commit_is_tried_again_from_the_same_place(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, busy_log(6))
    with store(directory) as db:
        ingest = Ingest(db, directory.journal)
        db.execute("DROP VIEW nodes; ALTER TABLE ingested RENAME TO elsewhere")
        with pytest.raises(Exception, match="ingested"):
            ingest.step()
        assert rows(db, "SELECT count(*) FROM events") == [(0,)]
        db.execute("ALTER TABLE elsewhere RENAME TO ingested")
        assert ingest.step() == lines_of(busy_log(6))


def test_a_database_of_another_log_is_refused(tmp_path: Path) -> None:
    """As after a power cut that took from the journal what the database had kept."""
    directory = data_dir(tmp_path)
    log = busy_log(12)
    write(directory, log)
    path = segment_path(directory.journal, 1)
    with store(directory) as db:
        take_in(db, directory)
    path.write_bytes(b"".join(map(encode, log[:9])))
    with store(directory) as db, pytest.raises(DisagreementError):
        Ingest(db, directory.journal)
    other = [*log[:9], *(Recorded(r.seq, r.recorded_at + 1, r.event) for r in log[9:])]
    path.write_bytes(b"".join(map(encode, other)))
    with store(directory) as db, pytest.raises(DisagreementError):
        Ingest(db, directory.journal)


def test_what_is_sealed_comes_back_from_there(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    logs = [busy_log(10, first) for first in (1, 11, 21, 31)]
    write(directory, *logs)
    with store(directory) as db:
        ingest = take_in(db, directory)
        seal_all(db, directory, ingest)
    for first_seq in (1, 11):
        segment_path(directory.journal, first_seq).unlink()
    directory.database.unlink()
    with store(directory) as db:
        assert restore(db, directory.sealed) == 20
        take_in(db, directory)
        assert [line for (line,) in rows(db, ALL)] == lines_of(*logs)
        assert rows(db, "FROM gaps") == []
        assert restore(db, directory.sealed) == 0


FULL_DISK = """
import resource, sys
from pathlib import Path
import duckdb
from herd.logd.ingest import Ingest
from herd.logd.store import open_store
from herd.paths import DataDir
directory = DataDir(Path(sys.argv[1]))
connection = open_store(directory.database)
ingest = Ingest(connection, directory.journal)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
try:
    ingest.step()
except duckdb.OperationalError as error:
    print(error)
assert connection.execute("SELECT count(*) FROM events").fetchall() == [(0,)]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
while ingest.step() is not None:
    pass
connection.close()
"""


def test_what_a_full_disk_refuses_is_taken_in_later(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, busy_log(6_000))
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "File too large" in done.stdout
    with store(directory) as db:
        query = "SELECT count(*), count(DISTINCT seq), max(seq) FROM events"
        assert rows(db, query) == [(6_000, 6_000, 6_000)]
        assert rows(db, "FROM gaps") == []
