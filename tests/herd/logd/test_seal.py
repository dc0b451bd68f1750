"""Sealing, and readers who look while it happens."""

import threading
from pathlib import Path

import duckdb

from herd.journal.files import Segment, segment_path, segments
from herd.journal.segments import Journal
from herd.logd.ingest import Ingest
from herd.logd.seal import KEEP_BESIDE_S, seal_next, sealed_segments, unlink_sealed
from herd.logd.sql import open_sql, write_open_sql
from herd.paths import DataDir
from tests.herd.journal.sample import SMALL, busy_log
from tests.herd.logd.rig import data_dir, rows, store, take_in, write

FIVE = [busy_log(10, first) for first in (1, 11, 21, 31, 41)]


def seal_all(db: duckdb.DuckDBPyConnection, directory: DataDir, ingest: Ingest) -> list[int]:
    sealed: list[int] = []
    while (segment := seal_next(db, directory, ingest.position.first_seq)) is not None:
        sealed.append(segment.first_seq)
    return sealed


def reader(directory: DataDir) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(open_sql(directory))
    return connection


def test_the_newest_two_segments_are_never_sealed(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, *FIVE)
    with store(directory) as db:
        assert seal_all(db, directory, take_in(db, directory)) == [1, 11, 21]
        names = [segment.path.name for segment in sealed_segments(directory.sealed)]
        assert names[0] == "00000000000000000001-00000000000000000010.parquet"
        kept = rows(db, "FROM events WHERE seq <= 30 ORDER BY seq")
        pattern = str(directory.sealed / "*-*.parquet")
        assert db.execute("FROM read_parquet($1) ORDER BY seq", [pattern]).fetchall() == kept
        assert len(kept) == 30


def test_a_segment_is_sealed_only_when_all_of_it_is_taken_in(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, *FIVE)
    with store(directory) as db:
        ingest = Ingest(db, directory.journal)
        assert seal_all(db, directory, ingest) == []
        ingest.step()
        ingest.step()
        assert seal_all(db, directory, ingest) == [1]


def test_the_journal_keeps_a_sealed_segment_for_a_minute(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, *FIVE)
    with store(directory) as db:
        seal_all(db, directory, take_in(db, directory))
        sealed_s = max(s.path.stat().st_mtime for s in sealed_segments(directory.sealed))
        assert unlink_sealed(db, directory, sealed_s + KEEP_BESIDE_S - 5) == []
        assert [s.first_seq for s in unlink_sealed(db, directory, sealed_s + KEEP_BESIDE_S)] == [
            1,
            11,
            21,
        ]
        assert [s.first_seq for s in segments(directory.journal)] == [31, 41]
        assert unlink_sealed(db, directory, sealed_s + 10**6) == []


def test_a_segment_with_a_damaged_line_keeps_its_file(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, *FIVE)
    path = segment_path(directory.journal, 11)
    path.write_bytes(path.read_bytes().replace(b'{"seq":15,', b"[]\0\0\0\0\0\0\0\0"))
    with store(directory) as db, reader(directory) as looking:
        seal_all(db, directory, take_in(db, directory))
        unlink_sealed(db, directory, 10**12)
        assert [s.first_seq for s in segments(directory.journal)] == [11, 31, 41]
        assert rows(looking, "SELECT count(*), count(DISTINCT seq) FROM events") == [(49, 49)]


def test_no_row_is_twice_or_missing_at_any_stage(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, *FIVE)
    whole = [(50, 50, 1, 50)]
    query = "SELECT count(*), count(DISTINCT seq), min(seq), max(seq) FROM events"
    with reader(directory) as looking, store(directory) as db:
        assert rows(looking, query) == whole
        ingest = take_in(db, directory)
        while seal_next(db, directory, ingest.position.first_seq):
            assert rows(looking, query) == whole
        while unlink_sealed(db, directory, 10**12):
            assert rows(looking, query) == whole
        assert len(segments(directory.journal)) == 2


def test_a_reader_beside_sealing_sees_every_row_once(tmp_path: Path) -> None:
    """Writer, ingest and sealing in one thread, as fast as they can; a reader in another."""
    directory = data_dir(tmp_path)
    write_open_sql(directory)
    seen: list[int] = []
    unlinked: list[Segment] = []
    lost_files = 0
    stop = threading.Event()

    def look() -> None:
        nonlocal lost_files
        with reader(directory) as looking:
            while not stop.is_set():
                try:
                    found = rows(
                        looking,
                        "SELECT count(*), count(DISTINCT seq), coalesce(max(seq), 0) FROM events",
                    )
                except duckdb.IOException as error:
                    assert "No such file" in str(error)  # noqa: PT017 (the one allowed outcome)
                    lost_files += 1
                    continue
                [(count, distinct, last)] = found
                assert count == distinct == last
                seen.append(count)

    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            look()
        except BaseException as error:  # noqa: BLE001 (shown by the test)
            failures.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    journal = Journal.open(directory.journal, directory.snapshots, SMALL)
    with store(directory) as db:
        ingest = Ingest(db, directory.journal)
        while len(unlinked) < 30 and not failures:
            first_seq = journal.last_seq + 1
            first, *rest = busy_log(100, first_seq)
            journal.rotate(first)
            journal.append(rest)
            while ingest.step() is not None:
                pass
            seal_next(db, directory, ingest.position.first_seq)
            now_s = max(
                (s.path.stat().st_mtime for s in sealed_segments(directory.sealed)), default=0
            )
            unlinked += unlink_sealed(db, directory, now_s, keep_beside_s=0.5)
    journal.close()
    stop.set()
    thread.join()
    assert not failures, failures
    assert len(seen) > 20
    assert lost_files <= len(unlinked)  # a query may meet a file between its listing and its end
