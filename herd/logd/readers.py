"""Asking the log from outside, while logd seals and drops files of it."""

from collections.abc import Mapping

import duckdb

TRIES = 3


def ask(
    log: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, object] | None = None
) -> duckdb.DuckDBPyConnection:
    """Run a query; again if a file went between its listing and its reading."""
    for _ in range(TRIES - 1):
        try:
            return log.execute(query, parameters)
        except duckdb.IOException:
            continue
    return log.execute(query, parameters)
