"""A server with `/v1` routes only that says what a test wants, and keeps what it was asked."""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

MODEL = "scripted:latest"

Delta = Mapping[str, Any]


class Scripted:
    """One server; whatever it is asked, it says the deltas that a test wants."""

    def __init__(self, *deltas: Delta, finish: str = "stop") -> None:
        self.deltas = list(deltas)
        self.finish = finish
        self.responses: list[dict[str, Any]] = []
        """The events of its own `/v1/responses`; without them there is no such route."""
        self.asked: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                listed = self.path == "/v1/models"
                rows = {"object": "list", "data": [{"id": MODEL, "object": "model"}]}
                self._send(200 if listed else 404, rows if listed else {"error": "no such route"})

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/v1/responses" and outer.responses:
                    events = [json.dumps(event).encode() for event in outer.responses]
                    whole = outer.responses[-1]["response"]
                elif self.path == "/v1/chat/completions":
                    events, whole = outer.events(), outer.whole()
                else:
                    self._send(404, {"detail": "Not Found"})
                    return
                outer.asked.append(asked)
                if not asked.get("stream"):
                    self._send(200, whole)
                    return
                data = b"".join(b"data: %b\n\n" % event for event in events)
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _send(self, status: int, said: object) -> None:
                data = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def flag(self) -> str:
        """What follows `--node`."""
        return f"{self.url},name=scripted"

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def whole(self) -> dict[str, Any]:
        """Return the answer in one piece: of the deltas, what is text."""
        text = "".join(delta.get("content") or "" for delta in self.deltas)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": self.finish}
        return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "choices": [choice]}

    def events(self) -> list[bytes]:
        """Return the data of the stream that every question gets."""
        shared: dict[str, Any] = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
        }
        choices: list[dict[str, Any]] = [
            {"index": 0, "delta": delta, "finish_reason": None} for delta in self.deltas
        ]
        choices.append({"index": 0, "delta": {}, "finish_reason": self.finish})
        events = [json.dumps(shared | {"choices": [choice]}).encode() for choice in choices]
        usage = {"prompt_tokens": 900, "completion_tokens": 40, "total_tokens": 940}
        events.append(json.dumps(shared | {"choices": [], "usage": usage}).encode())
        return [*events, b"[DONE]"]


def call(index: int, ident: str, name: str, *pieces: str) -> list[Delta]:
    """Return a call as servers stream it: its name first, then its arguments in pieces."""
    first = {"index": index, "id": ident, "type": "function"}
    deltas: list[Delta] = [{"tool_calls": [{**first, "function": {"name": name, "arguments": ""}}]}]
    deltas += [{"tool_calls": [{"index": index, "function": {"arguments": it}}]} for it in pieces]
    return deltas
