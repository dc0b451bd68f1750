"""Daily totals: what the requests came to whose events are dropped, kept for good.

The newest file in `log/totals` has all of them, up to the `seq` in its name: the floor. Its one
rename moves the floor for every reader at once, while the events below it are still there; from
then on `daily` counts only those above it. The file before is kept too, for who is reading it.
"""

import logging
from pathlib import Path

import duckdb

from herd.logd.parquet import Span, span_path, spans, tags_path, write_parquet
from herd.logd.sql import EMPTY_TAGS, as_literal
from herd.paths import DataDir

FILES_KEPT = 2
MOST_TAGS = 1000
"""Of a day that are kept, the most used ones: some clients make a new one for each request."""
ROLLED = (
    *("rolled", "rolled_tags", "rolled_work", "rolled_troubles", "rolled_contexts"),
    *("rolled_told", "rolled_to", "rolled_health_to"),
)
"""What is counted by time of events that are there: it goes with them."""

_TAGS_OF_TOTALS = """
    INSERT INTO kept_tags BY NAME
    FROM read_parquet($tags, union_by_name = true)
    WHERE last_seq <= $last QUALIFY last_seq = max(last_seq) OVER ()"""

_log = logging.getLogger(__name__)


def floor(directory: DataDir) -> int:
    """Return the `seq` up to which there are only totals; 0 while nothing was dropped."""
    return max((span.last_seq for span in spans(directory.totals)), default=0)


def count_in(connection: duckdb.DuckDBPyConnection, directory: DataDir, dropped: Span) -> None:
    """Write the totals anew with the requests received in a span, whose events are all there."""
    kept = spans(directory.totals)
    first, last = id_range(connection, dropped)
    span = Span(kept[0].first_seq if kept else dropped.first_seq, dropped.last_seq)
    bounds = f"""
        received_seq BETWEEN {dropped.first_seq} AND {dropped.last_seq}
        AND request_id BETWEEN '{as_literal(first)}' AND '{as_literal(last)}'"""
    tags = f"""
        SELECT
            {dropped.last_seq} AS last_seq, day, tag,
            sum(COLUMNS([
                'requests', 'completed', 'failed', 'cancelled', 'rejected',
                'prompt_tokens', 'completion_tokens'
            ]))::BIGINT,
            sum(COLUMNS(['ttft_s', 'service_s']))::DECIMAL(18, 6)
        FROM (
            SELECT * EXCLUDE (last_seq) FROM kept_tags
            UNION ALL BY NAME
            SELECT
                day, tag, requests, completed, failed, cancelled, rejected, prompt_tokens,
                completion_tokens, ttft_s, service_s
            FROM (FROM request_usage WHERE {bounds})
            JOIN (FROM further_tags WHERE {bounds}) USING (received_seq, request_id)
        )
        GROUP BY day, tag
        QUALIFY row_number() OVER (PARTITION BY day ORDER BY sum(requests) DESC, tag) <= {MOST_TAGS}
        ORDER BY day, tag"""  # noqa: S608 (numbers, and ids as literals)
    write_parquet(connection, tags, tags_path(directory.totals, span))
    rows = f"""
        SELECT
            {dropped.last_seq} AS last_seq, day, model, node_id, app,
            sum(COLUMNS([
                'requests', 'completed', 'failed', 'cancelled', 'rejected', 'retries', 'cold',
                'prompt_tokens', 'completion_tokens'
            ]))::BIGINT,
            sum(COLUMNS(['queue_s', 'ttft_s', 'service_s']))::DECIMAL(18, 6)
        FROM (
            SELECT * EXCLUDE (last_seq) FROM kept_totals
            UNION ALL BY NAME
            SELECT * EXCLUDE (received_seq, request_id) FROM request_usage
            WHERE {bounds}
        )
        GROUP BY day, model, node_id, app
        ORDER BY day, model, node_id, app"""  # noqa: S608 (numbers, and ids as literals)
    write_parquet(connection, rows, span_path(directory.totals, span))
    for old in spans(directory.totals)[:-FILES_KEPT]:
        span_path(directory.totals, old).unlink()
    needed = {
        EMPTY_TAGS,
        *(tags_path(directory.totals, kept).name for kept in spans(directory.totals)),
    }
    for path in directory.totals.glob("*.tags"):
        if path.name not in {EMPTY_TAGS, *needed}:
            path.unlink()


def mend(connection: duckdb.DuckDBPyConnection, directory: DataDir) -> None:
    """Set aside what cannot be read of the totals, and write it anew if the database has it.

    Else the floor is that of the file before: what is still there from it on is counted again.
    """
    for span in spans(directory.totals):
        _mend(connection, tags_path(directory.totals, span), "kept_tags", span)
        _mend(connection, span_path(directory.totals, span), "kept_totals", span)


def _mend(connection: duckdb.DuckDBPyConnection, path: Path, table: str, span: Span) -> None:
    error = _damage(connection, path) if path.exists() else ""
    if not error:
        return
    path.replace(path.with_name(path.name + ".damaged"))
    [(last_seq,)] = connection.execute("SELECT max(last_seq) FROM kept_totals").fetchall()
    if last_seq == span.last_seq:
        write_parquet(connection, f"FROM {table}", path)
        _log.error("%s was damaged (%s): set aside, and written anew", path, error)
    else:
        _log.critical("%s is damaged (%s): set aside, its newest days are lost", path, error)


def _damage(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    try:
        connection.execute("FROM read_parquet(?)", [str(path)]).fetchall()
    except duckdb.Error as error:
        return str(error).splitlines()[0]
    return ""


def id_range(connection: duckdb.DuckDBPyConnection, span: Span) -> tuple[str, str]:
    """Return the first and the last id of the requests received in a span.

    Ids are made in the order of time: a query between the two reads little else.
    """
    [(first, last)] = connection.execute(
        "SELECT min(request_id), max(request_id) FROM events"
        " WHERE kind = 'request_received' AND seq BETWEEN ? AND ?",
        span,
    ).fetchall()
    return first or "", last or ""


def forget(connection: duckdb.DuckDBPyConnection, directory: DataDir) -> None:
    """Have in the database what the newest totals say, and no event up to the floor."""
    kept = spans(directory.totals)
    if not kept:
        return
    newest = str(span_path(directory.totals, kept[-1]))
    tags = str(directory.totals / "*.tags")
    below = [kept[-1].last_seq]
    run = connection.execute
    connection.begin()
    try:
        run("DELETE FROM kept_totals").fetchall()
        run("INSERT INTO kept_totals BY NAME FROM read_parquet(?)", [newest]).fetchall()
        run("DELETE FROM kept_tags").fetchall()
        run(_TAGS_OF_TOTALS, {"tags": tags, "last": below[0]}).fetchall()
        run("DELETE FROM events WHERE seq <= ?", below).fetchall()
        run("DELETE FROM ingested WHERE next_seq <= ?", below).fetchall()
        run("DELETE FROM gaps WHERE to_seq <= ?", below).fetchall()
        for table in ROLLED:
            run(f"DELETE FROM {table} WHERE last_seq <= ?", below).fetchall()  # noqa: S608 (names)
        run("DELETE FROM quarantine WHERE first_seq <= ?", below).fetchall()
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    run("CHECKPOINT").fetchall()
