"""The event log for notebooks and commands: one DuckDB connection with all the views.

It reads the sealed segments and the live journal where they lie, takes no lock, and works while
herd runs and when it does not.
"""

from pathlib import Path

import duckdb

from herd.errors import HerdError
from herd.journal.files import segments
from herd.logd.seal import prepare, sealed_segments
from herd.logd.sql import open_sql
from herd.paths import DataDir, default_data_dir

VIEWS = (
    "events",
    "requests",
    "request_traces",
    "nodes",
    "decisions",
    "queue_depth",
    "ttft",
    "throughput",
)


def open_log(data_dir: Path | str | None = None) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB that sees the log of a data directory, the default one if none is named."""
    directory = default_data_dir() if data_dir is None else DataDir(Path(data_dir))
    if not segments(directory.journal) and not sealed_segments(directory.sealed):
        raise HerdError(
            f"there is no log yet in {directory.root}",
            "start the balancer with `herd run`, or name another --data-dir",
        )
    try:
        prepare(directory)
    except OSError as error:
        raise HerdError(
            f"the log in {directory.root} cannot be read: {error.strerror or error}",
            "read it as the user who runs herd",
        ) from error
    connection = duckdb.connect()
    connection.execute(open_sql(directory)).fetchall()
    return connection
