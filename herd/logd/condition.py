"""How the log itself is, for Prometheus: how far DuckDB is behind the journal, what it lacks."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
from prometheus_client.core import GaugeMetricFamily, Metric

from herd.journal.files import segments
from herd.journal.tail import Position, waiting_since_us
from herd.logd.rollup import newest_seq

_CONDITION = """
    SELECT
        (SELECT coalesce(sum(to_seq - from_seq + 1), 0)::BIGINT FROM gaps),
        (SELECT count(*) FROM quarantine)"""
_POSITION = "SELECT first_seq, offset_bytes FROM ingested ORDER BY ALL DESC LIMIT 1"


def condition(cursor: duckdb.DuckDBPyConnection, journal: Path, now_s: float) -> Iterator[Metric]:
    """Return gauges; `now_s` is seconds since the epoch.

    The lag is the age of what waits, not of what came before it: that may have been hours ago.
    """
    [(missing, unread)] = cursor.execute(_CONDITION).fetchall()
    position = _position(cursor)
    since_us = waiting_since_us(journal, position)
    lag_s = 0.0 if since_us is None else max(0.0, now_s - since_us / 1e6)
    for name, what, value in (
        ("herd_log_lag_seconds", "Age of the oldest event that is not taken in yet.", lag_s),
        ("herd_log_behind_bytes", "Of the journal, not taken in yet.", _behind(position, journal)),
        ("herd_log_last_seq", "Number of the newest event taken in.", newest_seq(cursor)),
        ("herd_log_missing_events", "Numbers that the log lacks.", missing),
        ("herd_log_unreadable_lines", "Lines of the journal that are no events.", unread),
    ):
        yield GaugeMetricFamily(name, what, value=value)


def _position(cursor: duckdb.DuckDBPyConnection) -> Position:
    positions = cursor.execute(_POSITION).fetchall()
    return Position(*positions[0]) if positions else Position()


def _behind(position: Position, journal: Path) -> int:
    """Return how many bytes of the journal are behind the place up to which it was taken in."""
    first_seq, offset_bytes = position
    behind = 0
    for segment in segments(journal):
        if segment.first_seq >= first_seq:
            with suppress(FileNotFoundError):  # it was sealed just now
                size = segment.path.stat().st_size
                behind += size - (offset_bytes if segment.first_seq == first_seq else 0)
    return max(0, behind)
