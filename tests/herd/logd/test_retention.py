"""What goes and what stays when the log grows old or large."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import msgspec
import pytest

from events import (
    AttemptFailed,
    Event,
    Lease,
    NodeId,
    Recorded,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestId,
    RequestInterrupted,
    RequestReaped,
    RequestReceived,
    RequestRejected,
    StateSnapshotted,
)
from herd.journal.files import segment_path, segments
from herd.logd import retention, totals
from herd.logd.ingest import Ingest, restore
from herd.logd.parquet import span_path, spans, sweep, write_parquet
from herd.logd.retention import Keep, drop_next, unlink_dropped
from herd.logd.seal import unlink_sealed
from herd.logd.sql import open_sql
from herd.logd.totals import floor, forget
from herd.paths import DataDir
from tests.herd.journal.sample import START_US, busy_log
from tests.herd.logd.rig import Rows, data_dir, rows, seal_all, stepwise, store, take_in, write

DAY_US = 86_400_000_000
MODEL, MINI, STUDIO = "qwen2.5:7b", NodeId("mini"), NodeId("studio")
LATER_S = START_US / 1e6 + 1e9
ALL_OLD = Keep(days=1)
DAILY = "FROM daily ORDER BY ALL"


def story() -> list[Event | None]:
    """Six requests, most of which do not end in the segment (None begins one) they came in."""
    told: list[Event | None] = []

    def request(name: str, app: str = "") -> RequestId:
        told.append(RequestReceived(request_id=RequestId(name), model=MODEL, app=app))
        return RequestId(name)

    def placed(name: str, node: NodeId, *, cold: bool = False) -> dict[str, object]:
        lease = Lease(f"1.{len(told)}")
        told.append(
            RequestDispatched(
                request_id=RequestId(name),
                model=MODEL,
                node_id=node,
                lease=lease,
                queue_s=0.1,
                cold=cold,
            )
        )
        return {"request_id": name, "model": MODEL, "node_id": node, "lease": lease}

    def then(kind: type[Event], values: dict[str, object], **more: object) -> None:
        told.append(msgspec.convert(values | more, kind))

    a = (request("a", "notes"), placed("a", MINI, cold=True))[1]
    request("b")
    told.append(None)
    then(AttemptFailed, a, phase="connect", elapsed_s=0.5)
    a = placed("a", STUDIO)
    then(RequestCancelled, {"request_id": "b", "model": MODEL}, phase="queue")
    c = (request("c"), placed("c", MINI))[1]
    told.append(None)
    then(RequestCompleted, a, ttft_s=0.1, service_s=0.3, prompt_tokens=7, completion_tokens=9)
    d = (request("d", "notes"), placed("d", STUDIO))[1]
    request("e")
    told.append(None)
    then(RequestFailed, c, phase="stream", fault="node", status=502, ttft_s=0.7, service_s=1.1)
    then(RequestRejected, {"request_id": "e", "model": MODEL}, status=429, reason="queue_full")
    told.append(None)
    then(RequestReaped, d, idle_s=600)
    f = (request("f"), placed("f", MINI))[1]
    told.append(None)
    then(RequestInterrupted, f, reason="front_lost")
    g = (request("g"), placed("g", MINI))[1]
    told.append(None)
    then(RequestCompleted, g, ttft_s=0.2, service_s=0.6, prompt_tokens=1, completion_tokens=2)
    told.append(None)
    request("h")
    return told


def logs(story: list[Event | None], *, every_us: int = DAY_US // 3) -> list[list[Recorded]]:
    """Segments whose heads know the requests that run, eight hours between two events."""
    found: list[list[Recorded]] = []
    running: list[str] = []
    for seq, event in enumerate([None, *story], 1):
        if event is None:
            state = msgspec.json.encode({"requests": running})
            head = StateSnapshotted(state=msgspec.Raw(state))
            found.append([Recorded(seq, START_US + seq * every_us, head)])
            continue
        found[-1].append(Recorded(seq, START_US + seq * every_us, event))
        request_id = str(getattr(event, "request_id", ""))
        if isinstance(event, RequestReceived):
            running.append(request_id)
        elif not isinstance(event, RequestDispatched | AttemptFailed):
            running.remove(request_id)
    return found


def reader(directory: DataDir) -> duckdb.DuckDBPyConnection:
    """Open the log as somebody with no database."""
    connection = duckdb.connect()
    connection.execute(open_sql(directory)).fetchall()
    return connection


def outside(directory: DataDir, query: str = DAILY) -> Rows:
    """Ask as such a reader."""
    with reader(directory) as connection:
        return rows(connection, query)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[DataDir, duckdb.DuckDBPyConnection]]:
    """A log of eight segments, the first six of which are sealed, each by itself."""
    directory = data_dir(tmp_path)
    write(directory, *logs(story()))
    with store(directory) as db:
        assert len(seal_all(db, directory, take_in(db, directory))) == 6
        unlink_sealed(db, directory, LATER_S)
        yield directory, db


def test_totals_of_a_day_are_what_happened_that_day(
    told: tuple[DataDir, duckdb.DuckDBPyConnection],
) -> None:
    directory, db = told
    columns = (
        "day - DATE '2025-10-09', node_id, app, requests, completed, failed, cancelled, rejected,"
        " retries, cold, prompt_tokens, completion_tokens, queue_s, ttft_s, service_s"
    )
    by_node = f"SELECT {columns} FROM daily ORDER BY day, node_id"  # noqa: S608 (constant)
    assert rows(db, by_node) == [
        (1, "", "", 1, 0, 0, 1, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0),  # b
        (1, "studio", "notes", 1, 1, 0, 0, 0, 1, 1, 7, 9, 0.1, 0.1, 0.3),  # a
        (3, "mini", "", 1, 0, 1, 0, 0, 0, 0, 0, 0, 0.1, 0.0, 0.0),  # c
        (4, "studio", "notes", 1, 0, 1, 0, 0, 0, 0, 0, 0, 0.1, 0.0, 0.0),  # d
        (5, "", "", 1, 0, 0, 0, 1, 0, 0, 0, 0, 0.0, 0.0, 0.0),  # e
        (7, "mini", "", 1, 0, 1, 0, 0, 0, 0, 0, 0, 0.1, 0.0, 0.0),  # f
        (8, "mini", "", 1, 1, 0, 0, 0, 0, 0, 1, 2, 0.1, 0.2, 0.6),  # g
        (10, "", "", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0),  # h
    ]
    assert outside(directory, by_node) == rows(db, by_node)


def test_daily_is_the_same_before_and_after_every_drop(
    told: tuple[DataDir, duckdb.DuckDBPyConnection],
) -> None:
    directory, db = told
    before = rows(db, DAILY)
    dropped: list[int] = []
    while (span := drop_next(db, directory, ALL_OLD, LATER_S)) is not None:
        dropped.append(span.last_seq)
        assert rows(db, DAILY) == outside(directory) == before
        assert unlink_dropped(directory, LATER_S + 59) == []
        assert unlink_dropped(directory, LATER_S + 60) == [span]
        assert rows(db, DAILY) == outside(directory) == before
        kept = rows(db, "SELECT min(seq), min_by(kind, seq), count(*) FROM events")
        assert kept[0][:2] == (span.last_seq + 1, "state_snapshotted")
        assert outside(directory, "SELECT min(seq), min_by(kind, seq), count(*) FROM events") == (
            kept
        )
    assert len(dropped) == 6
    assert spans(directory.sealed) == []
    assert len(segments(directory.journal)) == 2
    assert len(spans(directory.totals)) == 2


def test_a_file_stays_while_a_request_received_in_it_runs(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    events: list[Event | None] = [
        RequestReceived(request_id=RequestId("long"), model=MODEL),
        *[None] * 4,
    ]
    write(directory, *logs(events))
    with store(directory) as db:
        seal_all(db, directory, take_in(db, directory))
        assert drop_next(db, directory, ALL_OLD, LATER_S) is None
        # Its end was not recorded, but the next stored state no longer knows it.
        write(directory, *logs([*events, None])[-1:])
        last = segments(directory.journal)[-1].path
        last.write_bytes(last.read_bytes().replace(b'"long"', b""))
        take_in(db, directory)
        assert drop_next(db, directory, ALL_OLD, LATER_S) == (1, 2)
        assert rows(db, "SELECT requests, completed, failed FROM daily") == [(1, 0, 0)]


def test_only_what_is_too_old_goes(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, *(busy_log(10, first) for first in (1, 11, 21, 31, 41)))
    with store(directory) as db:
        seal_all(db, directory, take_in(db, directory))
        newest_s = START_US / 1e6 + 0.010
        keep = Keep(days=1.5)
        touch(directory, newest_s)
        assert drop_next(db, directory, keep, newest_s + 1.5 * 86_400 - 0.001) is None
        assert drop_next(db, directory, keep, newest_s + 1.5 * 86_400 + 0.001) == (1, 10)
        assert drop_next(db, directory, keep, newest_s + 1.5 * 86_400 + 0.001) is None


def touch(directory: DataDir, at_s: float) -> None:
    """Have the sealed files as old as their events."""
    for span in spans(directory.sealed):
        os.utime(span_path(directory.sealed, span), (at_s, at_s))


def _small(_connection: duckdb.DuckDBPyConnection) -> int:
    return 5_000


def test_what_is_too_large_goes_until_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database counts; its blocks are too large for a log as small as this one."""
    monkeypatch.setattr(retention, "used_bytes", _small)
    directory = data_dir(tmp_path)
    write(directory, *(busy_log(10, first) for first in (1, 11, 21, 31, 41)))
    with store(directory) as db:
        seal_all(db, directory, take_in(db, directory))
        unlink_sealed(db, directory, LATER_S)
        files = [span_path(directory.sealed, span) for span in spans(directory.sealed)]
        files += [segment.path for segment in segments(directory.journal)]
        sizes = [path.stat().st_size for path in files]
        keep = Keep(days=1e9, size_bytes=sum(sizes) + 5_000)
        assert drop_next(db, directory, keep, LATER_S) is None
        keep = keep._replace(size_bytes=keep.size_bytes - 1)
        assert drop_next(db, directory, keep, LATER_S) == (1, 10)
        assert drop_next(db, directory, keep, LATER_S) is None
        # However small: the journal's own segments stay.
        while drop_next(db, directory, Keep(size_bytes=1), LATER_S):
            pass
        assert rows(db, "SELECT min(seq), max(seq) FROM events") == [(31, 50)]


class Killed(BaseException):
    """Stands for an end at any moment."""


@pytest.mark.long
def test_killed_at_every_step_the_next_logd_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two changes of a folder or of the database, readers see the same days."""
    sealed = data_dir(tmp_path / "sealed")
    write(sealed, *logs(story())[:4])
    with store(sealed) as db:
        seal_all(db, sealed, take_in(db, sealed))
        unlink_sealed(db, sealed, LATER_S)
        expected = rows(db, DAILY)
    looking: duckdb.DuckDBPyConnection
    steps = ends_at = kills = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == ends_at:
            assert rows(looking, DAILY) == expected
            raise Killed

    while kills == ends_at:
        ends_at += 1
        steps = 0
        directory = DataDir(tmp_path / str(ends_at))
        shutil.copytree(sealed.root, directory.root)
        looking = reader(directory)
        for now_s in (LATER_S, LATER_S + 120):
            with store(directory) as db, monkeypatch.context() as patched:
                sweep(directory)
                forget(db, directory)
                assert restore(db, directory.sealed, above_seq=floor(directory)) == 0
                Ingest(db, directory.journal)
                assert rows(db, DAILY) == expected
                watch(patched, step)
                try:
                    while drop_next(db, directory, ALL_OLD, now_s):
                        step()
                    unlink_dropped(directory, now_s + 60)
                except Killed:
                    kills += 1
        with store(directory) as db:
            assert rows(db, DAILY) == rows(looking, DAILY) == expected
            assert rows(db, "SELECT min(seq) FROM events") == [(floor(directory) + 1,)]
            assert rows(db, "FROM gaps") == []
        assert spans(directory.sealed) == []
        assert not list(directory.totals.glob("*.tmp"))
        looking.close()
    assert kills > 15


def watch(patched: pytest.MonkeyPatch, step: Callable[[], None]) -> None:
    """Call `step` before and after each change that retention makes."""
    patched.setattr(Path, "unlink", stepwise(Path.unlink, step))
    patched.setattr(Path, "replace", stepwise(Path.replace, step))
    patched.setattr(retention, "forget", stepwise(forget, step))
    patched.setattr(totals, "write_parquet", stepwise(write_parquet, step))


def test_what_a_full_disk_left_in_the_database_goes_at_the_next_look(
    told: tuple[DataDir, duckdb.DuckDBPyConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, db = told
    before = rows(db, DAILY)

    def full(*_: object) -> None:
        raise duckdb.IOException("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(retention, "forget", full)
        with pytest.raises(duckdb.IOException):
            drop_next(db, directory, ALL_OLD, LATER_S)
    assert floor(directory) == 4
    assert rows(db, "SELECT min(seq) FROM events") == [(1,)]
    assert rows(db, DAILY) == outside(directory) == before
    assert drop_next(db, directory, Keep(days=1e9), LATER_S) is None
    assert rows(db, "SELECT min(seq) FROM events") == [(5,)]
    assert rows(db, DAILY) == outside(directory) == before


def test_what_a_killed_logd_began_is_swept_away(
    told: tuple[DataDir, duckdb.DuckDBPyConnection],
) -> None:
    directory, _ = told
    kept = sorted(directory.sealed.iterdir())
    for folder in (directory.sealed, directory.totals):
        (folder / "tmp_00000000000000000001-00000000000000000004.tmp").touch()
    sweep(directory)
    assert sorted(directory.sealed.iterdir()) == kept
    names = sorted(path.name for path in directory.totals.iterdir())
    assert names == ["empty.parquet", "empty.tags"]


def test_a_database_made_anew_has_totals_and_what_is_kept(
    told: tuple[DataDir, duckdb.DuckDBPyConnection],
) -> None:
    directory, db = told
    before = rows(db, DAILY)
    drop_next(db, directory, ALL_OLD, LATER_S)
    span = drop_next(db, directory, ALL_OLD, LATER_S)
    assert span is not None
    kept = rows(db, "FROM events ORDER BY seq")
    db.close()
    directory.database.unlink()
    with store(directory) as anew:
        forget(anew, directory)
        restore(anew, directory.sealed, above_seq=floor(directory))
        take_in(anew, directory)
        assert rows(anew, DAILY) == before
        assert rows(anew, "FROM events ORDER BY seq") == kept
        assert rows(anew, "FROM gaps") == []


def test_a_damaged_segment_goes_with_its_copy(tmp_path: Path) -> None:
    """Its file is all that is left in the journal of events that are dropped."""
    directory = data_dir(tmp_path)
    write(directory, *(busy_log(10, first) for first in (1, 11, 21, 31, 41)))
    path = segment_path(directory.journal, 11)
    path.write_bytes(path.read_bytes().replace(b'{"seq":15,', b"[]\0\0\0\0\0\0\0\0"))
    with store(directory) as db:
        seal_all(db, directory, take_in(db, directory))
        unlink_sealed(db, directory, LATER_S)
        assert path.exists()
        while drop_next(db, directory, ALL_OLD, LATER_S):
            unlink_dropped(directory, LATER_S + 60)
        assert not path.exists()
        count = "SELECT min(seq), count(*) FROM events"
        assert rows(db, count) == outside(directory, count) == [(31, 20)]
        assert rows(db, "FROM gaps") == rows(db, "FROM quarantine") == []


def test_a_sealed_file_is_not_dropped_while_readers_may_not_know_it(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, *(busy_log(10, first) for first in (1, 11, 21)))
    with store(directory) as db:
        [span] = seal_all(db, directory, take_in(db, directory))
        sealed_s = span_path(directory.sealed, span).stat().st_mtime
        keep = Keep(size_bytes=1)
        assert drop_next(db, directory, keep, sealed_s + 59) is None
        assert drop_next(db, directory, keep, sealed_s + 60) == span
