"""Sums by time: stretch by stretch of the log, each counted once.

`rolled...` and what came since are all there is, so a page costs the same however long the log is.
A stretch ends where a segment does: what retention drops is whole stretches.

Requests are counted by their receipt, when they have ended: such a stretch ends before the oldest
that is still open. What health is judged by is counted by the events that say so, of which a long
request holds up none.
"""

from collections.abc import Generator
from contextlib import contextmanager

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
LONGEST_HEALTH_TAIL = 50_000
"""The same of health, which waits for no request: there are more only while logd catches up."""

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
    INSERT INTO rolled_work BY NAME
    SELECT $last AS last_seq, * FROM work_of($first, $last, $first_id, $last_id)"""
_ROLL_TROUBLES = """
    INSERT INTO rolled_troubles BY NAME
    SELECT $last AS last_seq, * FROM troubles_of($first, $last)"""
_ROLL_CONTEXTS = """
    INSERT INTO rolled_contexts BY NAME
    SELECT $last AS last_seq, * FROM contexts_of($first, $last, $first_id, $last_id)"""
_ROLL_TOLD = """
    INSERT INTO rolled_told BY NAME SELECT $last AS last_seq, * FROM told_of($first, $last)"""
_ENDED = """
    SELECT min(request_id), max(request_id) FROM events
    WHERE kind IN ('request_completed', 'request_cancelled') AND seq BETWEEN $first AND $last"""
_MARKS = """
    SELECT
        (SELECT seq FROM events LIMIT 1),
        (SELECT max(last_seq) FROM {mark}),
        (SELECT max(last_seq) FROM kept_totals)"""
_NEXT_SEGMENT = """
    SELECT min(seq) FROM events
    WHERE kind = 'state_snapshotted' AND seq > $first AND seq <= $last"""


def roll_next(connection: duckdb.DuckDBPyConnection) -> bool:
    """Count the next stretches; return whether others may follow at once."""
    newest = newest_seq(connection)
    more = [_roll_health(connection, newest), _roll_requests(connection, newest)]
    return any(more)


def _roll_requests(connection: duckdb.DuckDBPyConnection, newest: int) -> bool:
    first = _first(connection, "rolled_to")
    last = _end(connection, first, newest)
    if not last:
        return False
    stretch = _stretch(connection, first, last)
    [(still_open,)] = connection.execute(_OPEN, stretch).fetchall()
    if still_open is not None and newest - still_open < PATIENCE:
        last = still_open - 1
        if last - first < LEAST:
            return False
    stretch["last"] = last
    connection.execute(_COUNT, stretch).fetchall()
    with _at_once(connection):
        connection.execute(_ROLL, {"last": last}).fetchall()
        connection.execute(_ROLL_TAGS, stretch).fetchall()
        connection.execute("INSERT INTO rolled_to VALUES (?)", [last]).fetchall()
    return newest - last >= LEAST


def _roll_health(connection: duckdb.DuckDBPyConnection, newest: int) -> bool:
    first = _first(connection, "rolled_health_to")
    last = _end(connection, first, newest)
    if not last:
        return False
    span = {"first": first, "last": last}
    first_id, last_id = _ended(connection, first, last)
    ended = span | {"first_id": first_id, "last_id": last_id}
    with _at_once(connection):
        connection.execute(_ROLL_WORK, ended).fetchall()
        connection.execute(_ROLL_TROUBLES, span).fetchall()
        connection.execute(_ROLL_CONTEXTS, ended).fetchall()
        connection.execute(_ROLL_TOLD, span).fetchall()
        connection.execute("INSERT INTO rolled_health_to VALUES (?)", [last]).fetchall()
    return newest - last >= LEAST


@contextmanager
def _at_once(connection: duckdb.DuckDBPyConnection) -> Generator[None]:
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def aim(connection: duckdb.DuckDBPyConnection) -> None:
    """Set the variables that queries of `named/` need, on a connection that asks."""
    [(oldest,)] = connection.execute("SELECT (SELECT seq FROM events LIMIT 1)").fetchall()
    newest = newest_seq(connection)
    first = max(_first(connection, "rolled_to"), newest + 1 - LONGEST_TAIL)
    health = max(_first(connection, "rolled_health_to"), newest + 1 - LONGEST_HEALTH_TAIL)
    first_id, last_id = _ended(connection, health, newest)
    values = {
        "first_seq": oldest or 0,
        "last_seq": newest,
        "tail_seq": first - 1,
        "tail_id": _stretch(connection, first, newest)["first_id"] or NOBODY,
        "health_seq": health - 1,
        "health_first_id": first_id,
        "health_last_id": last_id,
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


def _first(connection: duckdb.DuckDBPyConnection, mark: str) -> int:
    """Return the first event that may not be counted yet, as far as a table of marks says.

    Rows are in the order of the log: so the first that is found is the oldest.
    """
    [(oldest, rolled, kept)] = connection.execute(_MARKS.format(mark=mark)).fetchall()
    return max(rolled or 0, kept or 0, (oldest or 1) - 1) + 1


def _end(connection: duckdb.DuckDBPyConnection, first: int, newest: int) -> int:
    """Return the last event of the next stretch; 0 if there are too few."""
    last = min(newest, first + STRETCH - 1)
    [(segment,)] = connection.execute(_NEXT_SEGMENT, {"first": first, "last": last}).fetchall()
    if segment is not None:
        return int(segment) - 1
    return 0 if last - first < LEAST else last


def _ended(connection: duckdb.DuckDBPyConnection, first: int, last: int) -> tuple[str, str]:
    """Return the first and the last id of the requests that were answered or left in a stretch."""
    [(first_id, last_id)] = connection.execute(_ENDED, {"first": first, "last": last}).fetchall()
    return first_id or NOBODY, last_id or NOBODY


def _stretch(connection: duckdb.DuckDBPyConnection, first: int, last: int) -> dict[str, object]:
    """Return the bounds of a stretch, with the ids of its requests: they prune what is read."""
    first_id, last_id = id_range(connection, Span(first, last))
    return {"first": first, "last": last, "first_id": first_id, "last_id": last_id}
