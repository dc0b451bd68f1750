"""Sums by time: stretch by stretch of the log, each counted once, when its requests have ended.

`rolled...` and what came since are all there is, so a page costs the same however long the log is.
A stretch ends before the oldest request that is still open, and where a segment does: what
retention drops is whole stretches.
"""

import duckdb

from herd.logd.parquet import Span
from herd.logd.totals import id_range

STRETCH = 50_000
"""The most events that are counted in one go."""
LEAST = 5_000
"""Fewer are left to be counted with the next, unless a segment ends there."""
PATIENCE = 100_000
"""A request that is open for so many events is counted as it is: the others do not wait for it."""
LONGEST_TAIL = 160_000
"""The most events that a question counts by itself: what is older waits for `rolled`."""

NOBODY = "~"
"""Behind every id: where nothing was received since, no request is looked at."""

_KEYS = "hour, model, node_id"
_COUNTS = [
    *("requests", "completed", "failed", "cancelled", "rejected", "retries", "cold"),
    *("prompt_tokens", "completion_tokens", "begun", "timed"),
]
_SECONDS = ["queue_s", "ttft_s", "service_s"]

_OPEN = """
    SELECT min(received_seq) FROM request_hours
    WHERE status IN ('waiting', 'in_flight') AND received_seq BETWEEN $first AND $last
    AND request_id BETWEEN $first_id AND $last_id"""
_TAG_COUNTS = [
    *("requests", "completed", "failed", "cancelled", "rejected"),
    *("prompt_tokens", "completion_tokens"),
]
_COUNT = """
    CREATE OR REPLACE TEMP TABLE counted AS
    FROM request_hours
    WHERE received_seq BETWEEN $first AND $last AND request_id BETWEEN $first_id AND $last_id"""
_ROLL = f"""
    INSERT INTO rolled BY NAME
    SELECT
        $last AS last_seq, {_KEYS},
        sum(COLUMNS({_COUNTS}))::BIGINT, sum(COLUMNS({_SECONDS}))::DOUBLE,
        min(least_service_s) AS least_service_s, max(most_service_s) AS most_service_s,
        min(first_at) AS first_at, max(last_at) AS last_at
    FROM counted
    GROUP BY {_KEYS}"""  # noqa: S608 (names of columns)
_ROLL_TAGS = f"""
    INSERT INTO rolled_tags BY NAME
    SELECT
        $last AS last_seq, hour, tag, is_app,
        sum(COLUMNS({[*_TAG_COUNTS, "begun", "timed"]}))::BIGINT,
        sum(COLUMNS(['ttft_s', 'service_s']))::DOUBLE,
        min(first_at) AS first_at, max(last_at) AS last_at
    FROM counted
    JOIN (
        FROM all_tags
        WHERE received_seq BETWEEN $first AND $last AND request_id BETWEEN $first_id AND $last_id
    ) USING (received_seq, request_id)
    GROUP BY hour, tag, is_app"""  # noqa: S608 (names of columns)
_ROLL_WORK = """
    INSERT INTO rolled_work BY NAME SELECT $last AS last_seq, * FROM work_of($first, $last)"""
_ROLL_TROUBLES = """
    INSERT INTO rolled_troubles BY NAME
    SELECT $last AS last_seq, * FROM troubles_of($first, $last)"""
_ROLL_CONTEXTS = """
    INSERT INTO rolled_contexts BY NAME
    SELECT $last AS last_seq, * FROM contexts_of($first, $last, $first_id, $last_id)"""
_ROLL_TOLD = """
    INSERT INTO rolled_told BY NAME SELECT $last AS last_seq, * FROM told_of($first, $last)"""
_NEXT_SEGMENT = """
    SELECT min(seq) FROM events
    WHERE kind = 'state_snapshotted' AND seq > $first AND seq <= $last"""


def roll_next(connection: duckdb.DuckDBPyConnection) -> bool:
    """Count the next stretch; return whether another may follow at once."""
    _, first, newest = _bounds(connection)
    last = min(newest, first + STRETCH - 1)
    [(segment,)] = connection.execute(_NEXT_SEGMENT, {"first": first, "last": last}).fetchall()
    if segment is not None:
        last = segment - 1
    elif last - first < LEAST:
        return False
    stretch = _stretch(connection, first, last)
    [(still_open,)] = connection.execute(_OPEN, stretch).fetchall()
    if still_open is not None and newest - still_open < PATIENCE:
        last = still_open - 1
        if last - first < LEAST:
            return False
    stretch["last"] = last
    connection.execute(_COUNT, stretch).fetchall()
    connection.begin()
    try:
        connection.execute(_ROLL, {"last": last}).fetchall()
        connection.execute(_ROLL_TAGS, stretch).fetchall()
        span = {"first": first, "last": last}
        connection.execute(_ROLL_WORK, span).fetchall()
        connection.execute(_ROLL_TROUBLES, span).fetchall()
        connection.execute(_ROLL_CONTEXTS, stretch).fetchall()
        connection.execute(_ROLL_TOLD, span).fetchall()
        connection.execute("INSERT INTO rolled_to VALUES (?)", [last]).fetchall()
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return newest - last >= LEAST


def aim(connection: duckdb.DuckDBPyConnection) -> None:
    """Set the variables that queries of `named/` need, on a connection that asks."""
    oldest, first, newest = _bounds(connection)
    first = max(first, newest + 1 - LONGEST_TAIL)
    values = {
        "first_seq": oldest,
        "last_seq": newest,
        "tail_seq": first - 1,
        "tail_id": _stretch(connection, first, newest)["first_id"] or NOBODY,
    }
    for name, value in values.items():
        connection.execute(f"SET VARIABLE {name} = $value", {"value": value}).fetchall()


def newest_seq(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the number of the newest event; 0 if there is none.

    A largest `seq` without a bound would be looked for in all rows, once logd has written some.
    """
    [(bound,)] = connection.execute("SELECT max(next_seq) - 1 FROM ingested").fetchall()
    [(newest,)] = connection.execute(
        "SELECT max(seq) FROM events WHERE seq >= $bound", {"bound": bound or 0}
    ).fetchall()
    return newest or 0


def _bounds(connection: duckdb.DuckDBPyConnection) -> tuple[int, int, int]:
    """Return the oldest event, the first whose request may not be counted yet, and the newest.

    Rows are in the order of the log: so the first that is found is the oldest.
    """
    [(oldest, rolled, kept)] = connection.execute(
        "SELECT (SELECT seq FROM events LIMIT 1), (SELECT max(last_seq) FROM rolled_to),"
        " (SELECT max(last_seq) FROM kept_totals)"
    ).fetchall()
    first = max(rolled or 0, kept or 0, (oldest or 1) - 1) + 1
    return oldest or 0, first, newest_seq(connection)


def _stretch(connection: duckdb.DuckDBPyConnection, first: int, last: int) -> dict[str, object]:
    """Return the bounds of a stretch, with the ids of its requests: they prune what is read."""
    first_id, last_id = id_range(connection, Span(first, last))
    return {"first": first, "last": last, "first_id": first_id, "last_id": last_id}
