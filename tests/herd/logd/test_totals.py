"""Totals whose file is damaged: set aside, and written anew as far as anything still knows them."""

import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from herd.logd.ingest import restore
from herd.logd.parquet import span_path, spans
from herd.logd.retention import drop_next
from herd.logd.totals import floor, forget, mend
from herd.paths import DataDir
from tests.herd.logd.rig import end, logd, rows, store, take_in
from tests.herd.logd.test_process import DEADLINE_S, read
from tests.herd.logd.test_retention import ALL_OLD, DAILY, LATER_S, outside, told

__all__ = ["told"]

Damage = Callable[[bytes], bytes]
DAMAGES: list[Damage] = [
    lambda _: b"",
    lambda data: data[: len(data) // 2],
    lambda data: b"x" * len(data),
    lambda data: data[:4] + bytes(len(data) // 2) + data[4 + len(data) // 2 :],
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_database_gives_them_back(
    told: tuple[DataDir, duckdb.DuckDBPyConnection],
    caplog: pytest.LogCaptureFixture,
    damage: Damage,
) -> None:
    directory, db = told
    before = rows(db, DAILY)
    drop_next(db, directory, ALL_OLD, LATER_S)
    lowest = floor(directory)
    damaged = damaged_totals(directory, damage)
    with pytest.raises(duckdb.Error):
        outside(directory)
    mend(db, directory)
    forget(db, directory)
    assert floor(directory) == lowest
    assert rows(db, DAILY) == outside(directory) == before
    aside = damaged.with_name(damaged.name + ".damaged")
    assert aside.exists()
    assert "set aside, and written anew" in caplog.text
    caplog.clear()
    mend(db, directory)
    assert not caplog.text


def damaged_totals(directory: DataDir, damage: Damage) -> Path:
    path = span_path(directory.totals, spans(directory.totals)[-1])
    path.write_bytes(damage(path.read_bytes()))
    return path


def test_without_a_database_the_file_before_counts_and_what_is_sealed(
    told: tuple[DataDir, duckdb.DuckDBPyConnection], caplog: pytest.LogCaptureFixture
) -> None:
    """The events of the second are still there; those of the first are not."""
    directory, db = told
    before = rows(db, DAILY)
    first = drop_next(db, directory, ALL_OLD, LATER_S)
    drop_next(db, directory, ALL_OLD, LATER_S)
    assert first is not None
    db.close()
    directory.database.unlink()
    damaged_totals(directory, lambda _: b"")
    with store(directory) as anew:
        mend(anew, directory)
        forget(anew, directory)
        restore(anew, directory.sealed, above_seq=floor(directory))
        take_in(anew, directory)
        assert floor(directory) == first.last_seq
        assert rows(anew, DAILY) == outside(directory) == before
        assert "set aside, its newest days are lost" in caplog.text


def test_logd_starts_and_goes_on(told: tuple[DataDir, duckdb.DuckDBPyConnection]) -> None:
    directory, db = told
    before = rows(db, DAILY)
    drop_next(db, directory, ALL_OLD, LATER_S)
    db.close()
    damaged_totals(directory, lambda _: b"nothing")
    process = logd(directory)
    ends = time.monotonic() + DEADLINE_S
    while b"set aside, and written anew" not in read(directory.jsonl):
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert end(process) == 0
    assert outside(directory) == before
