"""The real `ollama` package talks to herd as it talks to Ollama."""

import asyncio
from collections.abc import Callable
from typing import Any

import ollama
import pytest
from ollama import ResponseError

from tests.e2e.herds import Herd
from tests.e2e.nodes import BIG, EMBED, MIDDLE, SIMULATED, SMALL, Nodes

HELLO = [{"role": "user", "content": "hello"}]

Use = Callable[..., Any]
"""A method of the package, which has no types to the end."""


def use(url: str, method: str, *arguments: object, **named: object) -> Any:
    """Call a method of the synchronous client; a stream comes back as a list."""
    client: Any = ollama.Client(host=url)
    try:
        found = getattr(client, method)(*arguments, **named)
        return list(found) if named.get("stream") else found
    finally:
        client.close()


def use_async(url: str, method: str, *arguments: object, **named: object) -> Any:
    """Do the same with the asynchronous client."""

    async def main() -> Any:
        client: Any = ollama.AsyncClient(host=url)
        try:
            found = await getattr(client, method)(*arguments, **named)
            return [chunk async for chunk in found] if named.get("stream") else found
        finally:
            await client.close()

    return asyncio.run(main())


either = pytest.mark.parametrize("use", [use, use_async], ids=["sync", "async"])


@either
def test_chat_and_its_stream(herd: Herd, use: Use) -> None:
    whole = use(herd.url, "chat", BIG, HELLO)
    assert whole.message.content.startswith(f"{SIMULATED} studio.")
    assert (whole.done, whole.done_reason, whole.eval_count) == (True, "stop", 16)
    chunks = use(herd.url, "chat", BIG, HELLO, stream=True)
    assert "".join(chunk.message.content for chunk in chunks) == whole.message.content
    assert len(chunks) == 17
    assert [chunk.done for chunk in chunks] == [False] * 16 + [True]
    assert chunks[-1].eval_count == 16
    assert chunks[-1].total_duration > 0


@either
def test_generate_and_its_stream(herd: Herd, use: Use) -> None:
    whole = use(herd.url, "generate", BIG, "why?", options={"num_predict": 7})
    assert (whole.response, whole.done_reason) == (f"{SIMULATED} studio.", "length")
    parts = use(herd.url, "generate", BIG, "why?", options={"num_predict": 7}, stream=True)
    assert "".join(part.response for part in parts) == whole.response
    assert parts[-1].context


@either
def test_embed(herd: Herd, use: Use) -> None:
    both = use(herd.url, "embed", EMBED, ["a", "b"]).embeddings
    assert [len(vector) for vector in both] == [768, 768]
    assert use(herd.url, "embed", EMBED, "b").embeddings[0] == both[1] != both[0]
    assert len(use(herd.url, "embeddings", EMBED, "a").embedding) == 768


@either
def test_list_and_ps(herd: Herd, use: Use) -> None:
    listed = {row.model: row for row in use(herd.url, "list").models}
    assert listed.keys() == {BIG, SMALL, MIDDLE, f"{EMBED}:latest"}
    assert listed[MIDDLE].details.parameter_size == "7.6B"
    assert listed[MIDDLE].size == 4_683_087_332
    use(herd.url, "chat", BIG, HELLO)
    herd.until(lambda _: BIG in {row.model for row in use(herd.url, "ps").models}, 8.0)
    row = next(row for row in use(herd.url, "ps").models if row.model == BIG)
    assert row.context_length == 8192
    assert row.size_vram == row.size
    assert row.expires_at is not None


@either
def test_show(herd: Herd, use: Use) -> None:
    shown = use(herd.url, "show", BIG)
    assert "completion" in shown.capabilities
    assert shown.modelinfo["general.architecture"] == "llama"
    with pytest.raises(ResponseError, match="model 'nope' not found"):
        use(herd.url, "show", "nope")


@either
def test_an_unknown_model(herd: Herd, use: Use) -> None:
    calls = (("chat", HELLO), ("generate", "x"), ("embed", "x"))
    for method, text in calls:
        with pytest.raises(ResponseError) as failed:
            use(herd.url, method, "nope", text)
        assert failed.value.status_code == 404
        assert failed.value.error == "model 'nope' not found"
    with pytest.raises(ResponseError, match="model 'nope' not found"):
        use(herd.url, "chat", "nope", HELLO, stream=True)


@either
def test_a_bad_body(herd: Herd, use: Use) -> None:
    with pytest.raises(ResponseError, match="invalid model name") as failed:
        use(herd.url, "generate", "a b", "x")
    assert failed.value.status_code == 400


@either
def test_a_stream_that_dies_raises(pair_herd: Herd, pair: Nodes, use: Use) -> None:
    pair.fault("die", after_tokens=3)
    with pytest.raises(ResponseError, match="node failed: "):
        use(pair_herd.url, "chat", SMALL, HELLO, stream=True)


def test_leaving_a_stream_frees_the_slot(pair_herd: Herd, pair: Nodes) -> None:
    pair.fault("slow", factor=100.0)
    client: Any = ollama.Client(host=pair_herd.url)
    chunks = client.chat(SMALL, HELLO, stream=True)
    assert next(chunks).message.content == "This"
    pair_herd.until(lambda status: status.in_flight == 1)
    chunks.close()
    client.close()
    pair_herd.until(lambda status: status.idle, 1.0)
    assert sum(pair.stats(name).in_flight for name in pair.names) == 0


@either
def test_a_stop_reaches_every_node_that_holds_the_model(herd: Herd, fleet: Nodes, use: Use) -> None:
    def holding() -> list[str]:
        shown = {name: use(fleet.url(name), "ps").models for name in fleet.names}
        return [name for name, rows in shown.items() if SMALL in {row.model for row in rows}]

    for name in fleet.names:
        assert use(fleet.url(name), "generate", SMALL, keep_alive=-1).done_reason == "load"
    assert holding() == fleet.names
    for method in ("generate", "chat"):
        stopped = use(herd.url, method, SMALL, keep_alive=0)
        assert (stopped.done, stopped.done_reason) == (True, "unload")
        assert holding() == []
