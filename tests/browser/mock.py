"""A herd that says what a test wants: the real page and files, everything else from a table."""

import contextlib
import json
import queue
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from herd.http.endpoints.assets import GUARDS

STATIC = files("herd.dashboard").joinpath("static")
KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Mock:
    """The table of answers, the feed, what was asked for and what was posted."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.posted: list[tuple[str, Any]] = []
        self.refusals: dict[str, tuple[int, Any]] = {}
        self.resumed: list[str] = []
        self.asked: list[str] = []
        self.port = 0
        self.feeding = True
        self.admin = ""
        self._readers: list[queue.SimpleQueue[bytes | None]] = []
        self._number = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/dashboard"

    def publish(self, kind: str, data: Any) -> None:
        """Send an event to every page that is open."""
        self._number += 1
        text = f"id: m-{self._number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n"
        for reader in self._readers:
            reader.put(text.encode())

    def hang_up(self) -> None:
        """End all feeds."""
        for reader in self._readers:
            reader.put(None)

    def listens(self) -> queue.SimpleQueue[bytes | None]:
        reader: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        snapshot = json.dumps(self.answers["/fleet/status"])
        reader.put(f"id: m-{self._number}\nevent: snapshot\ndata: {snapshot}\n\n".encode())
        self._readers.append(reader)
        return reader

    def forget(self, reader: queue.SimpleQueue[bytes | None]) -> None:
        self._readers.remove(reader)


@contextmanager
def mocking(answers: dict[str, Any], port: int = 0) -> Generator[Mock]:
    mock = Mock(answers)

    class Handler(_Handler):
        herd = mock

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    mock.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield mock
    finally:
        mock.hang_up()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    herd: Mock
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.herd.asked.append(path)
        if path == "/dashboard":
            self._file("index.html")
        elif path.startswith("/dashboard/static/"):
            self._file(path.removeprefix("/dashboard/static/"))
        elif path == "/dashboard/api/events" and self.herd.feeding:
            self._feed(query)
        elif path in self.herd.answers:
            self._say(200, self.herd.answers[path])
        else:
            self._say(404, {"error": f"nothing at {path}"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.herd.posted.append((self.path, body))
        trusted = self.herd.admin and self.headers["X-Herd-Admin-Token"] == self.herd.admin
        refused = None if trusted else self.herd.refusals.get(self.path)
        self._say(*(refused or (200, {"ok": True})))

    def do_DELETE(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its own name)
        """Be quiet."""

    def _say(self, status: int, answer: Any) -> None:
        with contextlib.suppress(OSError):
            self._send(status, "application/json", json.dumps(answer).encode())

    def _file(self, name: str) -> None:
        self._send(200, KINDS[name.rpartition(".")[2]], STATIC.joinpath(name).read_bytes())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in GUARDS:
            self.send_header(name.decode(), value.decode())
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _feed(self, query: str) -> None:
        self.herd.resumed.append(query)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.close_connection = True
        reader = self.herd.listens()
        try:
            while (data := reader.get()) is not None:
                self.wfile.write(data)
                self.wfile.flush()
        except OSError:
            pass
        finally:
            self.herd.forget(reader)
