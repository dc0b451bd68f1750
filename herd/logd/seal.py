"""Closed segments become Parquet: a fifth of the size, and quick to query.

- A segment can be sealed once it is ingested and is not among the newest two. Neighbours are sealed
  together, since every start of control begins a segment: when they are large enough, or old.
- The files in the journal go `KEEP_BESIDE_S` later, oldest first: readers count the sealed copy
  from the moment its first segment's file is gone (`open.sql`), so by then all of them see it.
- A segment with quarantined lines keeps its file, which is the only place where those lines stand
  as they were written. It is sealed alone, so that no neighbour has to stay with it.
"""

import logging
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import duckdb

from herd.journal.files import Segment, segments
from herd.logd.parquet import Span, span_path, spans, write_parquet
from herd.paths import DataDir

KEEP_BESIDE_S = 60.0
NEWEST_KEPT = 2
"""Segments that stay in the journal whatever happens: a restart of control needs them."""

_log = logging.getLogger(__name__)


class Group(NamedTuple):
    """How many neighbours are sealed together; what is reached first counts."""

    size_bytes: int = 64 << 20
    """Of NDJSON,"""
    events: int = 250_000
    """or events,"""
    segments: int = 256
    """or files, as readers open each of them,"""
    age_s: float = 24 * 3600.0
    """or time since the oldest was closed."""


GROUP = Group()


def seal_next(
    connection: duckdb.DuckDBPyConnection,
    directory: DataDir,
    ingesting_seq: int,
    now_s: float,
    group: Group = GROUP,
) -> Span | None:
    """Seal the oldest segments that are due; `ingesting_seq` is the segment being taken in now."""
    ready, is_full = _ready(connection, directory, ingesting_seq, group)
    if not ready:
        return None
    if not is_full and now_s - ready[0].path.stat().st_mtime < group.age_s:
        return None
    span = Span(ready[0].first_seq, ready[-1].last_seq)
    rows = f"FROM events WHERE seq BETWEEN {span.first_seq} AND {span.last_seq}"
    count = write_parquet(connection, rows, span_path(directory.sealed, span))
    _log.info("sealed %d events of %d segments from %d on", count, len(ready), span.first_seq)
    return span


def unlink_sealed(
    connection: duckdb.DuckDBPyConnection,
    directory: DataDir,
    now_s: float,
    *,
    keep_beside_s: float = KEEP_BESIDE_S,
) -> list[Segment]:
    """Remove the files of the journal that readers no longer need; return their segments."""
    sealed = spans(directory.sealed)
    damaged = _damaged(connection)
    gone: list[Segment] = []
    for segment in segments(directory.journal)[:-NEWEST_KEPT]:
        span = _holding(sealed, segment.first_seq)
        if span is None or segment.first_seq in damaged:
            continue
        if now_s - span_path(directory.sealed, span).stat().st_mtime >= keep_beside_s:
            segment.path.unlink()
            gone.append(segment)
    return gone


class _Closed(NamedTuple):
    """A segment that nobody writes to any more."""

    first_seq: int
    last_seq: int
    path: Path


def _ready(
    connection: duckdb.DuckDBPyConnection, directory: DataDir, ingesting_seq: int, group: Group
) -> tuple[list[_Closed], bool]:
    """Return the oldest neighbours that can be sealed together, and whether no more can join."""
    sealed = spans(directory.sealed)
    damaged = _damaged(connection)
    ready: list[_Closed] = []
    size_bytes = 0
    for segment, after in pairwise(segments(directory.journal)[: 1 - NEWEST_KEPT]):
        if segment.first_seq >= ingesting_seq:
            break
        if _holding(sealed, segment.first_seq) is not None:
            if ready:
                return ready, True
            continue
        if ready and segment.first_seq in damaged:
            return ready, True
        ready.append(_Closed(segment.first_seq, after.first_seq - 1, segment.path))
        size_bytes += segment.path.stat().st_size
        if (
            size_bytes >= group.size_bytes
            or after.first_seq - ready[0].first_seq >= group.events
            or len(ready) >= group.segments
            or segment.first_seq in damaged
        ):
            return ready, True
    return ready, False


def _holding(sealed: list[Span], seq: int) -> Span | None:
    """Return the sealed copy of a segment."""
    return next((span for span in sealed if span.first_seq <= seq <= span.last_seq), None)


def _damaged(connection: duckdb.DuckDBPyConnection) -> set[int]:
    rows = connection.execute("SELECT DISTINCT first_seq FROM quarantine").fetchall()
    return {first_seq for (first_seq,) in rows}
