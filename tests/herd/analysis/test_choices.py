"""Why a winner won, in the table of all placements and in the table of one."""

from pathlib import Path
from typing import Any

import pytest

from events import Candidate
from herd.analysis.choices import REASONS, choices, weighed
from herd.replay.explain import explain
from herd.replay.source import Source
from tests.actors.cast import book, node
from tests.actors.cast import received as asked
from tests.herd.analysis.timed import MINI, STUDIO, log_of, rows, sent, term
from tests.herd.logd.rig import data_dir, write

HERE = term(MINI, wait_s=2.0, in_flight=1)


@pytest.mark.parametrize(
    ("terms", "fields", "reason"),
    [
        ((HERE,), {}, "no other had a slot"),
        ((HERE, term(STUDIO, resident=False)), {}, "has the model in memory"),
        ((HERE, term(STUDIO, wait_s=3.0)), {}, "shorter wait"),
        ((HERE, term(STUDIO, wait_s=2.0, in_flight=2)), {}, "fewer in flight"),
        ((HERE, term(STUDIO, wait_s=2.0, in_flight=1)), {"draw": 7}, "the draw"),
        ((HERE, term(STUDIO)), {"policy": "round-robin/1"}, "the order of the policy"),
    ],
)
def test_the_first_difference_decides(
    tmp_path: Path, terms: tuple[Candidate, ...], fields: dict[str, Any], reason: str
) -> None:
    with log_of(tmp_path, (6.0, sent("x", *terms, **fields))) as log:
        table = choices(log)
    second = "studio" if len(terms) > 1 else None
    assert reason in REASONS
    assert rows(table, "minute", "node_id", "runner_up", "candidates", "wait_s", "because") == [
        (0.1, "mini", second, len(terms), 2.0, reason)
    ]


def test_one_decision_shows_all_nodes_and_why_some_were_none(tmp_path: Path) -> None:
    playing = book(*node("ada", slots=2), *node("bob", slots=2, resident=()), *node("cyd", "x:1"))
    write(data_dir(tmp_path), playing.given(asked("r1")).log)
    with Source(tmp_path) as source:
        (decided,) = explain(source, "r1").decisions
    table = weighed(decided)
    assert rows(table, "node_id", "resident", "in_flight", "slots", "why_not") == [
        ("ada", True, 0, 2, ""),
        ("bob", False, 0, 2, ""),
        ("cyd", None, None, None, "does not have the model"),
    ]
