"""The Parquet files of the log: named after the events they tell of, and never there in half.

DuckDB refuses a pattern that no file matches: an empty file beside them always does.
"""

import re
from pathlib import Path
from typing import NamedTuple

import duckdb

from herd.journal.disk import sync_directory, sync_file
from herd.logd.sql import EMPTY_PARQUET, EMPTY_SEGMENT, EMPTY_TAGS, as_literal, text
from herd.paths import DataDir

ROW_GROUP = 32_768
"""Rows: a row group is put together in memory, and skipped or read as one."""

_NAME = re.compile(r"(\d{20})-(\d{20})\.parquet")


class Span(NamedTuple):
    """Events from one `seq` to another, both included."""

    first_seq: int
    last_seq: int


def span_path(folder: Path, span: Span) -> Path:
    """Return the file that tells of these events."""
    return folder / f"{span.first_seq:020d}-{span.last_seq:020d}.parquet"


def tags_path(folder: Path, span: Span) -> Path:
    """Return the file that has the tags of the totals of these events."""
    return span_path(folder, span).with_suffix(".tags")


def spans(folder: Path) -> list[Span]:
    """Return what there is, oldest first; nothing if there is no such folder."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    matches = (_NAME.fullmatch(name) for name in names)
    return sorted(Span(int(found[1]), int(found[2])) for found in matches if found)


def prepare(directory: DataDir) -> None:
    """Make the empty files that let DuckDB's patterns always match, where they are missing."""
    for folder in (directory.journal, directory.sealed, directory.totals):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (directory.journal / EMPTY_SEGMENT).exists():
        (directory.journal / EMPTY_SEGMENT).touch(mode=0o600)
    for path, table in (
        (directory.sealed / EMPTY_PARQUET, "events"),
        (directory.totals / EMPTY_PARQUET, "kept_totals"),
        (directory.totals / EMPTY_TAGS, "kept_tags"),
    ):
        if not path.exists():
            with duckdb.connect() as connection:
                connection.execute(text("schema.sql")).fetchall()
                write_parquet(connection, f"FROM {table}", path)


def sweep(directory: DataDir) -> None:
    """Remove what a killed logd left unfinished."""
    for folder in (directory.sealed, directory.totals):
        for path in folder.glob("*.tmp"):
            path.unlink(missing_ok=True)


def write_parquet(connection: duckdb.DuckDBPyConnection, rows: str, path: Path) -> int:
    """Write rows to a file that is whole from the moment it has its name; return how many."""
    fresh = path.with_name(path.name + ".tmp")
    try:
        [(count,)] = connection.execute(
            f"COPY ({rows}) TO '{as_literal(str(fresh))}'"
            f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
        ).fetchall()
        sync_file(fresh)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
    return int(count)
