"""Who was chosen and why: the placements, and one of them in full."""

from typing import TYPE_CHECKING

import duckdb

from herd.analysis.tables import asked
from herd.replay.explain import Decided

if TYPE_CHECKING:
    import pandas as pd

REASONS = (
    "no other had a slot",
    "has the model in memory",
    "shorter wait",
    "fewer in flight",
    "the draw",
    "the order of the policy",
)
"""What decides: the first in this order in which the winner and the second differ."""


def choices(log: duckdb.DuckDBPyConnection) -> "pd.DataFrame":
    """Return one row a placement, in order.

    seq, minute, request_id, model, node_id, policy, candidates (nodes with a free slot),
    runner_up (None if there was no other), wait_s (predicted for the winner, a load included),
    cold, because (one of `REASONS`).
    """
    return asked(log, "choices")


def weighed(decided: Decided) -> "pd.DataFrame":
    """Return what one explained decision looked at: one row a node, best first.

    node_id, resident, in_flight, slots, wait_s, score, and why_not: empty for a candidate, else
    what stood in the way; the terms of such a node are missing.
    """
    import pandas as pd

    rows = [{**each, "why_not": ""} for each in decided.candidates]
    rows += [
        {"node_id": each.node_id, "why_not": "; ".join(each.obstacles.values())}
        for each in decided.others
    ]
    columns = ["node_id", "resident", "in_flight", "slots", "wait_s", "score", "why_not"]
    return pd.DataFrame(rows, columns=columns)
