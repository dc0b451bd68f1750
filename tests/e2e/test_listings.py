"""What is answered without any node: lists, the fleet, and that herd is there."""

from pathlib import Path

import pytest

from tests.e2e.herds import Herd
from tests.e2e.nodes import BIG, EMBED, MIDDLE, SMALL, Nodes
from tests.e2e.wire import ask, chat

ALL = {BIG, SMALL, MIDDLE, f"{EMBED}:latest"}
WHERE = {BIG: {"studio"}, MIDDLE: {"studio", "tower"}}


def test_tags_are_the_union_of_all_nodes_with_the_fields_of_one(herd: Herd, fleet: Nodes) -> None:
    ours = {row["name"]: row for row in ask(herd.url, "/api/tags").json["models"]}
    theirs = {row["name"]: row for row in ask(fleet.url("studio"), "/api/tags").json["models"]}
    assert ours.keys() == theirs.keys() == ALL
    for name, row in theirs.items():
        details = ours[name].pop("details")
        nodes = details.pop("fleet_nodes")
        said = row.pop("details")
        assert (ours[name], details) == (row, said)
        assert set(nodes) == WHERE.get(name, {"studio", "tower", "mini"})


def test_ps_names_the_node_of_what_is_resident(herd: Herd) -> None:
    assert ask(herd.url, "/api/chat", chat(BIG)).status == 200
    herd.until(lambda _: any(row["name"] == BIG for row in _resident(herd)), 8.0)
    row = next(row for row in _resident(herd) if row["name"] == BIG)
    assert row["fleet_node"] == "studio"
    assert row["size_vram"] == row["size"]
    assert int(row["size"]) > 42_000_000_000
    assert row["context_length"] == 8192
    assert str(row["expires_at"]) > "2026"
    assert len(str(row["digest"])) == 64


def _resident(herd: Herd) -> list[dict[str, str | int]]:
    rows: list[dict[str, str | int]] = ask(herd.url, "/api/ps").json["models"]
    return rows


def test_version_is_the_nodes_and_herds(herd: Herd, fleet: Nodes) -> None:
    told = ask(herd.url, "/api/version").json
    assert told["version"] == ask(fleet.url("studio"), "/api/version").json["version"]
    assert told["herd_version"]


def test_models_are_listed_as_a_node_lists_them(herd: Herd, fleet: Nodes) -> None:
    ours, theirs = (ask(url, "/v1/models").json for url in (herd.url, fleet.url("studio")))
    assert ours["object"] == theirs["object"] == "list"
    assert sorted(ours["data"], key=str) == sorted(theirs["data"], key=str)
    one = ask(herd.url, f"/v1/models/{SMALL}")
    assert one.json == ask(fleet.url("studio"), f"/v1/models/{SMALL}").json
    unknown = ask(herd.url, "/v1/models/nope")
    assert (unknown.status, unknown.json["error"]["type"]) == (404, "not_found_error")


def test_the_status_counts_what_was_served(herd: Herd) -> None:
    before = herd.settled().queues.get(f"studio:{BIG}")
    for _ in range(3):
        assert ask(herd.url, "/api/chat", chat(BIG)).node == "studio"
    done = 3 + (before.completed if before else 0)
    status = herd.until(lambda s: s.queues[f"studio:{BIG}"].completed == done)
    queue = status.queues[f"studio:{BIG}"]
    assert (queue.node_id, queue.model) == ("studio", BIG)
    assert (queue.pending, queue.in_flight, queue.failed) == (0, 0, 0)
    assert queue.concurrency == queue.max_concurrent >= 2
    assert {node.node_id: node.status for node in status.nodes} == {
        "studio": "online",
        "tower": "online",
        "mini": "online",
    }
    assert {node.origin for node in status.nodes} == {"flag"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_root_says_that_ollama_is_running(herd: Herd, method: str) -> None:
    answer = ask(herd.url, "/", method=method)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.body == (b"Ollama is running" if method == "GET" else b"")


@pytest.mark.parametrize("path", ["/api/tags", "/api/version"])
def test_head_is_get_without_a_body(herd: Herd, path: str) -> None:
    whole, head = ask(herd.url, path), ask(herd.url, path, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]


def test_other_paths_and_methods_are_refused_as_ollama_does(herd: Herd, fleet: Nodes) -> None:
    for path, method in (("/nope", "GET"), ("/api/chat", "GET"), ("/api/tags", "DELETE")):
        ours, theirs = (ask(url, path, method=method) for url in (herd.url, fleet.url("studio")))
        assert (ours.status, ours.body) == (theirs.status, theirs.body)


def test_the_data_directory_says_where_it_runs(herd: Herd) -> None:
    content = (Path(herd.data_dir) / "run" / "herd.json").read_text()
    assert herd.url.rpartition(":")[2] in content
