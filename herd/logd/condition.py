"""How the log itself is, for Prometheus: how far DuckDB is behind the journal, what it lacks."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
from prometheus_client.core import GaugeMetricFamily, Metric

from herd.journal.files import segments
from herd.logd.rollup import newest_seq

_CONDITION = """
    SELECT
        (SELECT epoch(recorded_at) FROM events WHERE seq = $last),
        (SELECT coalesce(sum(to_seq - from_seq + 1), 0)::BIGINT FROM gaps),
        (SELECT count(*) FROM quarantine)"""
_POSITION = "SELECT first_seq, offset_bytes FROM ingested ORDER BY ALL DESC LIMIT 1"


def condition(cursor: duckdb.DuckDBPyConnection, journal: Path, now_s: float) -> Iterator[Metric]:
    """Return gauges; `now_s` is seconds since the epoch."""
    last_seq = newest_seq(cursor)
    [(last_at_s, missing, unread)] = cursor.execute(_CONDITION, {"last": last_seq}).fetchall()
    behind = behind_bytes(cursor, journal)
    lag_s = max(0.0, now_s - last_at_s) if behind and last_at_s is not None else 0.0
    for name, what, value in (
        ("herd_log_lag_seconds", "Age of the newest event taken in, while others are not.", lag_s),
        ("herd_log_behind_bytes", "Of the journal, not taken in yet.", behind),
        ("herd_log_last_seq", "Number of the newest event taken in.", last_seq),
        ("herd_log_missing_events", "Numbers that the log lacks.", missing),
        ("herd_log_unreadable_lines", "Lines of the journal that are no events.", unread),
    ):
        yield GaugeMetricFamily(name, what, value=value)


def behind_bytes(cursor: duckdb.DuckDBPyConnection, journal: Path) -> int:
    """Return how much of the journal is behind the place up to which it was taken in."""
    positions = cursor.execute(_POSITION).fetchall()
    first_seq, offset_bytes = positions[0] if positions else (0, 0)
    behind = 0
    for segment in segments(journal):
        if segment.first_seq >= first_seq:
            with suppress(FileNotFoundError):  # it was sealed just now
                size = segment.path.stat().st_size
                behind += size - (offset_bytes if segment.first_seq == first_seq else 0)
    return max(0, behind)
