"""The file that opens the log to any DuckDB, with no herd and no lock."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from events import encode
from herd.analysis import VIEWS
from herd.journal.files import segment_path
from herd.logd.seal import unlink_sealed
from herd.logd.sql import write_open_sql
from herd.paths import DataDir
from tests.herd.journal.sample import busy_log
from tests.herd.logd.rig import data_dir, rows, seal_all, store, take_in, write

STRANGER = """
import duckdb, json, sys
con = duckdb.connect()
con.execute(open(sys.argv[1]).read())
print(json.dumps(con.execute(sys.argv[2]).fetchall(), default=str))
"""


def ask(directory: DataDir, query: str, cwd: Path) -> list[list[Any]]:
    """Ask as somebody would who has DuckDB and knows nothing of herd."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, str(directory.open_sql), query],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: list[list[Any]] = json.loads(done.stdout)
    return answer


NAMES = "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1"


def test_an_empty_log_is_an_empty_table(tmp_path: Path) -> None:
    directory = data_dir(tmp_path / "data")
    write_open_sql(directory)
    assert ask(directory, "FROM events", tmp_path) == []
    names = [name for (name,) in ask(directory, NAMES, tmp_path)]
    inner = {"carried", "further_tags", "kept_tags", "kept_totals", "request_usage"}
    assert names == sorted({*VIEWS, *inner})
    for name in names:
        assert ask(directory, f"SELECT count(*) FROM {name}", tmp_path) == [[0]]  # noqa: S608 (our names)


@pytest.mark.parametrize("name", ["plain", "it's [od]d", "st*rs", "ünïcode 漢字", 'two "quotes"'])
def test_it_works_from_anywhere_with_any_path(tmp_path: Path, name: str) -> None:
    """Sealed and live parts, and a neighbour that a careless pattern would match."""
    for neighbour in ("it's od", "stars", "star1s"):
        data_dir(tmp_path / neighbour)
        write(DataDir(tmp_path / neighbour), busy_log(3))
    directory = data_dir(tmp_path / name)
    write_open_sql(directory)
    write(directory, *(busy_log(10, first) for first in (1, 11, 21)))
    with store(directory) as db:
        seal_all(db, directory, take_in(db, directory))
        unlink_sealed(db, directory, 10**12)
    assert not segment_path(directory.journal, 1).exists()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert ask(directory, "SELECT count(*), max(seq) FROM events", elsewhere) == [[30, 30]]


def test_a_torn_last_line_is_not_there_yet(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write_open_sql(directory)
    write(directory, busy_log(5))
    with segment_path(directory.journal, 1).open("ab") as file:
        file.write(encode(busy_log(6)[5])[:-10])
    assert ask(directory, "SELECT count(*), max(seq) FROM events", tmp_path) == [[5, 5]]


@pytest.mark.long
def test_it_says_the_same_as_the_database(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write_open_sql(directory)
    write(directory, busy_log(30))
    query = "SELECT md5(string_agg(e::VARCHAR, ' ' ORDER BY e::VARCHAR)) FROM {} e"
    with store(directory) as db:
        take_in(db, directory)
        for table in VIEWS:
            text = query.format(table)
            assert ask(directory, text, tmp_path) == [list(row) for row in rows(db, text)]


def test_it_needs_no_room_where_it_is_already(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write_open_sql(directory)
    directory.open_sql.with_suffix(".tmp").mkdir()
    write_open_sql(directory)
    directory.open_sql.write_text("older")
    with pytest.raises(OSError, match="directory"):
        write_open_sql(directory)


def test_every_view_says_what_it_is(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write_open_sql(directory)
    query = "SELECT view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL"
    assert ask(directory, query, tmp_path) == []
