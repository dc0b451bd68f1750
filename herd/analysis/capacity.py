"""How much there is to do, and how much of the fleet that takes."""

from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

from herd.analysis.tables import asked

if TYPE_CHECKING:
    import pandas as pd

AT_ONCE_S = 0.05
"""A request that waited no longer than this for its slot did not wait."""


def utilisation(log: duckdb.DuckDBPyConnection, every_s: float = 10.0) -> "pd.DataFrame":
    """Return one row a node and window of `every_s` seconds, idle ones too.

    minute (its begin), node_id, in_flight (requests that ran there, averaged over time), busy
    (share of the window in which any did, 0 to 1).
    """
    return asked(log, "utilisation", every_s=every_s)


def demand(log: duckdb.DuckDBPyConnection, every_s: float = 10.0) -> "pd.DataFrame":
    """Return one row a window of `every_s` seconds in which anything was asked, by its receipt.

    minute (its begin), requests_per_s, and as shares of its requests, 0 to 1: completed, waited
    (more than `AT_ONCE_S` for a slot, or rejected).
    """
    return asked(log, "demand", every_s=every_s, at_once_s=AT_ONCE_S)


class Trend(msgspec.Struct, frozen=True):
    """A straight line through values over time, by least squares."""

    start: float
    """At minute 0."""
    per_minute: float
    error: float
    """Standard error of `per_minute`."""

    def at(self, minute: float) -> float:
        """Return the value at a time; beyond the data it is a guess."""
        return self.start + self.per_minute * minute

    def reaches(self, value: float) -> float:
        """Return the minute at which the line reaches a value; infinity if it leads away."""
        if self.per_minute <= 0:
            return float("inf")
        return (value - self.start) / self.per_minute


def trend(minutes: "pd.Series[Any]", values: "pd.Series[Any]") -> Trend:
    """Return the line through three points or more, at two times or more."""
    count = len(minutes)
    offsets = minutes - minutes.mean()
    spread = float((offsets**2).sum())
    per_minute = float((offsets * values).sum()) / spread
    start = float(values.mean()) - per_minute * float(minutes.mean())
    missed = values - start - per_minute * minutes
    error = (float((missed**2).sum()) / (count - 2) / spread) ** 0.5
    return Trend(start=start, per_minute=per_minute, error=error)


def bounds(busy: "pd.DataFrame", asked_per_s: float) -> "pd.DataFrame":
    """Return at which demand each node would have no idle moment left, the first of them first.

    `busy` is a part of `utilisation` during which `asked_per_s` requests a second came, and the
    shares of the nodes are taken to stay as they were then. node_id, busy (0 to 1),
    bound_per_s. Beyond its bound a node still gains from running requests at once: it is where
    waiting begins to grow, not where the fleet breaks.
    """
    means = busy.groupby("node_id")["busy"].mean()
    table = means[means > 0].to_frame().reset_index()
    table["bound_per_s"] = asked_per_s / table["busy"]
    return table.sort_values("bound_per_s", ignore_index=True)
