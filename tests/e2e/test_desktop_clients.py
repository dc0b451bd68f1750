"""What Continue, Cline, Home Assistant and n8n ask of an Ollama, set up as their pages tell.

Their requests are those of their sources: Continue's `core/llm/llms/Ollama.ts`, Cline's
`src/core/api/providers/ollama.ts` and `getOllamaModels.ts`, Home Assistant's
`components/ollama/{__init__,entity}.py`, n8n's `OllamaApi.credentials.ts` and
`LMOllama/description.ts`, and LangChain's client that its nodes use. Each asks at an Ollama, and at
a server of `/v1` routes.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import ollama
import pytest
import yaml

from herd.simulator.fleet import NodeOrder
from tests.docs import markdown
from tests.docs.pages import DOCS
from tests.e2e.conftest import HerdsOf, ends_and_replays
from tests.e2e.nodes import BIG, EMBED, SIMULATED, SMALL, Nodes
from tests.e2e.wire import Answer, Call, ask

PAGES = DOCS / "clients"
USUAL = "http://localhost:11435"
ORDER = NodeOrder(profile="ideal", name="node", answer_tokens=16)
PARAMETER = re.compile(r'^(\S+)\s+((?:".*")|\S+)$')
"""A line of `parameters`, as Continue reads it."""
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "HassTurnOn",
        "description": "Turn a light on",
        "parameters": {
            "type": "object",
            "properties": {"area": {"type": "string"}},
            "required": ["area"],
        },
    },
}


def page(name: str) -> Path:
    return PAGES / f"{name}.md"


@pytest.fixture(scope="module", params=["ollama", "v1"])
def kind(request: pytest.FixtureRequest) -> str:
    """What herd has behind it: an Ollama, or a server that has only `/v1` routes."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def url(kind: str, herds_of: HerdsOf) -> Iterator[str]:
    """Where herd is."""
    order = msgspec.structs.replace(ORDER, v1_only=kind == "v1")
    with Nodes(order) as nodes, herds_of(f"desktop-{kind}") as start:
        herd = start(*nodes.flags(), wait_for=tuple(nodes.names))
        yield herd.url
        ends_and_replays(herd)


def lines(url: str, path: str, body: object) -> list[dict[str, Any]]:
    """Ask for a stream, and return its objects."""
    with Call(url, path, body) as call:
        assert call.response.getheader("Content-Type") == "application/x-ndjson"
        found = [msgspec.json.decode(line) for line in call.lines()]
    assert [line["done"] for line in found] == [False] * (len(found) - 1) + [True]
    return found


def names(url: str) -> set[str]:
    return {row["name"] for row in ask(url, "/api/tags").json["models"]}


def continues() -> dict[str, Any]:
    [text] = markdown.blocks(page("continue"), "yaml")
    told: dict[str, Any] = yaml.safe_load(text)
    return told


def test_continues_file_says_what_its_schema_wants() -> None:
    told = continues()
    assert all(isinstance(told[key], str) for key in ("name", "version", "schema"))
    assert told["schema"] == "v1"
    roles: set[str] = set()
    for model in told["models"]:
        assert {"name", "provider", "model", "apiBase", "roles"} == set(model)
        assert (model["provider"], model["apiBase"]) == ("ollama", USUAL)
        roles |= set(model["roles"])
    assert roles == {"chat", "edit", "apply", "autocomplete", "embed"}


def test_continue_reads_what_each_model_is(url: str) -> None:
    for model in continues()["models"]:
        shown: Answer = ask(url, "/api/show", {"name": model["model"]})
        assert shown.status == 200, shown.body
        parameters = shown.json.get("parameters") or ""
        assert all(PARAMETER.match(line) for line in parameters.splitlines())
        assert isinstance(shown.json["template"], str)
        listed = names(url)
        assert model["model"] in listed or f"{model['model']}:latest" in listed


def test_continue_talks_completes_and_embeds(url: str, kind: str) -> None:
    """Completions want an Ollama, as its page says."""
    assert "wants an Ollama" in " ".join(page("continue").read_text("utf-8").split())
    by_role = {role: model["model"] for model in continues()["models"] for role in model["roles"]}
    options = {"num_predict": 12, "stop": ["<fim_prefix>", "\n\n"], "num_ctx": 4096}
    shared: dict[str, Any] = {"options": options, "keep_alive": 1800, "stream": True}
    messages = [{"role": "user", "content": "hello"}]
    said = lines(url, "/api/chat", {"model": by_role["chat"], "messages": messages, **shared})
    assert "".join(line["message"]["content"] for line in said).startswith(SIMULATED)
    asked = {"model": by_role["autocomplete"], "prompt": "def f(", **shared}
    for more in ({"raw": True}, {"suffix": "\n    return x"}):  # by what the model is able to do
        if kind == "ollama":
            said = lines(url, "/api/generate", asked | more)
            assert "".join(line["response"] for line in said).startswith(SIMULATED)
        else:
            refused = ask(url, "/api/generate", asked | more)
            assert refused.status == 400
            assert f"cannot translate: {next(iter(more))}" in refused.json["error"]
    vectors = ask(url, "/api/embed", {"model": by_role["embed"], "input": ["a", "b"]}).json
    assert [len(vector) for vector in vectors["embeddings"]] == [768, 768]


def clines() -> dict[str, str]:
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", page("cline").read_text("utf-8"), re.MULTILINE)
    return {field: value.strip("`") for field, value in rows}


def test_cline_lists_and_talks(url: str) -> None:
    told = clines()
    assert told["Base URL"] == USUAL
    assert BIG in names(url)
    messages = [
        {"role": "system", "content": "You are Cline."},
        {"role": "user", "content": "hello"},
    ]
    options = {"num_ctx": int(told["Model Context Window"])}
    body = {"model": BIG, "messages": messages, "stream": True, "options": options}
    said = lines(url, "/api/chat", body)
    assert all(isinstance(line["message"]["content"], str) for line in said)
    assert said[-1]["eval_count"] == 16
    assert said[-1]["prompt_eval_count"] > 0


def test_home_assistant_asks_with_tools_and_for_objects(url: str) -> None:
    """Its defaults are on its page: 8192 tokens, kept for ever."""
    text = page("home-assistant").read_text("utf-8")
    assert "`num_ctx` 8192" in text
    assert "for ever" in text
    shared: dict[str, Any] = {"keep_alive": -1, "options": {"num_ctx": 8192}, "think": False}

    async def main() -> None:
        client: Any = ollama.AsyncClient(host=url)
        try:
            await talk(client)
        finally:
            await client.close()

    async def talk(client: Any) -> None:
        assert BIG in {row["model"] for row in (await client.list()).models}
        messages: list[Any] = [
            ollama.Message(role="system", content="You control a house."),
            ollama.Message(role="user", content="Turn on the lamp"),
        ]

        async def said(**more: Any) -> list[ollama.Message]:
            stream = await client.chat(BIG, list(messages), stream=True, **shared, **more)
            return [chunk.message async for chunk in stream]

        parts = await said(tools=[TOOL], format=None)
        [call] = [call for part in parts for call in part.tool_calls or ()]
        assert (call.function.name, call.function.arguments) == (
            "HassTurnOn",
            {"area": "simulated"},
        )
        messages.append(ollama.Message(role="assistant", content="", tool_calls=[call]))
        result = json.dumps({"data": {"speech": {}}, "error": None})
        messages.append(ollama.Message(role="tool", content=result))
        parts = await said(tools=[TOOL], format=None)
        assert "".join(part.content or "" for part in parts).startswith(SIMULATED)
        schema = {"type": "object", "properties": {"lamps": {"type": "integer"}}}
        messages[:] = [ollama.Message(role="user", content="Count 4 lamps")]
        parts = await said(tools=None, format=schema | {"required": ["lamps"]})
        assert json.loads("".join(part.content or "" for part in parts)) == {"lamps": 4}

    asyncio.run(main())


def test_n8n_tests_its_credentials_lists_and_asks(url: str) -> None:
    assert "Ollama Chat Model, Ollama Model" in " ".join(page("n8n").read_text("utf-8").split())
    assert ask(url, "/").status == 200
    assert {BIG, SMALL} <= names(url)
    numbers = {"num_gpu": -1, "num_thread": 0, "num_batch": 512, "num_ctx": 2048}
    sampling = {"temperature": 0.7, "top_k": -1, "top_p": 1, "repeat_penalty": 1}
    options = numbers | sampling | {"num_predict": -1, "use_mmap": True, "main_gpu": 0}
    shared: dict[str, Any] = {"model": BIG, "options": options, "keep_alive": "5m", "stream": True}
    said = lines(url, "/api/chat", shared | {"messages": [{"role": "user", "content": "hello"}]})
    assert "".join(line["message"]["content"] for line in said).startswith(SIMULATED)
    said = lines(url, "/api/generate", shared | {"prompt": "hello"})
    assert "".join(line["response"] for line in said).startswith(SIMULATED)
    body: dict[str, Any] = {"model": EMBED, "input": ["a"], "keep_alive": "5m", "options": {}}
    assert len(ask(url, "/api/embed", body).json["embeddings"][0]) == 768
