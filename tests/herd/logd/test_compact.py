"""Room that dropped events leave in the DuckDB file goes back to the disk at a start."""

from pathlib import Path

import duckdb
import pytest

from herd.logd import compact
from herd.paths import DataDir
from tests.herd.journal.sample import busy_log
from tests.herd.logd.rig import data_dir, rows, store, take_in, write

EVERY = "SELECT count(*), max(seq), md5(string_agg(e::VARCHAR, '' ORDER BY seq)) FROM events e"
VIEWS = "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY 1"


@pytest.fixture
def mostly_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDir:
    """A file of which most was given up, in front of what is left."""
    monkeypatch.setattr(compact, "FREE_BYTES", 1 << 20)
    directory = data_dir(tmp_path)
    write(directory, busy_log(4_000))
    with store(directory) as db:
        db.execute("CREATE TABLE dropped AS SELECT md5(range::VARCHAR) AS x FROM range(400000)")
        db.execute("CHECKPOINT")
        take_in(db, directory)
        db.execute("CHECKPOINT")
        db.execute("DROP TABLE dropped")
        db.execute("CHECKPOINT")
    return directory


def test_a_mostly_free_file_is_written_anew(mostly_free: DataDir) -> None:
    before_bytes = mostly_free.database.stat().st_size
    with duckdb.connect(mostly_free.database) as db:
        kept, views = rows(db, EVERY), rows(db, VIEWS)
        assert 0 < compact.used_bytes(db) < before_bytes / 2
    with store(mostly_free) as db:
        assert rows(db, EVERY) == kept
        assert rows(db, VIEWS) == views
        assert rows(db, "SELECT count(*) FROM requests") == [(1_333,)]
        take_in(db, mostly_free)
        assert rows(db, "FROM gaps") == []
    small_bytes = mostly_free.database.stat().st_size
    assert small_bytes < before_bytes / 2
    with store(mostly_free):
        pass
    assert mostly_free.database.stat().st_size <= small_bytes
    assert not list(mostly_free.database.parent.glob("*.fresh*"))


def test_a_file_that_cannot_be_copied_stays_as_it_is(
    mostly_free: DataDir, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    before_bytes = mostly_free.database.stat().st_size
    monkeypatch.setattr(compact, "sync_file", full)
    with store(mostly_free) as db:
        assert rows(db, "SELECT count(*), max(seq) FROM events") == [(4_000, 4_000)]
    assert mostly_free.database.stat().st_size >= before_bytes / 2
    assert "stays as large as it is" in caplog.text
    assert not list(mostly_free.database.parent.glob("*.fresh*"))


def test_what_a_killed_copy_left_is_no_hindrance(mostly_free: DataDir) -> None:
    left = mostly_free.database.with_name("events.duckdb.fresh")
    left.write_bytes(b"half")
    left.with_name(left.name + ".wal").write_bytes(b"half")
    with store(mostly_free) as db:
        assert rows(db, "SELECT count(*), max(seq) FROM events") == [(4_000, 4_000)]
    assert not list(mostly_free.database.parent.glob("*.fresh*"))


def test_a_file_in_use_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("nothing is free")

    directory = data_dir(tmp_path)
    write(directory, busy_log(3_000))
    monkeypatch.setattr("herd.logd.store.compact", never)
    for _ in range(2):
        with store(directory) as db:
            take_in(db, directory)
