"""Answers and outcomes of what-ifs as tables, and how much of a log they are about."""

from pathlib import Path
from typing import Any

import pytest

from events import NodeId, RequestId
from herd.analysis.whatif import compared, ended, evidence
from herd.errors import HerdError
from herd.replay.source import Source
from herd.virtual.script import Outcome
from herd.whatif.compare import Answer, Outcomes
from herd.whatif.figures import Figures, Quantiles
from tests.actors.cast import book, completed, node, received
from tests.herd.analysis.timed import MODEL, log_of, rows
from tests.herd.analysis.timed import received as asked
from tests.herd.logd.rig import data_dir, write
from tests.playbook import after


def figures(completed: int, seconds: float) -> Figures:
    quantiles = Quantiles(seconds, 2 * seconds, 3 * seconds)
    return Figures(10, completed, 1, 2, 3, 4, quantiles, quantiles, quantiles)


def answer(whatif: Figures | None) -> Answer:
    return Answer(
        change=[],
        start_us=0,
        end_us=0,
        nodes=[NodeId("mini")],
        recorded=figures(6, 1.0),
        plays=1,
        rerun=figures(5, 2.0),
        whatif=whatif,
        work=[],
        doubts=[],
    )


def outcome(name: str, at_us: int, **fields: Any) -> Outcome:
    plain: dict[str, Any] = {
        "how": "completed",
        "wait_s": 1.0,
        "ttft_s": 2.0,
        "total_s": 3.0,
        "cold": False,
    }
    return Outcome(
        request_id=RequestId(name), model=MODEL, node_id="mini", at_us=at_us, **(plain | fields)
    )


def test_each_answer_is_a_row_below_what_was_and_its_rerun() -> None:
    table = compared({"more": answer(figures(9, 0.5)), "nothing": answer(None)})
    assert list(table.index) == ["recorded", "re-run", "more"]
    assert rows(table, "completed", "not_completed", "wait_p95", "ttft_p50", "total_p95") == [
        (6, 4, 2.0, 1.0, 2.0),
        (5, 5, 4.0, 2.0, 4.0),
        (9, 1, 1.0, 0.5, 1.0),
    ]


def test_each_request_is_a_row_in_each_run() -> None:
    was, again = outcome("a", 60_000_000), outcome("a", 60_000_000, wait_s=1.5)
    other = outcome("a", 60_000_000, how="rejected", cold=True)
    later = outcome("b", 90_000_000)
    table = ended({"less": Outcomes([was, later], [[again]], [[other]])})
    assert rows(table, "run", "request_id", "minute", "how", "cold", "wait_s") == [
        ("recorded", "a", 0.0, "completed", False, 1.0),
        ("recorded", "b", 0.5, "completed", False, 1.0),
        ("re-run", "a", 0.0, "completed", False, 1.5),
        ("less", "a", 0.0, "rejected", True, 1.0),
    ]


@pytest.mark.parametrize(("minutes", "expected"), [(float("inf"), 2), (3.0, 1)])
def test_evidence_ends_where_it_is_told_to(tmp_path: Path, minutes: float, expected: int) -> None:
    playing = book(*node("ada", slots=2))
    playing.given(received("r1"), completed("r1", "ada", "1.1"), after(300), received("r2"))
    write(data_dir(tmp_path), playing.log)
    with Source(tmp_path) as source:
        assert len(evidence(source, minutes).asked) == expected


def test_a_log_without_a_stored_state_is_refused(tmp_path: Path) -> None:
    with log_of(tmp_path, (1.0, asked("x"))):
        pass
    with Source(tmp_path) as source:
        source.first_head = 0
        with pytest.raises(HerdError, match="no stored state"):
            evidence(source)
