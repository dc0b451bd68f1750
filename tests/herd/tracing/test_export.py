"""What is sent to a collector: where it may be, and how long one that takes nothing is asked."""

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult

from herd.errors import HerdError
from herd.tracing.export import TRIES, TRIES_EVERY_S, Collector

URL = "http://127.0.0.1:4318"


class Refusing:
    """An exporter that has its spans refused so many times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.asked, self._times = 0, times
        self.slept: list[float] = []

        def export(_exporter: OTLPSpanExporter, _spans: object) -> SpanExportResult:
            return self._answer()

        monkeypatch.setattr(OTLPSpanExporter, "export", export)
        monkeypatch.setattr("time.sleep", self.slept.append)

    def _answer(self) -> SpanExportResult:
        self.asked += 1
        refused = self.asked <= self._times
        return SpanExportResult.FAILURE if refused else SpanExportResult.SUCCESS


def test_a_collector_is_waited_for_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing, told = Refusing(monkeypatch, 20), list[str]()
    Collector(URL, told.append).send([])
    assert refusing.asked == 21
    assert len(told) == 20
    assert refusing.slept[:6] == [*TRIES_EVERY_S, TRIES_EVERY_S[-1]]


def test_one_may_be_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing, told = Refusing(monkeypatch, 20), list[str]()
    with pytest.raises(HerdError, match=f"given up after {TRIES} tries"):
        Collector(URL, told.append, gives_up=True).send([])
    assert refusing.asked == TRIES
    assert len(told) == TRIES - 1


def test_one_that_comes_in_time_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = Refusing(monkeypatch, TRIES - 1)
    Collector(URL, print, gives_up=True).send([])
    assert refusing.asked == TRIES


@pytest.mark.parametrize(
    "endpoint", ["garbage", "", "localhost:4318", "ftp://a", "http://", "http://a:99999"]
)
def test_what_is_no_url_is_refused_at_once(endpoint: str) -> None:
    with pytest.raises(HerdError, match="--endpoint cannot be") as error:
        Collector(endpoint, print)
    assert "http://localhost:4318" in error.value.next_step


def test_the_environment_may_name_no_garbage_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "garbage")
    with pytest.raises(HerdError, match="OTEL_EXPORTER_OTLP_ENDPOINT cannot be 'garbage'"):
        Collector(None, print)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector/v1/traces")
    Collector(None, print)
    Collector(URL, print)
