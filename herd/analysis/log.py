"""The event log for notebooks and commands: one DuckDB connection with all the views.

It reads the sealed segments and the live journal where they lie, takes no lock, and works while
herd runs and when it does not.
"""

from pathlib import Path

import duckdb

from herd.errors import HerdError
from herd.journal.files import segments
from herd.logd.parquet import prepare, spans
from herd.logd.sql import incident_sql, open_sql, persistent
from herd.paths import DataDir, default_data_dir

VIEWS = (
    "events",
    "requests",
    "request_traces",
    "nodes",
    "decisions",
    "candidates",
    "contexts",
    "model_loads",
    "queue_depth",
    "ttft",
    "substitutions",
    "throughput",
    "apps",
    "tags",
    "request_tags",
    "api_keys",
    "daily",
    "daily_tags",
    "health_events",
    "key_usage",
    "settings",
)


def open_log(path: Path | str | None = None) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB that sees a log: of a data directory, or in an incident file.

    Without a path it is the default data directory's. Raises `HerdError` if there is no log.
    """
    if path is not None and Path(path).is_file():
        return _open_incident(Path(path))
    directory = default_data_dir() if path is None else DataDir(Path(path))
    if not segments(directory.journal) and not spans(directory.sealed):
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
    connection.execute(persistent(open_sql(directory))).fetchall()
    return connection


def _open_incident(path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    try:
        connection.execute(incident_sql(path)).fetchall()
    except duckdb.Error as error:
        connection.close()
        raise HerdError(
            f"{path} is no log: {str(error).splitlines()[0]}",
            "name a data directory, or a file that `herd incident save` made",
        ) from error
    return connection
