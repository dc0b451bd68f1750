"""Where the time goes: the parts of each request, and the pace of each answer."""

from typing import TYPE_CHECKING

import duckdb

from herd.analysis.tables import asked

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("line_s", "load_s", "prompt_s", "answer_s")
"""What the seconds of a request are made of, in their order."""

LEAST_TOKENS = 8
"""Answers that are shorter tell nothing about a pace."""


def where_time_goes(log: duckdb.DuckDBPyConnection) -> "pd.DataFrame":
    """Return one row a completed request, oldest first; its four `PARTS` add up to `total_s`.

    `line_s`: in line, and on nodes that failed it. `load_s`: the node loaded the model, as far as
    it said so. `prompt_s`: from there to the first byte. `answer_s`: the rest. An answer that came
    in one piece has no first byte of its own: its prompt is in `answer_s`.

    Beside them: request_id, minute, model, node_id, app, stream, cold (it met a node without its
    model in memory).
    """
    return asked(log, "times")


def shares(times: "pd.DataFrame", by: str) -> "pd.DataFrame":
    """Return the mean seconds of each part by a column of `where_time_goes`, slowest first."""
    means = times.groupby(by)[[*PARTS, "total_s"]].mean()
    return means.sort_values("total_s", ascending=False)[[*PARTS]]


def paces(log: duckdb.DuckDBPyConnection) -> "pd.DataFrame":
    """Return one row a streamed answer of eight tokens or more, by the time of its end.

    request_id, minute (of its end), model, node_id, completion_tokens, tokens_per_s (between its
    first byte and its last: what its reader sees).
    """
    return asked(log, "paces", least_tokens=LEAST_TOKENS)


def slowdowns(
    pace: "pd.DataFrame", before: tuple[float, float], during: tuple[float, float]
) -> "pd.DataFrame":
    """Return how many times slower answers came during some minutes than before, worst first.

    `pace` is a table of `paces`; `before` and `during` are from one minute to another. One row a
    model and node with answers in both: node_id, model, before and during (median tokens a
    second), factor.
    """
    pairs = ["node_id", "model"]
    medians = {
        name: pace[pace["minute"].between(*span)].groupby(pairs)["tokens_per_s"].median()
        for name, span in (("before", before), ("during", during))
    }
    table = (
        medians["before"].to_frame("before").join(medians["during"].to_frame("during"), how="inner")
    )
    table["factor"] = table["before"] / table["during"]
    return table.sort_values("factor", ascending=False).reset_index()


def loads(log: duckdb.DuckDBPyConnection) -> "pd.DataFrame":
    """Return one row a load that a request waited for, where its node said how long it took.

    minute, request_id, model, node_id, predicted_s (when the node was chosen), load_s.
    """
    return asked(log, "loads")
