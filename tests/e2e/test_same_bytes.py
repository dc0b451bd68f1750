"""What a node answers comes through herd byte for byte; only instants differ."""

import hashlib
import re

import pytest

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import StartHerd, StartNodes
from tests.e2e.herds import Herd
from tests.e2e.nodes import BIG, EMBED, Nodes
from tests.e2e.wire import JSON, Answer, ask, chat

MOVING = re.compile(rb'"(created_at|created|modified_at|\w+_duration)":("[^"]*"|\d+)')
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
    added |= {"request-id", "x-request-id"} & ours.headers.keys()
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


# Routes that some servers lack, what is asked oddly, and models on disks


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages"])
def test_a_route_is_the_nodes_own_or_translated(
    herd: Herd, fleet: Nodes, path: str, *, stream: bool
) -> None:
    body = {"model": BIG, "input": "why?", "max_tokens": 9, "stream": stream}
    if path == "/v1/messages":
        body = {**chat(BIG, stream=stream), "max_tokens": 9}
    ours = ask(herd.url, path, body)
    theirs = ask(fleet.url("studio"), path, body)
    if theirs.status == 404:  # translated
        assert ours.status == 200
        assert b'"type":"message' in ours.body
    else:
        assert_same(ours, theirs)


@pytest.mark.parametrize("path", CHATS)
@pytest.mark.parametrize("stream", [False, True])
def test_whatever_a_body_has_in_it(herd: Herd, fleet: Nodes, path: str, *, stream: bool) -> None:
    image = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # noqa: E501 (one picture)
    told = {"role": "system", "content": 'Sei h\u00f6flich. \U0001f984 "quoted" \\ \t'}
    seen: dict[str, object] = {"role": "user", "content": "what is it?", "images": [image]}
    if path.startswith("/v1"):
        url = {"url": f"data:image/png;base64,{image}"}
        parts = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": url}]
        seen = {"role": "user", "content": parts}
    tool: dict[str, object] = {"name": "look", "parameters": {"type": "object"}}
    body: dict[str, object] = {
        "model": BIG,
        "messages": [told, seen],
        "stream": stream,
        "format": {"type": "object"},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
        "options": {"seed": 1, "temperature": 0.5},
        "tools": [{"type": "function", "function": tool}],
        "keep_alive": "10m",
        "unheard_of": [None, 1e100, {"a": [[]]}],
    }
    ours = ask(herd.url, path, body)
    theirs = ask(fleet.url("studio"), path, body)
    # A stream that is whole in one read has its length told by herd: the framing is each hop's own.
    assert (ours.status, still(ours.body)) == (theirs.status, still(theirs.body))
    assert ours.headers["content-type"] == theirs.headers["content-type"]


PROGRESS = re.compile(rb'[^\n]*"completed":\d+[^\n]*\n')


def same_order(ours: Answer, theirs: Answer) -> None:
    """Compare answers with progress in them, which comes as often as it comes.

    A connection ends where an upload was not read to its end: each hop's own affair.
    """
    quiet = [
        answer._replace(
            body=PROGRESS.sub(b"", answer.body),
            headers={k: v for k, v in answer.headers.items() if k != "connection"},
        )
        for answer in (ours, theirs)
    ]
    assert_same(*quiet)


def test_models_come_and_go_in_the_same_bytes(
    start_herd: StartHerd, start_nodes: StartNodes
) -> None:
    orders = [NodeOrder(profile="studio", name=name, time_scale=500.0) for name in ("ada", "bob")]
    nodes = start_nodes(*orders)
    url = start_herd(nodes.flag("ada"), wait_for=("ada",)).url
    twin = nodes.url("bob")
    data = b"GGUF" * 300_000
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    blob, tiny = f"/api/blobs/{digest}", "smollm2:135m"
    made = {"model": "made", "files": {"a.gguf": digest}}
    asked: list[tuple[str, str, object]] = [
        ("HEAD", blob, None),
        ("POST", f"/api/blobs/sha256:{'0' * 64}", data),
        ("POST", blob, data),
        ("POST", blob, data),
        ("HEAD", blob, None),
        ("POST", "/api/create", {**made, "stream": False}),
        ("POST", "/api/create", made),
        ("POST", "/api/create", {"model": "x", "from": "nope"}),
        ("POST", "/api/pull", {"model": tiny}),
        ("POST", "/api/pull", {"model": tiny, "stream": False}),
        ("POST", "/api/pull", {"model": "nobody/has:this"}),
        ("POST", "/api/pull", {"model": "nobody/has:this", "stream": False}),
        ("POST", "/api/show", {"model": tiny}),
        ("POST", "/api/copy", {"source": tiny, "destination": "mine"}),
        ("POST", "/api/copy", {"source": "nope", "destination": "mine"}),
        ("POST", "/api/copy", {"source": "nope"}),
        ("POST", "/api/copy", {"destination": "mine"}),
        ("POST", "/api/copy", {}),
        ("POST", "/api/copy", {"source": 7, "destination": "mine"}),
        ("POST", "/api/copy", b""),
        ("POST", "/api/push", {"model": "mine"}),
        ("POST", "/api/push", {"model": "mine", "stream": False}),
        ("DELETE", "/api/delete", {"model": "mine"}),
        ("DELETE", "/api/delete", {"model": "mine"}),
        ("POST", "/api/show", {"model": "mine"}),
        ("GET", "/", None),
        ("HEAD", "/", None),
        ("GET", "/nope", None),
        ("PUT", "/api/pull", None),
    ]
    for method, path, body in asked:
        ours, theirs = (ask(each, path, body, method=method) for each in (url, twin))
        assert ours.status == theirs.status, (method, path, body, ours.body)
        same_order(ours, theirs)
