"""Giving room back to the disk: DuckDB reuses the blocks of deleted rows, but keeps the file."""

import logging
from pathlib import Path

import duckdb

from herd.journal.disk import sync_directory, sync_file
from herd.logd.sql import QUIET, as_literal

FREE_BYTES = 64 << 20
"""Less than that is not worth writing the rest anew."""

_log = logging.getLogger(__name__)


def is_mostly_free(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether more than half of the file, and more than `FREE_BYTES`, is empty blocks."""
    used_bytes, free_bytes = _room(connection)
    return free_bytes > used_bytes and free_bytes > FREE_BYTES


def used_bytes(connection: duckdb.DuckDBPyConnection) -> int:
    """Return what the file takes without its empty blocks, which are filled again first."""
    return _room(connection)[0]


def _room(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    [(block_bytes, used, free)] = connection.execute(
        "SELECT block_size, used_blocks, free_blocks FROM pragma_database_size()"
        " WHERE database_name = current_database()"
    ).fetchall()
    return block_bytes * used, block_bytes * free


def compact(path: Path, settings: dict[str, str | bool | int | float | list[str]]) -> None:
    """Copy a closed database into a new file of the same name; on failure it stays as it is."""
    fresh = path.with_name(path.name + ".fresh")
    before_bytes = path.stat().st_size
    try:
        _remove(fresh)
        with duckdb.connect(config=settings) as connection:
            connection.execute(QUIET).fetchall()
            for file, name in ((path, "old (READ_ONLY)"), (fresh, "fresh")):
                connection.execute(f"ATTACH '{as_literal(str(file))}' AS {name}").fetchall()
            connection.execute("COPY FROM DATABASE old TO fresh").fetchall()
            connection.execute("CHECKPOINT fresh").fetchall()
        sync_file(fresh)
        fresh.replace(path)
        sync_directory(path.parent)
    except (duckdb.Error, OSError) as error:
        _log.warning("%s stays as large as it is: %s", path, error)
        _remove(fresh)
    else:
        _log.info("gave back %d bytes", before_bytes - path.stat().st_size)


def _remove(fresh: Path) -> None:
    for file in (fresh, fresh.with_name(fresh.name + ".wal")):
        file.unlink(missing_ok=True)
