"""`herd export`: the log as a file for other programs."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import duckdb

from herd.analysis import VIEWS, open_log
from herd.errors import HerdError
from herd.journal.disk import sync_directory, sync_file
from herd.logd.readers import ask
from herd.logd.sql import as_literal
from herd.logd.sqlite import COLUMNS, write_traces
from herd.progress import watched

_BATCH = 10_000
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--sqlite", type=_FILE, help="Write request_traces, as in ollama-herd's database.")
@click.option("--parquet", type=_FILE, help="Write a view as Parquet.")
@click.option("--csv", type=_FILE, help="Write a view as CSV with a head.")
@click.option("--view", type=click.Choice(VIEWS), metavar="NAME", help="Which view; else requests.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--data-dir", help="The data directory; else FLEET_DATA_DIR or ~/.fleet-manager.")
def command(  # noqa: PLR0913 (one parameter an option)
    *,
    sqlite: Path | None,
    parquet: Path | None,
    csv: Path | None,
    view: str | None,
    force: bool,
    data_dir: str | None,
) -> None:
    """Write the log as one file, while herd runs and when it does not.

    After `herd export --sqlite traces.db` the queries that ollama-herd documents run unchanged:
    `sqlite3 traces.db "SELECT status, COUNT(*) FROM request_traces GROUP BY status"`.
    """
    targets = [path for path in (sqlite, parquet, csv) if path is not None]
    if len(targets) != 1:
        raise click.UsageError("choose one of --sqlite, --parquet and --csv")
    if sqlite is not None and view is not None:
        raise click.UsageError("--sqlite writes request_traces, and no other --view")
    with open_log(data_dir) as log:
        if sqlite is not None:
            count = _whole(sqlite, lambda fresh: _write_sqlite(log, fresh), force=force)
        else:
            form = "parquet, COMPRESSION zstd" if parquet is not None else "csv, HEADER"
            query = f"FROM {view or 'requests'} ORDER BY 1"
            count = _whole(targets[0], lambda fresh: _copy(log, query, form, fresh), force=force)
    click.echo(f"{targets[0]}: {count} rows")


def _whole(path: Path, write: Callable[[Path], int], *, force: bool) -> int:
    """Have a file written beside its name and renamed, so that it is there whole or not at all."""
    if path.exists() and not force:
        raise HerdError(f"{path} is there already", "name another file, or replace it with --force")
    fresh = path.with_name(f".{path.name}.tmp")
    try:
        fresh.unlink(missing_ok=True)
        count = write(fresh)
        sync_file(fresh)
        fresh.replace(path)
        sync_directory(path.parent)
    except (OSError, duckdb.Error, sqlite3.Error) as error:
        raise HerdError(
            f"{path} cannot be written: {error}", "see whether its folder is there and has room"
        ) from error
    finally:
        fresh.unlink(missing_ok=True)
    return count


def _write_sqlite(log: duckdb.DuckDBPyConnection, fresh: Path) -> int:
    [(count,)] = ask(log, "SELECT count(*) FROM request_traces").fetchall()
    result = ask(log, f"SELECT {', '.join(COLUMNS)} FROM request_traces ORDER BY id")  # noqa: S608 (constants)
    return write_traces(fresh, watched(_rows(result), count, "request_traces"))


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := result.fetchmany(_BATCH):
        yield from rows


def _copy(log: duckdb.DuckDBPyConnection, query: str, form: str, fresh: Path) -> int:
    to = as_literal(str(fresh))
    [(count,)] = ask(log, f"COPY ({query}) TO '{to}' (FORMAT {form})").fetchall()
    return int(count)
