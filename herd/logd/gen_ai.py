"""Answers under the names of OpenTelemetry's semantic conventions for generative AI.

Names, attributes and bounds are those of its `gen-ai-metrics.md` (v1.41 of the conventions, status
Development), written as its rules of Prometheus compatibility ask: dots are underscores, seconds
are a suffix, `{token}` is none. They tell of the nodes together, from the dispatch on: each node's
own times have herd's names (`herd/logd/meters.py`). Times of tokens are of streamed answers, since
only those show them; an answer that failed has its phase as `error_type`.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

import duckdb
import msgspec
from prometheus_client.core import HistogramMetricFamily, Metric

from events import decode
from herd.journal.segments import Limits
from herd.logd.histograms import Times
from herd.logd.sql import text
from herd.operations import operation
from herd.providers import TELLING, Providers

_DURATIONS: Final = tuple(0.01 * 2**power for power in range(14))
"""0.01 s to 81.92 s."""
_FIRSTS: Final = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
_PACES: Final = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15),
    *(0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
)
_SIZES: Final = tuple(4**power for power in range(14))
"""Tokens: 1 to 67,108,864."""

_WHAT: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
_DURATION: Final = "gen_ai_server_request_duration_seconds"
_FIRST: Final = "gen_ai_server_time_to_first_token_seconds"
_PACE: Final = "gen_ai_server_time_per_output_token_seconds"
_TOKENS: Final = "gen_ai_client_token_usage"
_HISTOGRAMS: Final = {
    _DURATION: ("From dispatch to the last byte.", (*_WHAT, "error_type"), _DURATIONS),
    _FIRST: ("From dispatch to the first byte, of whole streamed answers.", _WHAT, _FIRSTS),
    _PACE: ("Between two tokens after the first, the mean of an answer.", _WHAT, _PACES),
    _TOKENS: ("Tokens of a request, as its node counted.", (*_WHAT, "gen_ai_token_type"), _SIZES),
}
_IDS: Final = (
    "SELECT min(request_id), max(request_id) FROM events WHERE seq BETWEEN ? AND ?"
    " AND kind IN ('request_completed', 'request_failed')"
)
_TELLING: Final = (
    "SELECT payload::VARCHAR FROM events WHERE seq BETWEEN ? AND ?"
    " AND list_contains(?, kind)"
    " AND (contains(payload, '\"facts\":') OR kind = 'state_snapshotted')"
    " ORDER BY seq"
)

_Labels: TypeAlias = tuple[str, ...]


class _Row(msgspec.Struct):
    """As `named/metrics_gen_ai.sql` gives it."""

    route: str
    model: str
    provider: str
    error: str
    service_s: float
    first_s: float
    token_s: float
    input_tokens: float
    output_tokens: float
    service_counts: list[int] | None
    first_counts: list[int] | None
    token_counts: list[int] | None
    input_counts: list[int] | None
    output_counts: list[int] | None


class GenAi:
    """What was counted so far."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, last_seq: int) -> None:
        """Begin with nothing; of the log up to `last_seq`, only what its nodes are is heard.

        A segment opens with all of it, so no more than the last is looked at.
        """
        self._providers = Providers()
        self._hear(cursor, last_seq - Limits().segment_events, last_seq)
        self._found: dict[str, dict[_Labels, Times]] = {name: {} for name in _HISTOGRAMS}

    def count(self, cursor: duckdb.DuckDBPyConnection, first_seq: int, last_seq: int) -> None:
        """Count what ended in a stretch of the log."""
        [(first_id, last_id)] = cursor.execute(_IDS, [first_seq, last_seq]).fetchall()
        self._hear(cursor, first_seq, last_seq)
        if first_id is None:
            return
        others = self._providers.others()
        asked = {
            "first_seq": first_seq,
            "last_seq": last_seq,
            "first_id": first_id,
            "last_id": last_id,
            "durations": list(_DURATIONS),
            "firsts": list(_FIRSTS),
            "paces": list(_PACES),
            "sizes": list(_SIZES),
            "nodes": list(others),
            "providers": list(others.values()),
        }
        for values in cursor.execute(text("named/metrics_gen_ai.sql"), asked).fetchall():
            self._take(_Row(*values))

    def _hear(self, cursor: duckdb.DuckDBPyConnection, first_seq: int, last_seq: int) -> None:
        asked = [first_seq, last_seq, list(TELLING)]
        for (line,) in cursor.execute(_TELLING, asked).fetchall():
            self._providers.hear(decode(line.encode()).event)

    def _take(self, row: _Row) -> None:
        what = (operation(row.route), row.provider, row.model)
        self._add(_DURATION, (*what, row.error), row.service_counts, row.service_s)
        self._add(_FIRST, what, row.first_counts, row.first_s)
        self._add(_PACE, what, row.token_counts, row.token_s)
        self._add(_TOKENS, (*what, "input"), row.input_counts, row.input_tokens)
        self._add(_TOKENS, (*what, "output"), row.output_counts, row.output_tokens)

    def _add(self, name: str, labels: _Labels, counts: list[int] | None, total: float) -> None:
        if counts is not None:
            known = self._found[name]
            if labels not in known:
                known[labels] = Times(_HISTOGRAMS[name][2])
            known[labels].add(counts, total)

    def families(self) -> Iterator[Metric]:
        """Yield every histogram."""
        for name, (what, labels, _) in _HISTOGRAMS.items():
            family = HistogramMetricFamily(name, what, labels=labels)
            for values, times in self._found[name].items():
                family.add_metric(values, times.buckets(), times.total)
            yield family
