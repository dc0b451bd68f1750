"""Utilisation, demand, trends and bounds, against numbers computed by hand."""

from pathlib import Path

import pandas as pd
import pytest

from events import (
    CONTROL,
    Lease,
    LeaseAdopted,
    LeaseVoided,
    RequestCancelled,
    RequestId,
    RequestRejected,
)
from herd.analysis.capacity import Trend, bounds, demand, trend, utilisation
from tests.herd.analysis.timed import (
    MINI,
    MODEL,
    STUDIO,
    carried,
    done,
    log_of,
    received,
    rows,
    sent,
)


def test_utilisation_is_the_time_in_which_requests_ran(tmp_path: Path) -> None:
    with log_of(
        tmp_path,
        (2.0, sent("a")),
        (4.0, sent("b")),
        (6.0, done("a")),
        (12.0, done("b")),
        (15.0, sent("c", node=STUDIO)),
        (20.0, done("c", node=STUDIO)),
    ) as log:
        table = utilisation(log, every_s=10.0)
    assert rows(table, "minute", "node_id", "in_flight", "busy") == [
        (0.0, "mini", 1.0, 0.8),
        (0.0, "studio", 0.0, 0.0),
        (round(1 / 6, 6), "mini", 0.2, 0.2),
        (round(1 / 6, 6), "studio", 0.5, 0.5),
    ]


def test_what_never_ended_runs_to_the_end_of_the_log(tmp_path: Path) -> None:
    voided = LeaseVoided(RequestId("a"), MODEL, MINI, Lease("1.a"))
    with log_of(
        tmp_path,
        (0.0, sent("a")),
        (2.0, voided),
        (5.0, sent("b")),
        (10.0, received("c")),
    ) as log:
        assert rows(utilisation(log, every_s=10.0), "in_flight") == [(0.7,)]


def test_what_ran_when_the_log_begins_ran_from_there_on(tmp_path: Path) -> None:
    with log_of(
        tmp_path,
        (4.0, done("before")),
        (6.0, sent("after")),
        (8.0, done("after")),
        (9.0, done("of a time without recording")),
        (10.0, received("c")),
        state=carried("waits", running=["before", "never ends"]),
    ) as log:
        table = utilisation(log, every_s=10.0)
    assert rows(table, "node_id", "in_flight", "busy") == [("mini", 1.6, 1.0)]


def test_a_client_that_left_before_it_knew_where_it_ran_runs_no_longer(tmp_path: Path) -> None:
    with log_of(
        tmp_path,
        (0.0, sent("a")),
        (3.0, RequestCancelled(RequestId("a"), MODEL, "queue")),
        (10.0, received("b")),
    ) as log:
        assert rows(utilisation(log, every_s=10.0), "in_flight") == [(0.3,)]


def test_an_adopted_lease_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    with log_of(
        tmp_path,
        (0.0, sent("a")),
        (4.0, LeaseAdopted(RequestId("a"), MODEL, STUDIO, Lease("2.1"), front_src=CONTROL)),
        (10.0, done("a", lease=Lease("2.1"), node=STUDIO)),
    ) as log:
        table = utilisation(log, every_s=10.0)
    assert rows(table, "node_id", "in_flight") == [("mini", 0.4), ("studio", 0.6)]


def test_demand_counts_who_waited_and_who_was_sent_away(tmp_path: Path) -> None:
    with log_of(
        tmp_path,
        (1.0, received("at once")),
        (1.0, sent("at once", queue_s=0.01)),
        (2.0, received("waits")),
        (3.0, sent("waits", queue_s=1.0)),
        (4.0, received("away")),
        (4.0, RequestRejected(RequestId("away"), MODEL, 429, "queue_full")),
        (5.0, received("runs")),
        (5.0, sent("runs")),
        (6.0, done("at once")),
        (7.0, done("waits")),
        (25.0, received("late")),
    ) as log:
        table = demand(log, every_s=10.0)
    assert rows(table, "minute", "requests_per_s", "completed", "waited") == [
        (0.0, 0.4, 0.5, 0.5),
        (round(1 / 3, 6), 0.1, 0.0, 0.0),
    ]


def test_a_trend_is_the_line_through_its_points() -> None:
    line = trend(pd.Series([0.0, 1.0, 2.0, 3.0]), pd.Series([2.0, 5.0, 8.0, 11.0]))
    assert (line.start, line.per_minute, line.error) == pytest.approx((2.0, 3.0, 0.0))
    assert line.at(10.0) == pytest.approx(32.0)
    assert line.reaches(17.0) == pytest.approx(5.0)


def test_the_error_of_a_trend_grows_with_the_noise() -> None:
    # Residuals -0.3, 0.9, -0.9, 0.3: squares 1.8, over two degrees of freedom and a spread of 5.
    line = trend(pd.Series([0.0, 1.0, 2.0, 3.0]), pd.Series([1.0, 3.0, 2.0, 4.0]))
    assert line.per_minute == pytest.approx(0.8)
    assert line.start == pytest.approx(1.3)
    assert line.error == pytest.approx((1.8 / 2 / 5) ** 0.5)


def test_a_line_that_falls_reaches_nothing() -> None:
    assert Trend(start=5.0, per_minute=-1.0, error=0.0).reaches(9.0) == float("inf")


def test_the_busiest_node_sets_the_first_bound() -> None:
    busy = pd.DataFrame(
        {
            "node_id": ["mini", "mini", "studio", "studio", "spare"],
            "busy": [0.2, 0.3, 0.4, 0.6, 0.0],
        }
    )
    assert rows(bounds(busy, asked_per_s=2.0), "node_id", "busy", "bound_per_s") == [
        ("studio", 0.5, 4.0),
        ("mini", 0.25, 8.0),
    ]
