"""An incident from its first alarm back: what went wrong, what had changed, who stood in line."""

from typing import TYPE_CHECKING

import duckdb

from herd.analysis.tables import asked

if TYPE_CHECKING:
    import pandas as pd


def alarms(log: duckdb.DuckDBPyConnection) -> "pd.DataFrame":
    """Return one row an event that would make somebody look, in order.

    seq, minute, alarm (a few words, the same for the same kind), request_id, model, node_id; the
    last three are None where they do not apply.
    """
    return asked(log, "alarms")


def changes(log: duckdb.DuckDBPyConnection) -> "pd.DataFrame":
    """Return one row a change of the policy, or of a node's standing, in order.

    seq, minute, what (a sentence), node_id (None for the policy).
    """
    return asked(log, "changes")


def waiting(log: duckdb.DuckDBPyConnection, every_s: float = 5.0) -> "pd.DataFrame":
    """Return one row a model and window of `every_s` seconds, for models that ever had a line.

    minute (its begin), model, waiting (the most requests that stood in line at once).
    """
    return asked(log, "waiting", every_s=every_s)
