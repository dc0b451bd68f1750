"""`herd export`: whole files, and ollama-herd's own queries on them and in `herd sql`."""

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result

import herd.commands.export
import herd.commands.sql
from events import (
    AttemptFailed,
    Event,
    Lease,
    NodeId,
    Recorded,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestId,
    RequestReceived,
)
from herd.errors import HerdError
from tests.herd.journal.sample import snapshot
from tests.herd.logd.rig import data_dir, write

MODEL = "llama3.2:latest"
HOUR_US = 3_600_000_000
START_US = 1_760_000_400_000_000 - 1_760_000_400_000_000 % (24 * HOUR_US)
"""A midnight."""
NODES = tuple(NodeId(name) for name in ("mini", "studio", "tower"))


def told() -> list[Recorded]:
    """Requests at awkward moments: in the second half of an hour, before midnight, in one second.

    The number of retries differs from node to node, and no latency is a round number.
    """
    records = [snapshot(1)]

    def then(at_us: int, event: Event) -> None:
        records.append(Recorded(len(records) + 1, START_US + at_us, event))

    for number in range(40):
        name = RequestId(f"request-{number}")
        at_us = number * (HOUR_US * 2 // 3 + 977_777)
        base: dict[str, Any] = {"request_id": name, "model": MODEL}
        held: dict[str, Any] = base
        then(at_us, RequestReceived(**base, app="notes" if number % 3 else ""))
        for attempt in range(1 + number % 3):
            node = NODES[(number + attempt) % 3 if number % 7 else 0]
            held = {**base, "node_id": node, "lease": Lease(f"1.{number}{attempt}")}
            then(at_us, RequestDispatched(**held))
            if attempt < number % 3:
                then(at_us, AttemptFailed(**held, phase="connect", elapsed_s=0.0317 * number))
        took_s = 1 / (number + 3)
        if number % 4 == 1:
            failed: dict[str, Any] = {
                "phase": "connect",
                "fault": "node",
                "status": 502,
                "error": f"no {number}",
            }
            then(at_us + 999_999, RequestFailed(**held, **failed, service_s=took_s))
        else:
            done: dict[str, Any] = {"completion_tokens": number, "usage_source": "reported"}
            then(at_us + 999_999, RequestCompleted(**held, **done, service_s=took_s))
    return records


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("log")
    write(data_dir(root), told())
    return root


def export(log: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        herd.commands.export.command,
        [*arguments, "--data-dir", str(log)],
        catch_exceptions=False,
    )


def asked(log: Path, query: str) -> list[list[Any]]:
    """Ask by `herd sql --json`, and return the rows."""
    done = CliRunner().invoke(
        herd.commands.sql.command,
        [query, "--json", "--data-dir", str(log)],
        catch_exceptions=False,
    )
    return [list(row.values()) for row in json.loads(done.output)]


def in_sqlite(path: Path, query: str) -> list[list[Any]]:
    connection = sqlite3.connect(path)
    try:
        return [list(row) for row in connection.execute(query)]
    finally:
        connection.close()


DOCUMENTED = {
    "failures": (
        "SELECT request_id, model, status, error_message, latency_ms/1000.0 as secs"
        " FROM request_traces WHERE status='failed' ORDER BY timestamp DESC LIMIT 10"
    ),
    "retries": (
        "SELECT node_id, SUM(retry_count) as retries, COUNT(*) as total FROM request_traces"
        " GROUP BY node_id ORDER BY retries DESC"
    ),
    "hours": (
        "SELECT CAST((timestamp % 86400) / 3600 AS INTEGER) as hour, COUNT(*) as requests"
        " FROM request_traces GROUP BY hour ORDER BY hour"
    ),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_ollama_herds_documented_queries_give_what_sqlite_gives(
    log: Path, tmp_path: Path, name: str
) -> None:
    export(log, "--sqlite", str(tmp_path / "traces.db"))
    expected = in_sqlite(tmp_path / "traces.db", DOCUMENTED[name])
    found = asked(log, DOCUMENTED[name])
    assert found == expected
    assert [[type(value) for value in row] for row in found] == [
        [type(value) for value in row] for row in expected
    ]
    assert len(found) > 2


def test_the_documented_queries_depend_on_how_one_divides(log: Path) -> None:
    """Otherwise the tests above would prove nothing of it."""
    hours = dict(map(tuple, asked(log, DOCUMENTED["hours"])))
    rounded = DOCUMENTED["hours"].replace("/ 3600", "/ 3600.0")
    assert dict(map(tuple, asked(log, rounded))) != hours
    assert set(hours) <= set(range(24))
    assert asked(log, "SELECT 7 / 2 AS x") == [[3.5]]


def test_the_sqlite_file_has_the_rows_the_indexes_and_the_types(log: Path, tmp_path: Path) -> None:
    path = tmp_path / "traces.db"
    done = export(log, "--sqlite", str(path))
    every = "SELECT * FROM request_traces ORDER BY id"
    rows = in_sqlite(path, every)
    assert done.output == f"{path}: {len(rows)} rows\n"
    assert rows == asked(log, every)
    indexes = in_sqlite(path, "SELECT sql FROM sqlite_master WHERE type = 'index'")
    assert sorted(sql.split("(")[1] for (sql,) in indexes) == [
        "model, timestamp)",
        "node_id, model)",
        "request_id)",
        "tags)",
        "timestamp)",
    ]
    types = (
        "SELECT DISTINCT typeof(latency_ms), typeof(timestamp), typeof(tags) FROM request_traces"
    )
    assert in_sqlite(path, types) == [["real", "integer", "text"]]
    assert in_sqlite(path, "PRAGMA integrity_check") == [["ok"]]


@pytest.mark.parametrize("view", ["requests", "daily", "settings"])
def test_a_view_becomes_parquet_or_csv(log: Path, tmp_path: Path, view: str) -> None:
    query = f"SELECT count(*) AS n FROM {view}"  # noqa: S608 (ours)
    [[count]] = asked(log, query)
    export(log, "--parquet", str(tmp_path / "it's.parquet"), "--view", view)
    with duckdb.connect() as connection:
        path = [str(tmp_path / "it's.parquet")]
        found = connection.execute("SELECT count(*) FROM read_parquet(?)", path).fetchall()
    assert found == [(count,)]
    export(log, "--csv", str(tmp_path / "it.csv"), "--view", view)
    with (tmp_path / "it.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == count


def test_a_file_that_is_there_is_replaced_only_by_force(log: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("dear")
    with pytest.raises(HerdError, match="there already") as error:
        export(log, "--csv", str(path))
    assert "--force" in error.value.next_step
    assert path.read_text() == "dear"
    export(log, "--csv", str(path), "--force")
    assert path.read_text().startswith("request_id,")
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_nothing(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HerdError, match="cannot be written"):
        export(log, "--sqlite", str(tmp_path / "nowhere" / "traces.db"))

    def broken(path: Path, _rows: object) -> int:
        path.write_text("half")
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(herd.commands.export, "write_traces", broken)
    with pytest.raises(HerdError, match="disk I/O error"):
        export(log, "--sqlite", str(tmp_path / "traces.db"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [[], ["--csv", "a", "--parquet", "b"], ["--sqlite", "a", "--view", "daily"]]
)
def test_one_target_and_what_fits_it(log: Path, arguments: list[str]) -> None:
    assert export(log, *arguments).exit_code == 2
