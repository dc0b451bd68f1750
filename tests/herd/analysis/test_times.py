"""The parts of a request, its pace, the loads: against rows computed by hand."""

from pathlib import Path

import pandas as pd
import pytest

from events import AttemptFailed, Lease, RequestFailed, RequestId
from herd.analysis.times import PARTS, loads, paces, shares, slowdowns, where_time_goes
from tests.herd.analysis.timed import (
    MINI,
    MODEL,
    SMALL,
    STUDIO,
    done,
    log_of,
    received,
    rows,
    sent,
    term,
)


def test_the_parts_of_a_request_add_up(tmp_path: Path) -> None:
    with log_of(
        tmp_path,
        (30.0, received("cold", app="chat")),
        (32.0, sent("cold", cold=True, queue_s=2.0)),
        (42.0, done("cold", ttft_s=6.0, load_s=5.0, service_s=10.0)),
        (60.0, received("whole", SMALL, stream=False)),
        (60.0, sent("whole", node=STUDIO, model=SMALL)),
        (63.0, done("whole", node=STUDIO, model=SMALL, ttft_s=3.0, load_s=1.0, service_s=3.0)),
    ) as log:
        times = where_time_goes(log)
    assert rows(times, "request_id", "minute", "model", "node_id", "app", "stream", "cold") == [
        ("cold", 0.5, MODEL, "mini", "chat", True, True),
        ("whole", 1.0, SMALL, "studio", None, False, False),
    ]
    assert rows(times, *PARTS, "total_s") == [
        (2.0, 5.0, 1.0, 4.0, 12.0),
        (0.0, 1.0, 0.0, 2.0, 3.0),
    ]


def test_a_load_is_never_longer_than_the_wait_for_the_first_byte(tmp_path: Path) -> None:
    with log_of(
        tmp_path,
        (1.0, received("x")),
        (1.0, sent("x", cold=True)),
        (5.0, done("x", ttft_s=2.0, load_s=2.5, service_s=4.0)),
    ) as log:
        assert rows(where_time_goes(log), *PARTS) == [(0.0, 2.0, 0.0, 2.0)]


def test_only_completed_requests_have_parts(tmp_path: Path) -> None:
    with log_of(
        tmp_path,
        (1.0, received("x")),
        (1.0, sent("x")),
        (2.0, RequestFailed(RequestId("x"), MODEL, "stream", "node", 0, MINI, Lease("1.x"))),
        (3.0, received("y")),
    ) as log:
        assert where_time_goes(log).empty


def test_a_first_attempt_that_failed_counts_as_time_in_line(tmp_path: Path) -> None:
    failed = AttemptFailed(RequestId("x"), MODEL, MINI, Lease("1.x"), "connect", elapsed_s=3.0)
    again = sent("x", node=STUDIO, attempt=2, queue_s=4.0)
    with log_of(
        tmp_path,
        (1.0, received("x")),
        (1.0, sent("x")),
        (4.0, failed),
        (5.0, again),
        (6.0, done("x", node=STUDIO, ttft_s=0.25, service_s=1.0)),
    ) as log:
        assert rows(where_time_goes(log), "node_id", *PARTS) == [("studio", 4.0, 0.0, 0.25, 0.75)]


def test_shares_are_means_and_the_slowest_comes_first(tmp_path: Path) -> None:
    with log_of(
        tmp_path,
        *(
            (1.0, received(name, model))
            for name, model in (("a", SMALL), ("b", MODEL), ("c", MODEL))
        ),
        *((1.0, sent(name)) for name in "abc"),
        (2.0, done("a", model=SMALL, ttft_s=0.5, service_s=1.0)),
        (3.0, done("b", ttft_s=1.0, service_s=2.0)),
        (5.0, done("c", ttft_s=2.0, service_s=4.0)),
    ) as log:
        means = shares(where_time_goes(log), "model")
    assert list(means.columns) == list(PARTS)
    assert list(means.index) == [MODEL, SMALL]
    assert list(means.loc[MODEL]) == [0.0, 0.0, 1.5, 1.5]


def test_a_pace_is_what_the_reader_of_a_stream_sees(tmp_path: Path) -> None:
    with log_of(
        tmp_path,
        *((1.0, received(name, stream=name != "whole")) for name in ("long", "short", "whole")),
        *((1.0, sent(name)) for name in ("long", "short", "whole")),
        (3.0, done("short", ttft_s=1.0, service_s=2.0, completion_tokens=7)),
        (6.0, done("long", ttft_s=1.0, service_s=5.0, completion_tokens=80)),
        (6.0, done("whole", ttft_s=1.0, service_s=5.0, completion_tokens=80)),
    ) as log:
        table = paces(log)
    assert rows(table, "request_id", "minute", "node_id", "tokens_per_s") == [
        ("long", 0.1, "mini", 20.0)
    ]


@pytest.mark.parametrize(("told_s", "expected"), [(10.25, [(12.5, 10.25)]), (0.0, [])])
def test_loads_compare_the_guess_with_what_came(
    tmp_path: Path, told_s: float, expected: list[tuple[float, float]]
) -> None:
    with log_of(
        tmp_path,
        (1.0, received("x")),
        (1.0, sent("x", term(MINI, resident=False, wait_s=12.5), cold=True)),
        (14.0, done("x", ttft_s=11.0, load_s=told_s, service_s=13.0)),
    ) as log:
        assert rows(loads(log), "predicted_s", "load_s") == expected


def test_a_slowdown_compares_medians_of_the_same_model_and_node() -> None:
    seen = [
        (0.5, "mini", 10.0),
        (1.0, "mini", 20.0),
        (1.5, "mini", 90.0),
        (3.0, "mini", 10.0),
        (0.5, "studio", 60.0),
        (3.0, "studio", 8.0),
        (3.5, "studio", 12.0),
        (9.0, "studio", 60.0),
        (0.5, "gone", 60.0),
        (3.0, "new", 60.0),
    ]
    pace = pd.DataFrame(seen, columns=["minute", "node_id", "tokens_per_s"]).assign(model=MODEL)
    table = slowdowns(pace, before=(0.0, 2.0), during=(3.0, 4.0))
    assert rows(table, "node_id", "model", "before", "during", "factor") == [
        ("studio", MODEL, 60.0, 10.0, 6.0),
        ("mini", MODEL, 20.0, 10.0, 2.0),
    ]
