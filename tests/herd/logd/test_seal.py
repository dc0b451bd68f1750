"""Sealing, and readers who look while it happens."""

import os
import threading
from pathlib import Path

import duckdb
import pytest

from herd.journal.files import Segment, segment_path, segments
from herd.journal.segments import Journal
from herd.logd.ingest import Ingest
from herd.logd.parquet import Span, span_path, spans
from herd.logd.seal import GROUP, KEEP_BESIDE_S, Group, seal_next, unlink_sealed
from herd.logd.sql import open_sql, write_open_sql
from herd.paths import DataDir
from tests.herd.journal.sample import SMALL, busy_log
from tests.herd.logd.rig import ALONE, data_dir, rows, seal_all, stepwise, store, take_in, write

FIVE = [busy_log(10, first) for first in (1, 11, 21, 31, 41)]
SEVEN = [*FIVE, busy_log(10, 51), busy_log(10, 61)]
COUNT = "SELECT count(*), count(DISTINCT seq), min(seq), max(seq) FROM events"
LATER_S = 1e12


def reader(directory: DataDir) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(open_sql(directory))
    return connection


def test_the_newest_two_segments_are_never_sealed(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, *FIVE)
    with store(directory) as db:
        assert seal_all(db, directory, take_in(db, directory)) == [(1, 10), (11, 20), (21, 30)]
        names = [span_path(directory.sealed, span).name for span in spans(directory.sealed)]
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
        assert seal_all(db, directory, ingest) == [(1, 10)]


@pytest.mark.parametrize(
    ("group", "sealed"),
    [
        (Group(segments=2), [(1, 20), (21, 40)]),
        (Group(events=25), [(1, 30)]),
        (Group(events=20), [(1, 20), (21, 40)]),
        (Group(size_bytes=1), [(1, 10), (11, 20), (21, 30), (31, 40), (41, 50)]),
        (GROUP, []),
    ],
)
def test_neighbours_are_sealed_together(
    tmp_path: Path, group: Group, sealed: list[tuple[int, int]]
) -> None:
    directory = data_dir(tmp_path)
    write(directory, *SEVEN)
    with store(directory) as db:
        assert seal_all(db, directory, take_in(db, directory), group) == sealed
        assert spans(directory.sealed) == sealed


def test_a_group_is_as_large_as_its_bytes_say(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, *SEVEN)
    sizes = [segment.path.stat().st_size for segment in segments(directory.journal)]
    with store(directory) as db:
        ingest = take_in(db, directory)
        group = GROUP._replace(size_bytes=sum(sizes[:3]))
        assert seal_next(db, directory, ingest.position.first_seq, 0.0, group) == (1, 30)


def test_what_is_too_small_is_sealed_when_a_day_old(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, *FIVE)
    closed_s = 1_760_000_000.0
    os.utime(segment_path(directory.journal, 1), (closed_s, closed_s))
    with store(directory) as db:
        first_seq = take_in(db, directory).position.first_seq
        day_s = 24 * 3600
        assert seal_next(db, directory, first_seq, closed_s + day_s - 1) is None
        assert seal_next(db, directory, first_seq, closed_s + day_s) == (1, 30)


def test_the_journal_keeps_a_sealed_segment_for_a_minute(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, *FIVE)
    with store(directory) as db:
        [span] = seal_all(db, directory, take_in(db, directory), Group(segments=3))
        sealed_s = span_path(directory.sealed, span).stat().st_mtime
        assert unlink_sealed(db, directory, sealed_s + KEEP_BESIDE_S - 5) == []
        gone = unlink_sealed(db, directory, sealed_s + KEEP_BESIDE_S)
        assert [segment.first_seq for segment in gone] == [1, 11, 21]
        assert [s.first_seq for s in segments(directory.journal)] == [31, 41]
        assert unlink_sealed(db, directory, sealed_s + 10**6) == []


@pytest.mark.parametrize("damaged", [1, 11, 21])
def test_a_segment_with_a_damaged_line_keeps_its_file_and_no_neighbours(
    tmp_path: Path, damaged: int
) -> None:
    directory = data_dir(tmp_path)
    write(directory, *FIVE)
    path = segment_path(directory.journal, damaged)
    path.write_bytes(
        path.read_bytes().replace(b'{"seq":%d,' % (damaged + 4), b"[]\0\0\0\0\0\0\0\0")
    )
    with store(directory) as db, reader(directory) as looking:
        sealed = seal_all(db, directory, take_in(db, directory), GROUP._replace(age_s=-1e12))
        assert (damaged, damaged + 9) in sealed
        while unlink_sealed(db, directory, LATER_S):
            assert rows(looking, COUNT) == [(49, 49, 1, 50)]
        assert [s.first_seq for s in segments(directory.journal)] == [damaged, 31, 41]
        assert rows(looking, COUNT) == [(49, 49, 1, 50)]


class Killed(BaseException):
    """Stands for an end at any moment."""


def test_a_group_is_whole_for_readers_after_every_step_and_every_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two changes of the folders; killed at each in turn, the next logd goes on."""
    whole = [(70, 70, 1, 70)]
    looking: duckdb.DuckDBPyConnection
    steps = 0
    ends_at = 0

    def step() -> None:
        nonlocal steps
        assert rows(looking, COUNT) == whole
        steps += 1
        if steps == ends_at:
            raise Killed

    kills = 0
    while kills == ends_at:
        ends_at += 1
        directory = data_dir(tmp_path / str(ends_at))
        write(directory, *SEVEN)
        steps = 0
        with reader(directory) as looking:
            for attempt in range(2):
                with store(directory) as db, monkeypatch.context() as patched:
                    ingest = take_in(db, directory)
                    patched.setattr(Path, "unlink", stepwise(Path.unlink, step))
                    patched.setattr(Path, "replace", stepwise(Path.replace, step))
                    try:
                        seal_all(db, directory, ingest, Group(segments=3))
                        unlink_sealed(db, directory, LATER_S)
                    except Killed:
                        assert attempt == 0
                        kills += 1
        with reader(directory) as anew:
            assert rows(anew, COUNT) == whole
        assert spans(directory.sealed) == [(1, 30)]
        assert [s.first_seq for s in segments(directory.journal)] == [31, 41, 51, 61]
    assert kills == 8  # before and after one rename and three unlinks


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
    groups: list[Span] = []
    with store(directory) as db:
        ingest = Ingest(db, directory.journal)
        while len(unlinked) < 30 and not failures:
            first_seq = journal.last_seq + 1
            first, *rest = busy_log(100, first_seq)
            journal.rotate(first)
            journal.append(rest)
            while ingest.step() is not None:
                pass
            group = ALONE if len(groups) % 2 else Group(segments=3)
            span = seal_next(db, directory, ingest.position.first_seq, 0.0, group)
            groups += [span] if span else []
            now_s = max(
                (span_path(directory.sealed, span).stat().st_mtime for span in groups), default=0
            )
            unlinked += unlink_sealed(db, directory, now_s, keep_beside_s=0.5)
    journal.close()
    stop.set()
    thread.join()
    assert not failures, failures
    assert len(seen) > 20
    assert lost_files <= len(unlinked)  # a query may meet a file between its listing and its end
