"""Questions to a log, answered as pandas' tables with a clock that starts at 0.

In all of them `minute` counts the minutes since the first event of the log, with fractions, and
columns in `_s` are seconds.
"""

from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    import pandas as pd


def asked(log: duckdb.DuckDBPyConnection, name: str, **parameters: object) -> "pd.DataFrame":
    """Return the rows of the query in `NAME.sql`, which may use `$began` and the parameters."""
    return log.execute(_text(name), {"began": began(log), **parameters}).df()


def began(log: duckdb.DuckDBPyConnection) -> datetime | None:
    """Return the instant of the first event, UTC; None if there is none."""
    [(first,)] = log.execute("SELECT min(recorded_at) FROM events").fetchall()
    assert first is None or isinstance(first, datetime)  # noqa: S101 (the view's own type)
    return first


def requests(log: duckdb.DuckDBPyConnection) -> "pd.DataFrame":
    """Return one row a request whose receipt is in the log, in the order of receipt.

    request_id, minute (of its receipt), ended_minute, model, app (empty if it named none), status
    (completed, failed, cancelled, rejected, ..., waiting, in_flight), node_id (the last),
    attempts, queue_s, ttft_s, service_s, prompt_tokens, completion_tokens, error. What a request
    did not come to is missing.
    """
    return asked(log, "requests")


@cache
def _text(name: str) -> str:
    return files("herd.analysis").joinpath(f"{name}.sql").read_text(encoding="utf-8")
