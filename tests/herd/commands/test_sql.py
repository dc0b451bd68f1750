"""`herd sql`: tables, JSON, CSV, and errors that name the next step."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import herd.commands.sql
from herd.commands.sql import command
from herd.errors import HerdError
from tests.herd.journal.sample import busy_log
from tests.herd.logd.rig import data_dir, write


@pytest.fixture
def log(tmp_path: Path) -> Path:
    write(data_dir(tmp_path), busy_log(31))
    return tmp_path


def run(log: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--data-dir", str(log)], catch_exceptions=False)


def test_a_table_for_people(log: Path) -> None:
    done = run(log, "SELECT kind, count(*) AS events FROM events GROUP BY ALL ORDER BY ALL")
    cells = [line.split() for line in done.output.splitlines() if "request_" in line]
    assert ["│", "request_received", "│", "10", "│"] in cells
    assert done.output.endswith("4 rows\n")


def test_a_long_table_says_that_there_is_more(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(herd.commands.sql, "MOST_SHOWN", 5)
    assert run(log, "SELECT seq FROM events").output.endswith(
        "the first 5 rows; --json and --csv write all\n"
    )
    assert run(log, "SELECT seq FROM events LIMIT 5").output.endswith("5 rows\n")


def test_json_for_programs(log: Path) -> None:
    done = run(
        log,
        "SELECT request_id, model, status, received_at, ttft_s FROM requests"
        " ORDER BY received_at LIMIT 2",
        "--json",
    )
    found = json.loads(done.output)
    assert len(found) == 2
    assert found[0]["status"] == "completed"
    assert found[0]["received_at"] == "2025-10-09T08:53:20.002000"
    assert json.loads(run(log, "SELECT 1 AS x WHERE false", "--json").output) == []


def test_json_keeps_columns_of_the_same_name(log: Path) -> None:
    done = run(log, "SELECT 1 AS a, 2 AS a, 3 AS b, 4 AS a_1, 5 AS a", "--json")
    assert json.loads(done.output) == [{"a": 1, "a_1": 2, "b": 3, "a_1_1": 4, "a_2": 5}]


def test_json_has_decimals_as_numbers(log: Path) -> None:
    done = run(log, "SELECT 1.5 AS a, [0.25] AS b, 1e300 AS c", "--json")
    assert json.loads(done.output) == [{"a": 1.5, "b": [0.25], "c": 1e300}]
    assert run(log, "SELECT [0.25] AS b", "--csv").output == "b\n[0.25]\n"


def test_csv_for_spreadsheets(log: Path) -> None:
    done = run(log, "SELECT seq, terms FROM decisions ORDER BY seq LIMIT 1", "--csv")
    [row] = csv.DictReader(io.StringIO(done.output))
    assert row["seq"] == "3"
    assert json.loads(json.loads(row["terms"])[0])[5] == 90.5


def test_a_wrong_query_shows_where_and_what_there_is(log: Path) -> None:
    with pytest.raises(HerdError, match=r"(?s)request_idd.*LINE 1.*\^") as error:
        run(log, "SELECT request_idd FROM requests")
    assert "request_traces" in error.value.next_step


@pytest.mark.parametrize("query", ["", " ", ";", "/* nothing */"])
def test_no_query_is_answered_with_an_example(log: Path, query: str) -> None:
    with pytest.raises(HerdError, match="no query") as error:
        run(log, query)
    example = error.value.next_step.split('"')[1]
    assert run(log, example).output.endswith(" rows\n")


def test_where_no_log_is_yet_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(HerdError, match="there is no log yet") as error:
        run(tmp_path, "SELECT 1")
    assert "herd run" in error.value.next_step
    assert not list(tmp_path.iterdir())


def test_a_file_that_logd_took_away_is_told_as_that(log: Path) -> None:
    with pytest.raises(HerdError, match="No files found") as error:
        run(log, f"FROM read_parquet('{log}/log/sealed/dropped.parquet')")
    assert "ask again" in error.value.next_step
