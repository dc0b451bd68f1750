"""Spans on their way to a collector, by OTLP over HTTP: what needs OpenTelemetry's own packages."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from herd.errors import HerdError
from herd.tracing.spans import Span
from herd.version import version

TRIES_EVERY_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Between two tries while the collector does not answer; the last one again and again."""
TRIES: Final = 3
"""For a collector that is given up; each try is several of the exporter's own."""
_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_KINDS: Final = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class Collector:
    """Where spans go."""

    def __init__(
        self, endpoint: str | None, complain: Callable[[str], None], *, gives_up: bool = False
    ) -> None:
        """Send to `ENDPOINT/v1/traces`; without one, to what OTEL_EXPORTER_OTLP_* name.

        Raises `HerdError` if that is no URL.
        """
        for name, given in {"--endpoint": endpoint, **_named()}.items():
            if given is not None:
                _check(name, given)
                break
        url = None if endpoint is None else f"{endpoint.rstrip('/')}/v1/traces"
        self._exporter = OTLPSpanExporter(endpoint=url)
        self._complain = complain
        self._gives_up = gives_up
        self._resource = Resource.create({"service.name": "herd", "service.version": version()})
        self._scope = InstrumentationScope("herd", version())

    def send(self, spans: Sequence[Span]) -> None:
        """Send spans, however long it takes; nothing of what was given is left out.

        Raises `HerdError` after `TRIES`, if this collector is to be given up.
        """
        readable = [self._readable(span) for span in spans]
        tries = 0
        while self._exporter.export(readable) is not SpanExportResult.SUCCESS:
            if self._gives_up and tries + 1 >= TRIES:
                raise HerdError(
                    f"the collector takes nothing: given up after {TRIES} tries",
                    "look whether it runs, and at --endpoint; to send all again doubles nothing",
                )
            wait_s = TRIES_EVERY_S[min(tries, len(TRIES_EVERY_S) - 1)]
            self._complain(f"the collector takes nothing: trying again in {wait_s:g} s")
            time.sleep(wait_s)
            tries += 1

    def _readable(self, span: Span) -> ReadableSpan:
        parent = None
        if span.parent_id:
            parent = _context(span.trace_id, span.parent_id, remote=span.parent_is_remote)
        first = [Event("first byte", timestamp=span.first_byte_ns)] if span.first_byte_ns else []
        return ReadableSpan(
            name=span.name,
            context=_context(span.trace_id, span.span_id, remote=False),
            parent=parent,
            resource=self._resource,
            attributes=dict(span.attributes),
            events=first,
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=self._scope,
        )


def _named() -> dict[str, str | None]:
    """Return what the environment names, in the exporter's own order."""
    return {name: os.environ.get(name) or None for name in _VARIABLES}


def _check(name: str, endpoint: str) -> None:
    try:
        url = urlsplit(endpoint)
        known = url.scheme in {"http", "https"} and url.hostname and url.port != 0
    except ValueError:
        known = False
    if not known:
        raise HerdError(
            f"{name} cannot be {endpoint!r}: it is no http:// or https:// URL",
            "name the collector as in http://localhost:4318",
        )


def _context(trace_id: int, span_id: int, *, remote: bool) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=remote, trace_flags=_SAMPLED)
