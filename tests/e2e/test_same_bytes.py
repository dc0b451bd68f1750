"""What a node answers comes through herd byte for byte; only instants differ."""

import re

import pytest

from tests.e2e.herds import Herd
from tests.e2e.nodes import BIG, EMBED, Nodes
from tests.e2e.wire import JSON, Answer, ask, chat

MOVING = re.compile(rb'"(created_at|created|\w+_duration)":("[^"]*"|\d+)')
CHATS = ("/api/chat", "/v1/chat/completions")

BODIES: dict[str, dict[str, object]] = {
    "/api/chat": chat(BIG),
    "/api/generate": {"model": BIG, "prompt": "why?"},
    "/api/embed": {"model": EMBED, "input": ["a", "b"]},
    "/api/embeddings": {"model": EMBED, "prompt": "a"},
    "/v1/chat/completions": chat(BIG),
    "/v1/completions": {"model": BIG, "prompt": "why?"},
    "/v1/embeddings": {"model": EMBED, "input": "a"},
}
STREAMS = [path for path in BODIES if "embed" not in path]


def still(body: bytes) -> bytes:
    return MOVING.sub(rb'"\1":0', body)


def assert_same(ours: Answer, theirs: Answer) -> None:
    assert ours.status == theirs.status
    assert still(ours.body) == still(theirs.body)
    for name in ("content-type", "content-length", "transfer-encoding"):
        assert ours.headers.get(name, "").isdigit() == theirs.headers.get(name, "").isdigit()
    for name in ("content-type", "transfer-encoding"):
        assert ours.headers.get(name) == theirs.headers.get(name)
    added = {name for name in ours.headers if name.startswith(("x-fleet-", "x-herd-"))}
    assert ours.headers.keys() - added == theirs.headers.keys()


@pytest.mark.parametrize("path", BODIES)
def test_an_answer_in_one_piece(herd: Herd, fleet: Nodes, path: str) -> None:
    body = {**BODIES[path], "stream": False}
    ask(herd.url, path, body)  # loaded from here on
    ours = ask(herd.url, path, body)
    theirs = ask(fleet.url(ours.node), path, body)
    assert ours.status == 200
    assert_same(ours, theirs)


def test_what_is_known_of_a_model(herd: Herd, fleet: Nodes) -> None:
    for body in ({"model": BIG}, {"name": EMBED, "verbose": True}):
        ours = ask(herd.url, "/api/show", body)
        assert ours.status == 200
        assert_same(ours, ask(fleet.url(ours.node), "/api/show", body))


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream(herd: Herd, fleet: Nodes, path: str) -> None:
    body = {**BODIES[path], "stream": True, "stream_options": {"include_usage": True}}
    ask(herd.url, path, body)
    ours = ask(herd.url, path, body)
    theirs = ask(fleet.url(ours.node), path, body)
    assert ours.status == 200
    assert ours.body.count(b"\n") >= 17
    assert ours.headers["transfer-encoding"] == "chunked"
    assert_same(ours, theirs)


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_ollamas_own_routes_stream_unless_told(herd: Herd, path: str) -> None:
    asked = {key: value for key, value in BODIES[path].items() if key != "stream"}
    assert ask(herd.url, path, asked).headers["content-type"] == "application/x-ndjson"


@pytest.mark.parametrize("path", CHATS)
def test_a_nodes_own_refusal(herd: Herd, fleet: Nodes, path: str) -> None:
    body = {**chat(f"{EMBED}:latest"), "think": True, "tools": [{"type": "function"}]}
    ours = ask(herd.url, path, body)
    assert ours.status == 400
    assert_same(ours, ask(fleet.url(ours.node), path, body))


@pytest.mark.parametrize("path", BODIES)
def test_an_unknown_model(herd: Herd, fleet: Nodes, path: str) -> None:
    body = {**BODIES[path], "model": "Nope:1b"}
    ours, theirs = (ask(url, path, body) for url in (herd.url, fleet.url("studio")))
    assert ours.status == theirs.status == 404
    assert ours.json == theirs.json
    assert ours.headers["content-type"] == theirs.headers["content-type"]


@pytest.mark.parametrize("path", BODIES)
def test_a_body_that_is_no_json_is_a_400_with_the_position(herd: Herd, path: str) -> None:
    answer = ask(herd.url, path, b'{"model": "x", oops}')
    assert answer.status == 400
    error = answer.json["error"]
    if path.startswith("/v1"):
        assert error["type"] == "invalid_request_error"
        error = error["message"]
    assert re.search(r"\(byte 15\)", error)


def test_a_content_type_is_not_needed_and_names_have_many_spellings(herd: Herd) -> None:
    assert ask(herd.url, "/api/chat", chat(BIG), headers={}).status == 200
    spelled = ask(herd.url, "/api/embed", {"model": "Nomic-Embed-Text", "input": "x"})
    assert spelled.json["model"] == "Nomic-Embed-Text"
    assert spelled.headers["x-fleet-requested-model"] == "Nomic-Embed-Text"
    assert spelled.headers["x-fleet-served-model"] == f"{EMBED}:latest"


def test_every_answer_says_where_it_comes_from(herd: Herd) -> None:
    answer = ask(herd.url, "/api/chat", chat(BIG), headers=JSON)
    told = {name: answer.headers[name] for name in answer.headers if name.startswith("x-")}
    assert told.pop("x-herd-request-id")[14] == "7"
    assert float(told.pop("x-fleet-score")) >= 0
    assert float(told.pop("x-herd-predicted-wait-s")) >= 0
    first_s = float(told.pop("x-herd-predicted-first-token-s"))
    least_s, most_s = map(float, told.pop("x-herd-predicted-finish-range-s").split("-"))
    assert 0 <= first_s <= float(told.pop("x-herd-predicted-finish-s"))
    assert 0 <= least_s <= most_s
    assert told == {
        "x-fleet-node": "studio",
        "x-fleet-requested-model": BIG,
        "x-fleet-served-model": BIG,
        "x-fleet-fallback": "false",
        "x-fleet-retries": "0",
    }
