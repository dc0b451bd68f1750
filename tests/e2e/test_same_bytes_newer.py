"""The same bytes from newer nodes and of models that think; and what differs in merged lists.

What herd answers itself differs from a node's answer on purpose:

- `/api/tags`, `/v1/models`: each model of the fleet once, with the nodes that have it, and with all
  that newer Ollamas tell of it (the context, what it is able to do), whatever the node's version.
- `/api/ps`: a row for each node with a model in memory, which it names; as herd saw it last.
- `/api/version`: the version of the first node that has one, and herd's own beside it.

Before one node they are its rows, and `/v1/models/{id}` its bytes.
"""

import re
from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import HerdsOf, StartHerd, StartNodes, ends_and_replays
from tests.e2e.herds import Herd
from tests.e2e.nodes import BIG, SMALL, Nodes
from tests.e2e.test_same_bytes import assert_same, still
from tests.e2e.wire import ask

THINKS = "qwen3:4b"
NEWER = NodeOrder(profile="thinker", name="newer", answer_tokens=16, version="0.14.1")
SERVER = msgspec.structs.replace(NEWER, name="server", v1_only=True)
USER = [{"role": "user", "content": "hello"}]
TOOL = {"name": "get_weather", "description": "d"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
OPENAI_TOOL = {"type": "function", "function": TOOL | {"parameters": SCHEMA}}
WEATHER = [{"role": "user", "content": "what is the weather?"}]


@pytest.fixture(scope="module")
def newer() -> Iterator[Nodes]:
    """An Ollama and a server with `/v1` routes only, both with the newer routes of their own."""
    with Nodes(NEWER, SERVER) as nodes:
        yield nodes


@pytest.fixture(scope="module", params=["newer", "server"])
def before(
    request: pytest.FixtureRequest, newer: Nodes, herds_of: HerdsOf
) -> Iterator[tuple[Herd, str]]:
    """A balancer before one of them, and that node's address."""
    name: str = request.param
    with herds_of(name) as start:
        herd = start(newer.flag(name), wait_for=(name,))
        yield herd, newer.url(name)
        ends_and_replays(herd)


MESSAGES: list[dict[str, Any]] = [
    {"messages": USER},
    {"messages": USER, "thinking": {"type": "enabled", "budget_tokens": 1024}},
    {"messages": USER, "thinking": {"type": "disabled"}, "system": "Be short."},
    {"messages": WEATHER, "tools": [TOOL | {"input_schema": SCHEMA}]},
    {"messages": [{"role": "user", "content": [{"type": "document"}]}]},
    {"messages": USER, "mcp_servers": [{"type": "url", "url": "https://x.test", "name": "x"}]},
]
RESPONSES: list[dict[str, Any]] = [
    {"input": "hello"},
    {"input": "hello", "reasoning": {"effort": "low", "summary": "auto"}, "store": False},
    {"input": "what is the weather?", "tools": [{"type": "function", **TOOL}]},
    {"input": "hello", "previous_response_id": "resp_1"},
    {"input": [{"type": "compaction"}]},
]
CHATS: list[dict[str, Any]] = [
    {"messages": USER},
    {"messages": USER, "reasoning_effort": "high"},
    {"messages": USER, "reasoning": {"effort": "none"}},
    {"messages": WEATHER, "tools": [OPENAI_TOOL]},
]
ASKED: list[tuple[str, dict[str, Any]]] = [
    *[("/v1/messages", {"max_tokens": 2048, **body}) for body in MESSAGES],
    *[("/v1/responses", body) for body in RESPONSES],
    *[("/v1/chat/completions", body) for body in CHATS],
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body"), ASKED)
def test_routes_of_a_nodes_own(
    before: tuple[Herd, str], path: str, body: dict[str, Any], *, stream: bool
) -> None:
    herd, url = before
    asked = {"model": THINKS, "stream": stream, **body}
    ours, theirs = ask(herd.url, path, asked), ask(url, path, asked)
    assert (ours.status, still(ours.body)) == (theirs.status, still(theirs.body))
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    assert "x-herd-left-out" not in ours.headers
    if path != "/v1/chat/completions" and ours.status == 200:
        assert re.search(rb'"id":"(msg|resp)_own\d', ours.body), "translated, not passed on"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("think", [None, True, False, "low"])
def test_ollamas_own_routes_of_a_model_that_thinks(
    start_herd: StartHerd, newer: Nodes, think: object, *, stream: bool
) -> None:
    herd = start_herd(newer.flag("newer"), wait_for=("newer",))
    for path, body in (("/api/chat", {"messages": USER}), ("/api/generate", {"prompt": "hello"})):
        asked = {"model": THINKS, "stream": stream, "think": think, **body}
        ours, theirs = ask(herd.url, path, asked), ask(newer.url("newer"), path, asked)
        assert ours.status == 200
        assert (b'"thinking"' in ours.body) == (think is not False)
        assert_same(ours, theirs)
    asked = {"model": SMALL, "messages": USER, "stream": stream, "think": True}
    ours, theirs = ask(herd.url, "/api/chat", asked), ask(newer.url("newer"), "/api/chat", asked)
    assert ours.status == 400
    assert_same(ours, theirs)


def rows(url: str, path: str) -> list[dict[str, Any]]:
    body = ask(url, path).json
    found: list[dict[str, Any]] = body["models"] if "models" in body else body["data"]
    return sorted(found, key=lambda row: str(row.get("id") or row["name"]))


def assert_all_there(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """See that a row has all that the node's has, the same; what herd adds is beside it."""
    for name, value in theirs.items():
        if isinstance(value, dict):
            assert_all_there(ours[name], cast("dict[str, Any]", value))
        elif name != "expires_at":  # it moves
            assert ours[name] == value


def test_lists_before_one_node_hold_its_rows(
    start_herd: StartHerd, start_nodes: StartNodes
) -> None:
    nodes = start_nodes(NEWER)
    herd = start_herd(nodes.flag("newer"), wait_for=("newer",))
    url = nodes.url("newer")
    for path in ("/api/tags", "/v1/models"):
        for ours, theirs in zip(rows(herd.url, path), rows(url, path), strict=True):
            assert_all_there(ours, theirs)
        told, meant = (ask(each, path).headers["content-type"] for each in (herd.url, url))
        assert told == meant
    for name in (BIG, THINKS, "nope"):
        one, other = (ask(each, f"/v1/models/{name}") for each in (herd.url, url))
        assert (one.status, one.body) == (other.status, other.body)
        assert one.headers["content-type"] == other.headers["content-type"]
    assert ask(herd.url, "/api/version").json["version"] == NEWER.version

    ask(herd.url, "/api/chat", {"model": SMALL, "messages": USER, "stream": False})
    herd.until(lambda _: bool(rows(herd.url, "/api/ps")), 8.0)
    (ours,), (theirs,) = (rows(each, "/api/ps") for each in (herd.url, url))
    assert_all_there(ours, theirs)


def test_lists_of_a_fleet_have_each_model_once(herd: Herd, fleet: Nodes) -> None:
    for path, name in (("/api/tags", "name"), ("/v1/models", "id")):
        ours = [row[name] for row in rows(herd.url, path)]
        theirs = {row[name] for each in fleet.names for row in rows(fleet.url(each), path)}
        assert ours == sorted(theirs)
