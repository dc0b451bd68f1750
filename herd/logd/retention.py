"""How long the log is kept: so many days or bytes, whichever comes first.

The oldest sealed file goes whole, one at a time, never a segment of the journal:

1. what is left of it in the journal (a damaged segment) is unlinked;
2. its requests go into the totals: `daily` counts them there from now on;
3. its events are deleted from the database;
4. `KEEP_BESIDE_S` later, when no reader's query is as old, its file is unlinked.

Killed anywhere, the next look goes on. A file stays while a request received in it runs, so that a
total is final. What is kept begins with a stored state, since every sealed file does: settings,
learned speeds and the catalogue outlive what is dropped.
"""

import logging
import os
from typing import NamedTuple

import duckdb

from herd.journal.files import segments
from herd.logd.compact import used_bytes
from herd.logd.parquet import Span, span_path, spans
from herd.logd.seal import GROUP, KEEP_BESIDE_S, Group
from herd.logd.totals import count_in, floor, forget, id_range
from herd.paths import DataDir

DAY_S = 24 * 3600.0
_log = logging.getLogger(__name__)


class Keep(NamedTuple):
    """How much of the log is kept."""

    days: float = 30.0
    size_bytes: int = 5_000_000_000
    """Of Parquet, journal and database together."""

    @property
    def group(self) -> Group:
        """How large a group may become, so that there is always something small enough to drop."""
        return GROUP._replace(
            size_bytes=min(GROUP.size_bytes, self.size_bytes // 8),
            age_s=min(GROUP.age_s, self.days * DAY_S / 8),
        )


def drop_next(
    connection: duckdb.DuckDBPyConnection,
    directory: DataDir,
    keep: Keep,
    now_s: float,
    *,
    keep_beside_s: float = KEEP_BESIDE_S,
) -> Span | None:
    """Drop the oldest sealed file if it is due, as far as the totals and the database."""
    lowest = floor(directory)
    _catch_up(connection, directory, lowest)
    kept = [span for span in spans(directory.sealed) if span.last_seq > lowest]
    if not kept or not _is_due(connection, directory, keep, now_s, kept):
        return None
    oldest = kept[0]
    path = span_path(directory.sealed, oldest)
    if now_s - path.stat().st_mtime < keep_beside_s or _is_open(connection, oldest):
        return None
    for segment in segments(directory.journal):
        if oldest.first_seq <= segment.first_seq <= oldest.last_seq:
            segment.path.unlink()
    os.utime(path, (now_s, now_s))  # from here on it is kept beside the totals
    count_in(connection, directory, oldest)
    forget(connection, directory)
    _log.info("dropped the events %d to %d; their totals are kept", *oldest)
    return oldest


def unlink_dropped(
    directory: DataDir, now_s: float, *, keep_beside_s: float = KEEP_BESIDE_S
) -> list[Span]:
    """Remove the sealed files that are in the totals, once no reader needs them; return them."""
    lowest = floor(directory)
    gone: list[Span] = []
    for span in spans(directory.sealed):
        path = span_path(directory.sealed, span)
        if span.last_seq <= lowest and now_s - path.stat().st_mtime >= keep_beside_s:
            path.unlink()
            gone.append(span)
    return gone


def _catch_up(connection: duckdb.DuckDBPyConnection, directory: DataDir, lowest: int) -> None:
    """Delete what a full disk, or an end in between, left in the database below the floor."""
    left = connection.execute("SELECT seq FROM events WHERE seq <= ? LIMIT 1", [lowest]).fetchall()
    if left:
        forget(connection, directory)


def _is_due(
    connection: duckdb.DuckDBPyConnection,
    directory: DataDir,
    keep: Keep,
    now_s: float,
    kept: list[Span],
) -> bool:
    files = [span_path(directory.sealed, span) for span in kept]
    files += [segment.path for segment in segments(directory.journal)]
    if used_bytes(connection) + sum(path.stat().st_size for path in files) > keep.size_bytes:
        return True
    [(newest_s,)] = connection.execute(
        "SELECT epoch(max(recorded_at)) FROM events WHERE seq BETWEEN ? AND ?", kept[0]
    ).fetchall()
    return newest_s is None or now_s - newest_s > keep.days * DAY_S


def _is_open(connection: duckdb.DuckDBPyConnection, span: Span) -> bool:
    """Return whether a request received there still runs.

    One whose end was not recorded, as on a full disk, is over if the newest stored state does not
    know it.
    """
    unended = connection.execute(
        "SELECT request_id FROM events WHERE kind = 'request_received' AND seq BETWEEN $1 AND $2"
        " EXCEPT SELECT request_id FROM events"
        " WHERE seq > $1 AND request_id BETWEEN $3 AND $4 AND kind IN ("
        " 'request_completed', 'request_failed', 'request_cancelled', 'request_rejected',"
        " 'request_reaped', 'request_interrupted')",
        [*span, *id_range(connection, span)],
    ).fetchall()
    if not unended:
        return False
    states = connection.execute(
        "SELECT payload::VARCHAR FROM events WHERE kind = 'state_snapshotted' AND seq > ?"
        " ORDER BY seq DESC LIMIT 1",
        [span.last_seq],
    ).fetchall()
    return not states or any(request_id in states[0][0] for (request_id,) in unended)
