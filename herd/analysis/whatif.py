"""What if: the answers of `herd whatif` as tables, several beside one another."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from actors.core.state import US
from herd.analysis.tables import began
from herd.errors import HerdError
from herd.replay.source import Source
from herd.whatif.compare import Answer, Outcomes
from herd.whatif.evidence import Evidence, gather
from herd.whatif.figures import Figures

if TYPE_CHECKING:
    import pandas as pd

RECORDED, RERUN = "recorded", "re-run"
"""As it was, and as the model of the machines plays it again."""


def evidence(source: Source, until_minute: float = float("inf")) -> Evidence:
    """Return what a log shows up to a minute of it, to play again; folds all of that once.

    Raises `HerdError` if the log holds no stored state.
    """
    first = began(source.log)
    if first is None or not source.first_head:
        raise HerdError("the log holds no stored state", "`herd run` stores one at each start")
    last = source.last_seq
    if until_minute < float("inf"):
        query = "SELECT max(seq) FROM events WHERE recorded_at <= $1::TIMESTAMP + to_seconds($2)"
        [(last,)] = source.ask(query, [first, until_minute * 60])
    state = source.state_at(source.first_head)
    return gather(state, source.records(source.first_head + 1, last))


def compared(answers: Mapping[str, Answer]) -> "pd.DataFrame":
    """Return one row a run: as recorded, its re-run, and what if, by the names of the answers.

    All answers are to the same evidence. completed, not_completed, cold_loads (requests that had
    to wait for one), and seconds: wait_p95, ttft_p50, ttft_p95, total_p95.
    """
    import pandas as pd

    first = next(iter(answers.values()))
    runs = {RECORDED: first.recorded, RERUN: first.rerun}
    runs |= {name: each.whatif for name, each in answers.items() if each.whatif is not None}
    return pd.DataFrame([_row(each) for each in runs.values()], index=[*runs])


def ended(outcomes: Mapping[str, Outcomes]) -> "pd.DataFrame":
    """Return one row a request and run (its first play), the runs in the order of `compared`.

    run, request_id, minute (of its receipt, since the first one), model, node_id, how
    (completed, failed, cancelled, rejected), cold, wait_s, ttft_s (from its receipt), total_s.
    """
    import pandas as pd

    first = next(iter(outcomes.values()))
    runs = {RECORDED: first.recorded, RERUN: first.rerun[0]}
    runs |= {name: each.whatif[0] for name, each in outcomes.items() if each.whatif}
    first_us = min(each.at_us for each in first.recorded)
    return pd.DataFrame(
        {
            "run": name,
            "request_id": each.request_id,
            "minute": (each.at_us - first_us) / US / 60,
            "model": each.model,
            "node_id": each.node_id,
            "how": each.how,
            "cold": each.cold,
            "wait_s": each.wait_s,
            "ttft_s": each.ttft_s,
            "total_s": each.total_s,
        }
        for name, run in runs.items()
        for each in run
    )


def _row(found: Figures) -> dict[str, float]:
    return {
        "completed": found.completed,
        "not_completed": found.requests - found.completed,
        "cold_loads": found.cold_loads,
        "wait_p95": found.wait.p95,
        "ttft_p50": found.ttft.p50,
        "ttft_p95": found.ttft.p95,
        "total_p95": found.completion.p95,
    }
