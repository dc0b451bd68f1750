"""A model of Ollama's cloud on a node: named, described and served through herd as by the node."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.e2e.conftest import HerdsOf, ends_and_replays
from tests.e2e.herds import Herd, until
from tests.e2e.wire import ask, chat

CLOUD = "gpt-oss:120b-cloud"
UNLISTED, NOWHERE = "kimi-k2:cloud", "no-such:cloud"
FAR = {"remote_model": "gpt-oss:120b", "remote_host": "https://ollama.com:443"}
DETAILS: dict[str, Any] = {
    "parent_model": "",
    "format": "",
    "family": "gptoss",
    "families": ["gptoss"],
    "parameter_size": "116.8B",
    "quantization_level": "MXFP4",
}
ROW: dict[str, Any] = {
    "name": CLOUD,
    "model": CLOUD,
    **FAR,
    "modified_at": "2026-01-02T03:04:05.678Z",
    "size": 384,
    "digest": "5" * 64,
    "details": DETAILS,
    "capabilities": ["completion", "tools", "thinking"],
}
SHOWN: dict[str, Any] = {
    "details": DETAILS,
    **FAR,
    "model_info": {"general.architecture": "gptoss"},
    "capabilities": ["completion", "tools"],
    "modified_at": ROW["modified_at"],
}
SAID = {"model": CLOUD, **FAR, "message": {"role": "assistant", "content": "hi"}, "done": True}
UNAUTHORIZED = {"error": "unauthorized", "signin_url": "https://ollama.com/connect?name=x"}
ANSWERS: dict[str, Any] = {
    "/api/version": {"version": "0.33.0"},
    "/api/tags": {"models": [ROW]},
    "/api/ps": {"models": []},
    "/api/show": SHOWN,
    "/api/chat": SAID,
    "/api/generate": UNAUTHORIZED,
}


class Handler(BaseHTTPRequestHandler):
    """An Ollama that is signed in, but not for `/api/generate`."""

    protocol_version = "HTTP/1.1"

    pulled = False

    def do_GET(self) -> None:
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = ANSWERS.get(self.path)
        if self.path == "/api/tags" and Handler.pulled:
            said = {"models": [ROW, {**ROW, "name": UNLISTED, "model": UNLISTED}]}
        if self.path == "/api/pull":
            there = json.loads(asked)["model"] == UNLISTED
            Handler.pulled = Handler.pulled or there
            said = {"status": "success"} if there else {"error": "pull model manifest: not found"}
        data = json.dumps(said, separators=(",", ":")).encode()
        self.send_response(404 if said is None else 401 if said is UNAUTHORIZED else 200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        del format, args


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where the node is."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def cloud_herd(url: str, herds_of: HerdsOf) -> Iterator[Herd]:
    """A balancer before it."""
    Handler.pulled = False
    with herds_of("cloud") as start:
        herd = start(f"{url},name=signed-in", wait_for=("signed-in",))
        yield herd
        ends_and_replays(herd)


def test_it_is_listed_as_what_it_is(cloud_herd: Herd) -> None:
    (row,) = ask(cloud_herd.url, "/api/tags").json["models"]
    assert row.pop("details").pop("fleet_nodes") == ["signed-in"]
    assert row == {name: value for name, value in ROW.items() if name != "details"}
    assert [*row][:4] == ["name", "model", "remote_model", "remote_host"]
    assert ask(cloud_herd.url, "/api/ps").json == {"models": []}
    (listed,) = ask(cloud_herd.url, "/v1/models").json["data"]
    assert listed["id"] == CLOUD
    assert ask(cloud_herd.url, f"/v1/models/{CLOUD}").json == listed


def test_what_the_node_says_of_it_passes_through(cloud_herd: Herd, url: str) -> None:
    for path, body in (
        ("/api/show", {"model": CLOUD}),
        ("/api/chat", chat(CLOUD)),
        ("/api/generate", {"model": CLOUD, "prompt": "x"}),  # a 401, with the way to sign in
    ):
        ours, theirs = ask(cloud_herd.url, path, body), ask(url, path, body)
        assert (ours.status, ours.body) == (theirs.status, theirs.body)


def test_nobody_waits_for_a_load_of_it(cloud_herd: Herd) -> None:
    answer = ask(cloud_herd.url, "/api/chat", chat(CLOUD))
    assert float(answer.headers["x-herd-predicted-wait-s"]) < 1.0
    assert cloud_herd.sql("SELECT count(*) AS n FROM model_loads") == [{"n": 0}]


def test_a_name_that_no_node_lists_is_fetched_by_one_that_is_signed_in(cloud_herd: Herd) -> None:
    answer = ask(cloud_herd.url, "/api/chat", chat(UNLISTED))
    assert (answer.status, answer.json["message"]) == (200, SAID["message"])

    def listed() -> bool:
        rows = ask(cloud_herd.url, "/api/tags").json["models"]
        return {row["name"] for row in rows} == {CLOUD, UNLISTED}

    assert until(listed, 10.0)
    missing = ask(cloud_herd.url, "/api/chat", chat(NOWHERE))
    assert missing.status == 404
    assert missing.json["error"].startswith(
        f"model '{NOWHERE}' not found: no node has it, and none"
    )
