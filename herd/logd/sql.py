"""The SQL of this room, read from the files beside it and filled in."""

from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template

from herd.paths import DataDir

EMPTY_SEGMENT = "empty.ndjson"
EMPTY_PARQUET = "empty.parquet"
EMPTY_TAGS = "empty.tags"
"""DuckDB refuses a pattern that no file matches: these always do."""

QUIET = "SET enable_progress_bar = false"
"""DuckDB takes a process that was spawned for one in which somebody types."""

_VIEWS = ("views.sql", "trace_views.sql", "fleet_views.sql", "usage_views.sql")

_GLOB_CHARACTERS = "[*?"


@cache
def text(name: str) -> str:
    """Return one of the files."""
    return files("herd.logd").joinpath(name).read_text(encoding="utf-8")


def projection(lines: str) -> str:
    """Return the query that makes rows of events of a query with raw lines in `json`."""
    return Template(text("projection.sql")).substitute(lines=lines)


def views() -> str:
    """Return the views over `events` and `kept_totals`."""
    return "\n".join(text(name) for name in _VIEWS)


def persistent_views() -> str:
    """Return the views for the DuckDB file itself, over its tables `events` and `kept_totals`."""
    return persistent(views())


def persistent(sql: str) -> str:
    """Return the same views for a database of one's own, where cursors see them too."""
    return sql.replace(" TEMP VIEW ", " VIEW ")


def open_sql(directory: DataDir) -> str:
    """Return what gives any DuckDB the views over this data directory's files."""
    sources = Template(text("open.sql")).substitute(
        journal=as_pattern(str(directory.journal)),
        sealed=as_pattern(str(directory.sealed)),
        totals=as_pattern(str(directory.totals)),
        live=projection("FROM live_lines"),
    )
    return sources + views()


def incident_sql(path: Path) -> str:
    """Return what gives a DuckDB the views over the events of one incident file."""
    lines = f"SELECT json FROM read_ndjson_objects('{as_pattern(str(path))}', compression = 'gzip')"  # noqa: S608 (escaped)
    rows = f"SELECT * FROM ({projection(lines)}) WHERE seq IS NOT NULL"  # noqa: S608 (our own files)
    events = f"CREATE OR REPLACE TABLE events AS {rows}"
    return f"{text('schema.sql')}\n{events};\n{persistent_views()}"


def write_open_sql(directory: DataDir) -> None:
    """Leave it in the data directory, for whoever has a DuckDB and no herd.

    One that is there already needs no room on a full disk.
    """
    wanted = open_sql(directory)
    with suppress(OSError):
        if directory.open_sql.read_text(encoding="utf-8") == wanted:
            return
    fresh = directory.open_sql.with_suffix(".tmp")
    fresh.write_text(wanted, encoding="utf-8")
    fresh.replace(directory.open_sql)


def as_literal(path: str) -> str:
    """Return a path as it stands between the quotes of an SQL string."""
    return path.replace("'", "''")


def as_pattern(path: str) -> str:
    """Return a path as it stands in a quoted glob pattern, where it means itself."""
    plain = "".join(f"[{char}]" if char in _GLOB_CHARACTERS else char for char in path)
    return as_literal(plain)
