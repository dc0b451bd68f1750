"""Closed segments become Parquet: a fifth of the size, and quick to query.

A segment is sealed once it is ingested and is not among the newest two. Its file in the journal
goes `KEEP_BESIDE_S` later: readers count the sealed copy from the moment that file is gone
(`open.sql`), so by then every reader has to see the copy. A segment with quarantined lines keeps
its file, which is the only place where those lines stand as they were written.
"""

import logging
import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import duckdb

from herd.journal.disk import sync_directory, sync_file
from herd.journal.files import Segment, segments
from herd.logd.sql import EMPTY_SEALED, EMPTY_SEGMENT, as_literal, text
from herd.paths import DataDir

KEEP_BESIDE_S = 60.0
ROW_GROUP = 32_768
"""Rows: a row group is put together in memory, and skipped or read as one."""
NEWEST_KEPT = 2
"""Segments that stay in the journal whatever happens: a restart of control needs them."""

_NAME = re.compile(r"(\d{20})-(\d{20})\.parquet")
_log = logging.getLogger(__name__)


class SealedSegment(NamedTuple):
    """One segment as Parquet."""

    first_seq: int
    last_seq: int
    path: Path


def sealed_segments(directory: Path) -> list[SealedSegment]:
    """Return what is sealed, oldest first; nothing if there is no folder yet."""
    try:
        names = [entry.name for entry in directory.iterdir()]
    except FileNotFoundError:
        return []
    matches = (_NAME.fullmatch(name) for name in names)
    return sorted(
        SealedSegment(int(found[1]), int(found[2]), directory / found[0])
        for found in matches
        if found
    )


def prepare(directory: DataDir) -> None:
    """Make the empty files that let DuckDB's patterns always match, where they are missing."""
    directory.journal.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.sealed.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (directory.journal / EMPTY_SEGMENT).exists():
        (directory.journal / EMPTY_SEGMENT).touch(mode=0o600)
    if not (directory.sealed / EMPTY_SEALED).exists():
        with duckdb.connect() as connection:
            connection.execute(text("schema.sql")).fetchall()
            _copy(connection, "FROM events", directory.sealed / EMPTY_SEALED)


def seal_next(
    connection: duckdb.DuckDBPyConnection, directory: DataDir, ingesting_seq: int
) -> SealedSegment | None:
    """Seal the oldest segment that can be; `ingesting_seq` is the segment being taken in now."""
    found = segments(directory.journal)
    sealed = {segment.first_seq for segment in sealed_segments(directory.sealed)}
    for segment, after in pairwise(found[: 1 - NEWEST_KEPT]):
        if segment.first_seq not in sealed and segment.first_seq < ingesting_seq:
            return _seal(connection, directory.sealed, segment, after.first_seq - 1)
    return None


def unlink_sealed(
    connection: duckdb.DuckDBPyConnection,
    directory: DataDir,
    now_s: float,
    *,
    keep_beside_s: float = KEEP_BESIDE_S,
) -> list[Segment]:
    """Remove the files of the journal that readers no longer need; return their segments."""
    sealed = {segment.first_seq: segment.path for segment in sealed_segments(directory.sealed)}
    rows = connection.execute("SELECT DISTINCT first_seq FROM quarantine").fetchall()
    damaged = {first_seq for (first_seq,) in rows}
    gone: list[Segment] = []
    for segment in segments(directory.journal)[:-NEWEST_KEPT]:
        copy = sealed.get(segment.first_seq)
        if copy is None or segment.first_seq in damaged:
            continue
        if now_s - copy.stat().st_mtime >= keep_beside_s:
            segment.path.unlink()
            gone.append(segment)
    return gone


def _seal(
    connection: duckdb.DuckDBPyConnection, sealed: Path, segment: Segment, last_seq: int
) -> SealedSegment:
    path = sealed / f"{segment.first_seq:020d}-{last_seq:020d}.parquet"
    rows = f"FROM events WHERE seq BETWEEN {segment.first_seq} AND {last_seq}"
    count = _copy(connection, rows, path)
    _log.info("sealed %d events from %d on", count, segment.first_seq)
    return SealedSegment(segment.first_seq, last_seq, path)


def _copy(connection: duckdb.DuckDBPyConnection, rows: str, path: Path) -> int:
    """Write rows to a Parquet file that is whole from the moment it has its name."""
    fresh = path.with_suffix(".tmp")
    [(count,)] = connection.execute(
        f"COPY ({rows}) TO '{as_literal(str(fresh))}'"
        f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
    ).fetchall()
    sync_file(fresh)
    fresh.replace(path)
    sync_directory(path.parent)
    return int(count)
