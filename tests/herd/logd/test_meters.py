"""What Prometheus is told of a log: the parser of its own package is the judge."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from actors.core.state import State
from events import (
    AttemptFailed,
    CircuitOpened,
    Event,
    Lease,
    NodeId,
    Recorded,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestId,
    RequestInterrupted,
    RequestReaped,
    RequestReceived,
    RequestRejected,
    RequestStalled,
)
from herd.control.restore import head_of_segment
from herd.journal.files import segments
from herd.logd import meters
from herd.logd.condition import condition
from herd.logd.meters import Meters
from herd.paths import DataDir
from tests.herd.logd.rig import append, data_dir, store, take_in, write

A = NodeId("a")
L = Lease("1.1")
R = RequestId("r")
NOW_US = 1_800_000_000_000_000
HEAD = head_of_segment(State(), NOW_US)

Found = dict[tuple[str, tuple[str, ...]], float]


def nothing(_cursor: duckdb.DuckDBPyConnection) -> Iterator[Metric]:
    yield from ()


def told(seq: int, *events: Event) -> list[Recorded]:
    return [Recorded(seq + n, NOW_US + n, event) for n, event in enumerate(events)]


def samples(text: str) -> Found:
    """Return the values by name and the values of the labels, in the order of the labels' names."""
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Log:
    """A log that grows, and its meters."""

    def __init__(self, directory: DataDir, connection: duckdb.DuckDBPyConnection) -> None:
        self.directory = directory
        self.connection = connection
        self.seq = HEAD.seq
        take_in(connection, directory)
        self.meters = Meters(connection, nothing)

    def grow(self, *events: Event) -> None:
        append(self.directory, told(self.seq + 1, *events))
        self.seq += len(events)
        take_in(self.connection, self.directory)

    def scrape(self, *models: str) -> Found:
        with closing(self.connection.cursor()) as cursor:
            return samples(self.meters.text(cursor, models))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    directory = data_dir(tmp_path)
    write(directory, [HEAD])
    with store(directory) as connection:
        yield Log(directory, connection)


def dispatched(queue_s: float, *, cold: bool = False) -> RequestDispatched:
    return RequestDispatched(
        request_id=R, model="m", node_id=A, lease=L, queue_s=queue_s, cold=cold
    )


def completed(ttft_s: float, service_s: float) -> RequestCompleted:
    return RequestCompleted(
        request_id=R, model="m", node_id=A, lease=L, ttft_s=ttft_s, service_s=service_s
    )


def test_times_fall_into_the_bucket_of_their_bound(log: Log) -> None:
    log.grow(dispatched(0.0), dispatched(0.1), dispatched(0.11), dispatched(700.0))
    log.grow(completed(0.3, 3.0), completed(2.0, 4.5))
    found = log.scrape()
    wait = "herd_queue_wait_seconds"
    assert [found[f"{wait}_bucket", (bound, "m", "a")] for bound in ("0.05", "0.1", "0.25")] == [
        1.0,
        2.0,
        3.0,
    ]
    assert found[f"{wait}_bucket", ("600.0", "m", "a")] == 3
    assert found[f"{wait}_bucket", ("+Inf", "m", "a")] == found[f"{wait}_count", ("m", "a")] == 4
    assert found[f"{wait}_sum", ("m", "a")] == pytest.approx(700.21)
    assert found["herd_time_to_first_token_seconds_sum", ("m", "a")] == pytest.approx(2.3)
    assert found["herd_time_to_first_token_seconds_bucket", ("0.5", "m", "a")] == 1
    assert found["herd_request_duration_seconds_sum", ("m", "a")] == pytest.approx(7.5)
    assert found["herd_request_duration_seconds_count", ("m", "a")] == 2


def test_errors_tell_how_how_far_and_whose_fault(log: Log) -> None:
    log.grow(
        RequestReceived(request_id=R, model="m"),
        AttemptFailed(request_id=R, model="m", node_id=A, lease=L, phase="connect"),
        RequestFailed(request_id=R, model="m", node_id=A, phase="stream", fault="node", status=502),
        RequestCancelled(request_id=R, model="m", node_id=A, phase="first_byte"),
        RequestReaped(request_id=R, model="m", node_id=A, lease=L, idle_s=9),
        RequestRejected(request_id=R, model="m", status=503, reason="queue_full"),
        RequestRejected(request_id=R, model="m", status=404, reason="unknown_model"),
        RequestInterrupted(request_id=R, model="m", node_id=A, reason="front_lost"),
        RequestStalled(request_id=R, model="m", node_id=A, lease=L, idle_s=9),
        CircuitOpened(node_id=A, model="m", failures=3, open_s=10),
        dispatched(0.0, cold=True),
        dispatched(0.0),
    )
    found = log.scrape("m")
    errors = {key[1] for key in found if key[0] == "herd_request_errors_total"}
    assert errors == {  # fault, model, node, outcome, phase
        ("node", "m", "a", "failed", "stream"),
        ("client", "m", "a", "cancelled", "first_byte"),
        ("node", "m", "a", "reaped", ""),
        ("herd", "m", "", "rejected", "queue_full"),
        ("client", "m", "", "rejected", "unknown_model"),
        ("herd", "m", "a", "interrupted", "front_lost"),
    }
    assert found["herd_retries_total", ("m", "a", "connect")] == 1
    assert found["herd_model_loads_total", ("m", "a")] == 1
    assert found["herd_stalled_requests_total", ("m", "a")] == 1
    assert found["herd_circuits_opened_total", ("m", "a")] == 1
    assert found["herd_requests_received_total", ("m",)] == 1
    assert found["herd_events_total", ("request_rejected",)] == 2


def test_an_event_is_counted_once(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "STEP", 2)
    log.grow(*(dispatched(0.0) for _ in range(5)))
    assert log.scrape()["herd_queue_wait_seconds_count", ("m", "a")] == 5
    assert log.scrape()["herd_queue_wait_seconds_count", ("m", "a")] == 5
    log.grow(dispatched(0.0))
    assert log.scrape()["herd_queue_wait_seconds_count", ("m", "a")] == 6


def test_counts_begin_with_logd(log: Log) -> None:
    log.grow(dispatched(0.0))
    assert not [key for key in Log(log.directory, log.connection).scrape() if "wait" in key[0]]


def test_names_that_clients_made_up_are_no_labels(log: Log) -> None:
    log.grow(*(RequestReceived(request_id=R, model=name) for name in ("m", "x1", "x2")))
    found = log.scrape("m")
    assert found["herd_requests_received_total", ("m",)] == 1
    assert found["herd_requests_received_total", ("",)] == 2
    assert len([key for key in found if key[0] == "herd_requests_received_total"]) == 2


def test_others_are_told_with_them(log: Log) -> None:
    one = Meters(log.connection, lambda _: [GaugeMetricFamily("herd_one", "One.", value=1)])
    assert samples(one.text(log.connection, ()))["herd_one", ()] == 1


def test_the_lag_is_told_while_the_journal_has_more(log: Log) -> None:
    def gauges() -> dict[str, float]:
        now_s = NOW_US / 1e6 + 100
        told = condition(log.connection, log.directory.journal, now_s)
        return {family.name: family.samples[0].value for family in told}

    log.grow(dispatched(0.0))
    assert gauges()["herd_log_lag_seconds"] == gauges()["herd_log_behind_bytes"] == 0
    assert gauges()["herd_log_last_seq"] == log.seq
    size = segments(log.directory.journal)[-1].path.stat().st_size
    append(log.directory, told(log.seq + 1, dispatched(0.0)))
    grown = segments(log.directory.journal)[-1].path.stat().st_size - size
    assert gauges()["herd_log_behind_bytes"] == grown
    assert gauges()["herd_log_lag_seconds"] == pytest.approx(100, abs=0.1)


def test_an_hour_in_which_nothing_happened_is_no_lag(log: Log) -> None:
    log.grow(dispatched(0.0))
    after_s = 3600.0
    late = Recorded(log.seq + 1, NOW_US + int(after_s * 1e6), dispatched(0.0))
    append(log.directory, [late])
    told = condition(log.connection, log.directory.journal, NOW_US / 1e6 + after_s + 0.2)
    found = {family.name: family.samples[0].value for family in told}
    assert found["herd_log_behind_bytes"] > 0
    assert found["herd_log_lag_seconds"] == pytest.approx(0.2, abs=0.01)


def test_a_journal_that_nothing_was_taken_of_is_all_behind(tmp_path: Path) -> None:
    directory = data_dir(tmp_path)
    write(directory, [HEAD])
    size = segments(directory.journal)[0].path.stat().st_size
    with store(directory) as connection:
        told = condition(connection, directory.journal, NOW_US / 1e6)
        found = {family.name: family.samples[0].value for family in told}
    assert (found["herd_log_behind_bytes"], found["herd_log_lag_seconds"]) == (size, 0)
