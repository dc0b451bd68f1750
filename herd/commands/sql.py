"""`herd sql`: any question to the event log, while herd runs and when it does not."""

import csv
import sys
from typing import Any

import click
import duckdb
import msgspec
from rich.console import Console
from rich.table import Table

from herd.analysis import VIEWS, open_log
from herd.errors import HerdError

MOST_SHOWN = 1000
"""Rows of a table on the terminal; `--json` and `--csv` write them all."""
_BATCH = 10_000
_TRIES = 3
_ENDLESS = 10_000
"""Columns where nobody looks on: in a file or a pipe no line is folded."""


@click.command()
@click.argument("query")
@click.option("--data-dir", help="The data directory; else FLEET_DATA_DIR or ~/.fleet-manager.")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON array, one row a line.")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV with a head.")
def command(query: str, data_dir: str | None, *, as_json: bool, as_csv: bool) -> None:
    """Ask the event log in SQL (DuckDB's).

    Tables: events, requests, request_traces, nodes, decisions, queue_depth, ttft, throughput.
    """
    if as_json and as_csv:
        raise click.UsageError("choose --json or --csv")
    result = _ask(query, data_dir)
    columns = [str(column[0]) for column in result.description or ()]
    if as_json:
        _write_json(columns, result)
    elif as_csv:
        _write_csv(columns, result)
    else:
        _write_table(columns, result)


def _ask(query: str, data_dir: str | None) -> duckdb.DuckDBPyConnection:
    for left in reversed(range(_TRIES)):
        connection = open_log(data_dir)
        try:
            return connection.execute(query)
        except duckdb.IOException as error:  # logd took a sealed segment's file out of the journal
            if not left:
                raise _refused(error) from error
        except duckdb.Error as error:
            raise _refused(error) from error
    raise AssertionError("the last try returns or raises")


def _refused(error: duckdb.Error) -> HerdError:
    return HerdError(
        str(error).strip(),
        f'the tables are {", ".join(VIEWS)}; `herd sql "DESCRIBE requests"` shows one\'s columns',
    )


def _write_json(columns: list[str], result: duckdb.DuckDBPyConnection) -> None:
    before = "[\n"
    while rows := result.fetchmany(_BATCH):
        for row in rows:
            line = msgspec.json.encode(dict(zip(columns, row, strict=True)), enc_hook=str)
            click.echo(before + line.decode(), nl=False)
            before = ",\n"
    click.echo("[]" if before == "[\n" else "\n]")


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
        return msgspec.json.encode(value, enc_hook=str).decode()
    return value
