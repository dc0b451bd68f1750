"""Hourly sums: each request once, whenever it ended, whatever was counted or dropped before."""

from pathlib import Path

import duckdb
import pytest

from herd.logd import rollup
from herd.logd.retention import drop_next
from herd.logd.rollup import aim, roll_next
from herd.paths import DataDir
from tests.herd.journal.sample import busy_log
from tests.herd.logd.rig import data_dir, rows, store, take_in, write
from tests.herd.logd.test_retention import ALL_OLD, LATER_S, told

__all__ = ["told"]

SUMS = """sum(COLUMNS([
    'requests', 'completed', 'failed', 'cancelled', 'rejected', 'retries', 'cold',
    'prompt_tokens', 'completion_tokens'
]))::BIGINT"""
BY_DAY = "SELECT hour::DATE AS day, model, node_id, $sums FROM used GROUP BY ALL ORDER BY ALL"
DAILY = "SELECT day, model, node_id, $sums FROM daily GROUP BY ALL ORDER BY ALL"


def used(db: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    cursor = db.cursor()
    aim(cursor)
    return rows(cursor, BY_DAY.replace("$sums", SUMS))


@pytest.mark.parametrize("patience", [0, 2, 1000])
@pytest.mark.parametrize("stretch", [2, 5, 1000])
def test_the_hours_are_what_the_days_are(
    told: tuple[DataDir, duckdb.DuckDBPyConnection],
    monkeypatch: pytest.MonkeyPatch,
    stretch: int,
    patience: int,
) -> None:
    """With patience the open ones hold up the counting; without, they are counted as they are."""
    monkeypatch.setattr(rollup, "LEAST", 1)
    monkeypatch.setattr(rollup, "STRETCH", stretch)
    monkeypatch.setattr(rollup, "PATIENCE", patience)
    directory, db = told
    expected = rows(db, DAILY.replace("$sums", SUMS))
    assert used(db) == expected
    while roll_next(db):
        assert used(db) == expected
    assert used(db) == expected
    [(counted,)] = rows(db, "SELECT count(*) FROM rolled_to")
    assert counted
    while drop_next(db, directory, ALL_OLD, LATER_S) is not None:
        assert used(db) == expected
        assert not roll_next(db) or used(db) == expected


def test_averages_are_of_what_was_completed_also_of_days_that_were_dropped(
    told: tuple[DataDir, duckdb.DuckDBPyConnection],
) -> None:
    directory, db = told
    asked = """
        SELECT node_id, round(sum(service_s) / sum(timed), 6)
        FROM used WHERE completed > 0
        GROUP BY ALL ORDER BY ALL"""
    expected = [("mini", 0.6), ("studio", 0.3)]
    aim(db)
    assert rows(db, asked) == expected
    while drop_next(db, directory, ALL_OLD, LATER_S) is not None:
        aim(db)
        assert rows(db, asked) == expected


def test_a_stretch_ends_before_what_is_open_and_goes_on_when_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "LEAST", 3)
    monkeypatch.setattr(rollup, "STRETCH", 20)
    directory = data_dir(tmp_path)
    records = busy_log(41)  # the head and 12 requests; the 13th is received and no more
    write(directory, records[:-3])
    with store(directory) as db:
        take_in(db, directory)
        while roll_next(db):
            pass
        assert rows(db, "SELECT max(last_seq) FROM rolled_to") == [(37,)]
        assert rows(db, "SELECT sum(requests), sum(completed) FROM rolled") == [(12, 12)]
        assert sum(int(str(row[3])) for row in used(db)) == 13


def test_when_all_is_counted_no_request_is_looked_at(
    told: tuple[DataDir, duckdb.DuckDBPyConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup, "LEAST", 1)
    monkeypatch.setattr(rollup, "PATIENCE", 0)
    _, db = told
    while roll_next(db):
        pass
    aim(db)
    [(first_id,)] = rows(db, "SELECT getvariable('tail_id')")
    [(later,)] = rows(db, "SELECT count(*) FROM events WHERE request_id >= getvariable('tail_id')")
    assert (first_id, later) == (rollup.NOBODY, 0)
