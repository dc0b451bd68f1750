"""What Prometheus counts of the log: a scrape reads the events since the one before, and no others.

Nothing is counted when nobody asks, and nothing on the way of a request. Counters begin at 0 when
logd does, as Prometheus expects of a process that was started anew. Labels are bounded: nodes and
models of the fleet; what clients ask for that no node has counts under the model "".

What has a name in OpenTelemetry's conventions for generative AI is told by that one too
(`herd/logd/gen_ai.py`).
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeAlias

import duckdb
import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from herd.logd.gen_ai import GenAi
from herd.logd.histograms import Times
from herd.logd.rollup import newest_seq
from herd.logd.sql import text

METRICS: Final = "metrics"
"""The name of the question; its parameter `models` is what the fleet has."""
STEP: Final = 200_000
"""Events read at once: what one scrape has no time for is left to the next."""

_SECONDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
    *(2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
_PLACE: Final = ("node", "model")

_COUNTERS: Final = {
    "herd_events": ("Events in the log.", ("kind",)),
    "herd_requests_received": ("Requests that were admitted to a line.", ("model",)),
    "herd_request_errors": (
        "Requests without a whole answer: how, how far they had come or why, whose fault.",
        (*_PLACE, "outcome", "phase", "fault"),
    ),
    "herd_retries": ("Attempts that a node failed before the first byte.", (*_PLACE, "phase")),
    "herd_model_loads": ("Dispatches that had to wait for a load.", _PLACE),
    "herd_stalled_requests": ("Requests that a node left without a sign of life.", _PLACE),
    "herd_circuits_opened": ("Times that a model was kept away from a node.", _PLACE),
}
_HISTOGRAMS: Final = {
    "herd_queue_wait_seconds": "From admission to dispatch.",
    "herd_time_to_first_token_seconds": "From dispatch to the first byte, of whole answers.",
    "herd_request_duration_seconds": "From dispatch to the last byte, of whole answers.",
}
_ENDS: Final = {
    "request_failed": "failed",
    "request_cancelled": "cancelled",
    "request_rejected": "rejected",
    "request_reaped": "reaped",
    "request_interrupted": "interrupted",
}
_FAULTS: Final = {"request_cancelled": "client", "request_reaped": "node"}
_OF_PLACE: Final = {
    "request_stalled": "herd_stalled_requests",
    "circuit_opened": "herd_circuits_opened",
}
_CLIENTS: Final = ("unknown_model", "only_v1")
"""Reasons of a rejection for which the client is to blame."""

Labels: TypeAlias = tuple[str, ...]


class _Row(msgspec.Struct):
    """As `named/metrics.sql` gives it."""

    kind: str
    node: str
    model: str
    phase: str
    fault: str
    cold: bool | None
    events: int
    queue_s: float
    ttft_s: float
    service_s: float
    queue_counts: list[int] | None
    ttft_counts: list[int] | None
    service_counts: list[int] | None


class Meters:
    """All that was counted since logd began."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        others: Callable[[duckdb.DuckDBPyConnection], Iterable[Metric]],
    ) -> None:
        """Begin after what is in the log; `others` are told with each scrape."""
        self._others = others
        self._seen = newest_seq(connection)
        self._one = threading.Lock()
        self._counts: dict[str, dict[Labels, int]] = {name: defaultdict(int) for name in _COUNTERS}
        self._times: dict[str, dict[Labels, Times]] = {
            name: defaultdict(lambda: Times(_SECONDS)) for name in _HISTOGRAMS
        }
        self._gen_ai = GenAi(connection, self._seen)

    def text(self, cursor: duckdb.DuckDBPyConnection, models: Iterable[str]) -> str:
        """Return the exposition, up to the newest event."""
        known = frozenset(models)
        with self._one:
            newest = newest_seq(cursor)
            while self._seen < newest:
                self._count(cursor, min(newest, self._seen + STEP), known)
            registry = CollectorRegistry(auto_describe=False)
            registry.register(_Told([*self._families(), *self._others(cursor)]))
            return generate_latest(registry).decode()

    def _count(self, cursor: duckdb.DuckDBPyConnection, last: int, known: frozenset[str]) -> None:
        bounds = {"first_seq": self._seen + 1, "last_seq": last, "bounds": list(_SECONDS)}
        rows = cursor.execute(text("named/metrics.sql"), bounds).fetchall()
        for values in rows:
            row = _Row(*values)
            if not row.node and row.model not in known:
                row.model = ""
            self._take(row)
        self._gen_ai.count(cursor, self._seen + 1, last)
        self._seen = last

    def _take(self, row: _Row) -> None:
        place = (row.node, row.model)
        self._add("herd_events", (row.kind,), row.events)
        if row.kind == "request_received":
            self._add("herd_requests_received", (row.model,), row.events)
        elif row.kind == "attempt_failed":
            self._add("herd_retries", (*place, row.phase), row.events)
        elif outcome := _ENDS.get(row.kind):
            labels = (*place, outcome, row.phase, _fault(row))
            self._add("herd_request_errors", labels, row.events)
        elif counter := _OF_PLACE.get(row.kind):
            self._add(counter, place, row.events)
        if row.cold:
            self._add("herd_model_loads", place, row.events)
        if row.kind == "request_dispatched":
            self._time("herd_queue_wait_seconds", place, row.queue_counts, row.queue_s)
        elif row.kind == "request_completed":
            self._time("herd_time_to_first_token_seconds", place, row.ttft_counts, row.ttft_s)
            self._time("herd_request_duration_seconds", place, row.service_counts, row.service_s)

    def _time(self, name: str, place: Labels, counts: list[int] | None, sum_s: float) -> None:
        if counts is not None:
            self._times[name][place].add(counts, sum_s)

    def _add(self, name: str, labels: Labels, events: int) -> None:
        self._counts[name][labels] += events

    def _families(self) -> Iterator[Metric]:
        for name, (what, labels) in _COUNTERS.items():
            counter = CounterMetricFamily(name, what, labels=labels)
            for values, count in self._counts[name].items():
                counter.add_metric(values, count)
            yield counter
        for name, what in _HISTOGRAMS.items():
            histogram = HistogramMetricFamily(name, what, labels=_PLACE)
            for values, times in self._times[name].items():
                histogram.add_metric(values, times.buckets(), times.total)
            yield histogram
        yield from self._gen_ai.families()


class _Told(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _fault(row: _Row) -> str:
    if row.kind == "request_rejected":
        return "client" if row.phase in _CLIENTS else "herd"
    return row.fault or _FAULTS.get(row.kind, "herd")
