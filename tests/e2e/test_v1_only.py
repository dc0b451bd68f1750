"""Clients of Ollama before servers that have only the `/v1` routes."""

from collections.abc import Iterator

import msgspec
import ollama
import pytest

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import HerdsOf, StartHerd, StartNodes, ends_and_replays
from tests.e2e.herds import Herd
from tests.e2e.nodes import EMBED, SIMULATED, SMALL, Nodes
from tests.e2e.test_ollama_package import HELLO, Use, either
from tests.e2e.test_ollama_package import use as use_ollama
from tests.e2e.test_openai_package import use as use_openai
from tests.e2e.wire import ask

ORDER = NodeOrder(profile="ideal", name="llama", v1_only=True, answer_tokens=16)


@pytest.fixture(scope="module")
def server() -> Iterator[Nodes]:
    """A server without Ollama's own routes."""
    with Nodes(ORDER) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def v1_herd(server: Nodes, herds_of: HerdsOf) -> Iterator[Herd]:
    """A balancer before it."""
    with herds_of("v1") as start:
        herd = start(*server.flags(), wait_for=tuple(server.names))
        yield herd
        ends_and_replays(herd)


@either
def test_chat_and_generate(v1_herd: Herd, use: Use) -> None:
    whole = use(v1_herd.url, "chat", SMALL, HELLO)
    assert whole.message.content.startswith(f"{SIMULATED} llama.")
    assert (whole.model, whole.done_reason, whole.eval_count) == (SMALL, "stop", 16)
    chunks = use(v1_herd.url, "chat", SMALL, HELLO, stream=True)
    assert "".join(chunk.message.content for chunk in chunks) == whole.message.content
    assert [chunk.done for chunk in chunks] == [False] * 16 + [True]
    assert (chunks[-1].eval_count, chunks[-1].load_duration) == (16, None)
    assert chunks[-1].total_duration > 0
    asked = {"system": "Be short.", "options": {"num_predict": 7}}
    parts = use(v1_herd.url, "generate", SMALL, "why?", stream=True, **asked)
    assert "".join(part.response for part in parts) == f"{SIMULATED} llama."
    assert parts[-1].done_reason == "length"


@either
def test_embed_and_embeddings(v1_herd: Herd, use: Use) -> None:
    found = use(v1_herd.url, "embed", EMBED, ["a", "b"])
    assert [len(vector) for vector in found.embeddings] == [768, 768]
    old = use(v1_herd.url, "embeddings", EMBED, "a").embedding
    assert old == pytest.approx(found.embeddings[0], abs=1e-6)


def test_the_requests_of_ollama_run_in_their_order(v1_herd: Herd) -> None:
    """As its `cmd` sends them: is anybody there, what is it, load it, talk, again, let it go."""
    url = v1_herd.url
    assert ask(url, "/", method="HEAD").status == 200
    shown = ask(url, "/api/show", {"model": SMALL, "system": "", "template": "", "verbose": False})
    assert (shown.status, shown.json["capabilities"]) == (200, ["completion"])
    assert isinstance(shown.json["model_info"]["general.architecture"], str)
    loaded = ask(url, "/api/generate", {"model": SMALL, "prompt": "", "context": []})
    assert loaded.headers["content-type"] == "application/json; charset=utf-8"
    assert (loaded.json["done_reason"], loaded.json["response"]) == ("load", "")
    talk: list[dict[str, str]] = []
    for _ in range(2):
        talk.append({"role": "user", "content": "hello"})
        answer = ask(url, "/api/chat", {"model": SMALL, "messages": talk, "options": {}})
        lines = [msgspec.json.decode(line) for line in answer.body.splitlines()]
        text = "".join(line["message"]["content"] for line in lines)
        assert (lines[-1]["done"], text.startswith(SIMULATED)) == (True, True)
        talk.append({"role": "assistant", "content": text})
    said: dict[str, object] = {"model": SMALL, "prompt": "why?", "keep_alive": "5m"}
    said |= {"context": [], "options": {}}
    assert b'"done":true' in ask(url, "/api/generate", said).body
    stopped = ask(url, "/api/generate", {"model": SMALL, "keep_alive": 0})
    assert stopped.status == 400
    assert "by themselves" in stopped.json["error"]


@either
def test_show_and_loads(v1_herd: Herd, use: Use) -> None:
    shown = use(v1_herd.url, "show", SMALL)
    assert (shown.capabilities, shown.template) == (["completion"], "")
    for method in ("generate", "chat"):
        loaded = use(v1_herd.url, method, SMALL, keep_alive="10m")
        assert (loaded.model, loaded.done, loaded.done_reason) == (SMALL, True, "load")
    nothing = use(v1_herd.url, "embed", EMBED, [])
    assert (nothing.model, nothing.embeddings) == (EMBED, [])
    assert use(v1_herd.url, "embeddings", EMBED).embedding == []


@either
def test_what_cannot_be_had_says_why(v1_herd: Herd, use: Use) -> None:
    with pytest.raises(ollama.ResponseError, match="cannot translate: raw") as refused:
        use(v1_herd.url, "generate", SMALL, "x", raw=True)
    assert refused.value.status_code == 400
    with pytest.raises(ollama.ResponseError, match="model 'nope' not found") as unknown:
        use(v1_herd.url, "chat", "nope", HELLO)
    assert unknown.value.status_code == 404


@either
def test_a_stream_that_dies_raises(v1_herd: Herd, server: Nodes, use: Use) -> None:
    server.fault("die", after_tokens=3)
    try:
        with pytest.raises(ollama.ResponseError, match="node failed: "):
            use(v1_herd.url, "chat", SMALL, HELLO, stream=True)
    finally:
        server.heal()


def test_the_other_apis_there(v1_herd: Herd) -> None:
    told = use_openai(v1_herd.url, "responses.create", model=SMALL, input="x")
    assert told.output_text.startswith(f"{SIMULATED} llama.")


def test_what_only_an_ollama_can_do_goes_to_one(
    start_herd: StartHerd, start_nodes: StartNodes
) -> None:
    nodes = start_nodes(ORDER, msgspec.structs.replace(ORDER, name="own", v1_only=False))
    herd = start_herd(*nodes.flags(), wait_for=tuple(nodes.names))
    for _ in range(6):
        told = use_ollama(herd.url, "generate", SMALL, "x", raw=True)
        assert told.response.startswith(f"{SIMULATED} own.")
    assert nodes.stats("llama").requests == 0
    ends_and_replays(herd)


def test_nothing_is_translated_if_that_is_off(
    start_herd: StartHerd, start_nodes: StartNodes
) -> None:
    nodes = start_nodes(ORDER)
    herd = start_herd(*nodes.flags(), wait_for=tuple(nodes.names), FLEET_TRANSLATE_OLLAMA="off")
    with pytest.raises(ollama.ResponseError, match="use /v1/chat/completions"):
        use_ollama(herd.url, "chat", SMALL, HELLO)
    assert use_openai(herd.url, "responses.create", model=SMALL, input="x").output_text
