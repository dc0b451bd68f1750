"""`herd sql`: any question to the event log, while herd runs and when it does not."""

import csv
import sys
from itertools import chain, count
from typing import Any

import click
import duckdb
import msgspec
from rich.console import Console
from rich.table import Table

from herd.analysis import VIEWS, open_log
from herd.errors import HerdError
from herd.logd.readers import ask

MOST_SHOWN = 1000
"""Rows of a table on the terminal; `--json` and `--csv` write them all."""
EXAMPLE = 'as in `herd sql "SELECT model, count(*) FROM requests GROUP BY ALL"`'
_BATCH = 10_000
_ENDLESS = 10_000
"""Columns where nobody looks on: in a file or a pipe no line is folded."""
_ENCODER = msgspec.json.Encoder(enc_hook=str, decimal_format="number")


@click.command(
    help=f"""Ask the event log in SQL (DuckDB's).

    Tables: {", ".join(VIEWS)}. `herd sql "DESCRIBE requests"` shows one's columns. Times are UTC.

    A query that names request_traces divides whole numbers as SQLite does (7 / 2 is 3), so that
    queries made for ollama-herd's table give the same here; anywhere else 7 / 2 is 3.5.
    """
)
@click.argument("query")
@click.option("--data-dir", help="The data directory; else FLEET_DATA_DIR or ~/.fleet-manager.")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON array, one row a line.")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV with a head.")
def command(query: str, data_dir: str | None, *, as_json: bool, as_csv: bool) -> None:
    """Ask the event log in SQL."""
    if as_json and as_csv:
        raise click.UsageError("choose --json or --csv")
    with open_log(data_dir) as log:
        if "request_traces" in query.lower():
            log.execute("SET integer_division = true").fetchall()
        try:
            if not log.extract_statements(query):
                raise HerdError("no query", EXAMPLE)
            result = ask(log, query)
            columns = [str(column[0]) for column in result.description or ()]
            if as_json:
                _write_json(columns, result)
            elif as_csv:
                _write_csv(columns, result)
            else:
                _write_table(columns, result)
        except duckdb.Error as error:  # also in the middle of the rows
            raise _refused(error) from error


def _refused(error: duckdb.Error) -> HerdError:
    if isinstance(error, duckdb.IOException):  # in the middle of rows: `ask` asked again before
        return HerdError(
            str(error).strip(),
            "if that is a file of the log, logd just sealed or dropped it: ask again",
        )
    return HerdError(
        str(error).strip(),
        f'the tables are {", ".join(VIEWS)}; `herd sql "DESCRIBE requests"` shows one\'s columns',
    )


def _write_json(columns: list[str], result: duckdb.DuckDBPyConnection) -> None:
    before, names = "[\n", _unlike(columns)
    while rows := result.fetchmany(_BATCH):
        for row in rows:
            line = _ENCODER.encode(dict(zip(names, row, strict=True)))
            click.echo(before + line.decode(), nl=False)
            before = ",\n"
    click.echo("[]" if before == "[\n" else "\n]")


def _unlike(columns: list[str]) -> list[str]:
    """Return the names, each once: a, a_1, a_2, as DuckDB has them of a subquery."""
    names: dict[str, None] = {}
    for column in columns:
        more = (f"{column}_{number}" for number in count(1))
        names[next(name for name in chain([column], more) if name not in names)] = None
    return list(names)


def _write_csv(columns: list[str], result: duckdb.DuckDBPyConnection) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    while rows := result.fetchmany(_BATCH):
        writer.writerows([_flat(value) for value in row] for row in rows)


def _write_table(columns: list[str], result: duckdb.DuckDBPyConnection) -> None:
    table = Table(*columns)
    rows = result.fetchmany(MOST_SHOWN)
    for row in rows:
        table.add_row(*(_shown(value) for value in row))
    console = Console() if sys.stdout.isatty() else Console(width=_ENDLESS)
    console.print(table)
    more = len(rows) == MOST_SHOWN and result.fetchone() is not None
    console.print(
        f"the first {MOST_SHOWN} rows; --json and --csv write all" if more else _count(rows)
    )


def _count(rows: list[Any]) -> str:
    return "1 row" if len(rows) == 1 else f"{len(rows)} rows"


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(_flat(value))


def _flat(value: object) -> object:
    """Return a nested value as JSON, any other as it is."""
    if isinstance(value, list | dict):
        return _ENCODER.encode(value).decode()
    return value
