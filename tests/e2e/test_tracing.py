"""`herd otel` with a collector: what arrives there, and what the node got of the client's trace."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.e2e.herds import Herd, until
from tests.e2e.nodes import SMALL
from tests.e2e.wire import JSON, ask, chat

TRACE, CLIENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{CLIENT}-01"


class Taking(BaseHTTPRequestHandler):
    """Refuses the first batch, as a collector does that is just being started."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        collector = self.server
        assert isinstance(collector, Collector)
        self.send_response(200 if collector.refused else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()
        if collector.refused:
            assert self.path == "/v1/traces"
            collector.taken.append(ExportTraceServiceRequest.FromString(body))
        collector.refused = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's)
        del format, args


class Collector(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.taken: list[ExportTraceServiceRequest] = []
        self.refused = False

    def spans(self) -> list[Span]:
        return [
            span
            for batch in self.taken
            for resource in batch.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_each_request_arrives_as_a_trace(herd: Herd, collector: Collector) -> None:
    traced = ask(herd.url, "/api/chat", chat(SMALL), headers=JSON | {"traceparent": PARENT})
    alone = ask(herd.url, "/api/chat", chat(SMALL))
    assert (traced.status, alone.status) == (200, 200)

    def arrived() -> bool:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "herd", "otel", "--no-follow"),
                *("--endpoint", f"http://127.0.0.1:{collector.server_address[1]}"),
                *("--data-dir", str(herd.data_dir)),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "requests sent, in" in done.stdout
        return any(span.trace_id.hex() == TRACE for span in collector.spans())

    assert until(arrived, 20.0)
    assert collector.refused
    spans = collector.spans()
    ours = [span for span in spans if span.trace_id.hex() == TRACE]
    root = next(span for span in ours if span.parent_span_id.hex() == CLIENT)
    assert root.name == f"chat {SMALL}"
    known = {each.key: each.value.string_value for each in root.attributes}
    assert known["herd.request.id"] == traced.request_id
    assert any(span.parent_span_id == root.span_id for span in ours)
    assert {span.trace_id.hex() for span in spans} > {TRACE}
