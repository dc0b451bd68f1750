"""This machine's own Ollama becomes the first node, unless there is a reason against it."""

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from herd.config import Settings
from herd.node_address import NodeAddress
from herd.processes.local_node import PATIENCE_S, find_local_ollama, with_local_ollama
from tests.herd.small_server import DEEP


class Answer(BaseHTTPRequestHandler):
    status, body, delay_s = 200, b'{"version":"0.40.2"}', 0.0

    def do_GET(self) -> None:
        time.sleep(self.delay_s)
        found = self.path == "/api/version"
        self.send_response(self.status if found else 404)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's)
        del format, args


@pytest.fixture
def ollama() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_an_ollama_that_answers_is_the_first_node(ollama: str) -> None:
    named = NodeAddress("http://studio:11434", 4)
    settings = with_local_ollama(Settings(nodes=(named,)), ollama)
    assert settings.nodes == (NodeAddress(ollama, origin="local"), named)


def test_it_can_be_switched_off(ollama: str) -> None:
    settings = Settings(local_ollama=False)
    assert with_local_ollama(settings, ollama) is settings


def test_one_that_is_named_is_not_added_again(ollama: str) -> None:
    settings = Settings(nodes=(NodeAddress(ollama, 2),))
    assert with_local_ollama(settings, ollama) is settings
    settings = Settings(nodes=(NodeAddress("http://127.0.0.1:11434", 2),))
    assert with_local_ollama(settings) is settings


def test_herd_on_that_port_is_not_its_own_node(ollama: str) -> None:
    settings = Settings(port=int(ollama.rpartition(":")[2]))
    assert with_local_ollama(settings, ollama) is settings


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b'{"version":"1"}'), (200, b"hello"), (200, b'{"other":1}'), (200, DEEP)],
)
def test_something_else_on_that_port_is_no_node(
    ollama: str, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes
) -> None:
    monkeypatch.setattr(Answer, "status", status)
    monkeypatch.setattr(Answer, "body", body)
    assert find_local_ollama(ollama) is None


def test_nobody_there_is_no_node() -> None:
    assert find_local_ollama("http://127.0.0.1:1") is None


def test_the_start_does_not_wait_for_one_that_hangs(
    ollama: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answer, "delay_s", 2 * PATIENCE_S)
    before = time.monotonic()
    assert find_local_ollama(ollama) is None
    assert time.monotonic() - before < 2 * PATIENCE_S
