"""Opening the DuckDB file, whatever state a crash left it in.

It is a projection: the journal and the sealed Parquet hold everything in it. So a damaged WAL is
cut off before the damage, a file that cannot be opened, or whose tables are those of an older or a
newer herd, is set aside (the last such is kept) and made anew, and ingest brings back what is
missing.
"""

import logging
import re
import shutil
from pathlib import Path

import duckdb
import psutil

from herd.errors import HerdError
from herd.logd.compact import compact, is_mostly_free
from herd.logd.sql import QUIET, persistent_views, text
from herd.platform import TITLE

SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "192MB",
    "wal_autocheckpoint": "32MB",
    "autoinstall_known_extensions": False,
}
"""One thread, as ingest and every query bring their own; measured to hold with sealing."""

_WAL_DAMAGE = re.compile(r"Corrupt WAL file: entry at byte position (\d+)")
_DAMAGE = re.compile(r"Corrupt|not a valid DuckDB|replaying WAL|version number|Serialization")
_LOCKED = "Could not set lock"
_HOLDER = re.compile(r"\(PID (\d+)\)")
LOGD = f"{TITLE}logd"
_MOST_REPAIRS = 3
_SHAPE = """
    SELECT table_name, column_name, data_type, is_nullable
    FROM duckdb_columns() SEMI JOIN duckdb_tables() USING (table_oid)
    ORDER BY ALL
"""
_log = logging.getLogger(__name__)


class DatabaseBusyError(HerdError):
    """Another process has the file open."""

    ends = False
    """Whether that is the logd of a herd whose place this one takes, which ends by itself."""

    @classmethod
    def of(cls, path: Path, said: str) -> "DatabaseBusyError":
        """Return what to tell of an error of DuckDB's, which names the process."""
        found = _HOLDER.search(said)
        pid = int(found[1]) if found else 0
        name = _title(pid) if pid else ""
        if name == LOGD:
            error = cls(
                f"the logd of the herd before (pid {pid}) still has {path}",
                "nothing is to be done: it ends by itself, and then the log is taken in; figures "
                "and health wait for that, requests and `herd log` do not",
            )
            error.ends = True
            return error
        who = f" ({name}, pid {pid})" if name else ""
        return cls(
            f"{path} is open in another program{who}, so the log cannot go there",
            f"close that program, or let it read {path.with_name('open.sql')} instead",
        )


def open_store(path: Path) -> duckdb.DuckDBPyConnection:
    """Open the file, repair, compact or replace it if need be; tables and views are ready then."""
    if _condemned(path).exists():
        set_aside(path)
    connection = _connect(path)
    if is_mostly_free(connection):
        connection.close()
        compact(path, SETTINGS)
        connection = _connect(path)
    if _is_of_another_herd(connection):
        connection.close()
        _log.warning("%s is of another version of herd: it is made anew from the log", path)
        set_aside(path)
        connection = _connect(path)
    connection.execute(QUIET).fetchall()
    connection.execute(text("schema.sql")).fetchall()
    connection.execute(persistent_views() + text("hours.sql") + text("health.sql")).fetchall()
    connection.execute("CHECKPOINT").fetchall()
    return connection


def is_damage(error: Exception) -> bool:
    """Return whether an error says that the file itself is bad."""
    return isinstance(error, duckdb.Error) and _DAMAGE.search(str(error)) is not None


def condemn(path: Path) -> None:
    """Let the next start make the file anew."""
    _condemned(path).touch()


def set_aside(path: Path) -> None:
    """Keep the file and its WAL under another name, in place of any kept before."""
    for file in (path, _wal(path)):
        if file.exists():
            file.replace(file.with_name(file.name + ".damaged"))
    _condemned(path).unlink(missing_ok=True)


def _is_of_another_herd(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether there are tables, and others than this herd makes."""
    found = connection.execute(_SHAPE).fetchall()
    with duckdb.connect(config=SETTINGS) as ours:
        ours.execute(text("schema.sql")).fetchall()
        return bool(found) and found != ours.execute(_SHAPE).fetchall()


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    for _ in range(_MOST_REPAIRS):
        try:
            return duckdb.connect(path, config=SETTINGS)
        except duckdb.Error as error:
            _repair(path, error)
    set_aside(path)
    return duckdb.connect(path, config=SETTINGS)


def _repair(path: Path, error: duckdb.Error) -> None:
    said = str(error)
    if _LOCKED in said:
        raise DatabaseBusyError.of(path, said) from error
    wal = _wal(path)
    if (found := _WAL_DAMAGE.search(said)) and wal.exists():
        _log.error("the WAL is damaged at byte %s: cut there, the rest is read again", found[1])
        shutil.copyfile(wal, wal.with_name(wal.name + ".damaged"))
        with wal.open("r+b") as file:
            file.truncate(int(found[1]))
    elif is_damage(error):
        _log.error("%s cannot be opened (%s): it is made anew", path, said)
        set_aside(path)
    else:
        raise error


def _title(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return ""


def _wal(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def _condemned(path: Path) -> Path:
    return path.with_name(path.name + ".condemned")
