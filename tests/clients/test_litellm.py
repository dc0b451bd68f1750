"""LiteLLM as a client, by each of its ways to an Ollama."""

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the internet, on import
import litellm

from tests.clients.conftest import Freed
from tests.e2e.herds import Herd
from tests.e2e.nodes import BIG, EMBED, SIMULATED, SMALL, Nodes

HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}

Way = Callable[[str, str], dict[str, Any]]
"""What names a model at an address."""


def ollama_chat(base: str, model: str) -> dict[str, Any]:
    return {"model": f"ollama_chat/{model}", "api_base": base}


def ollama(base: str, model: str) -> dict[str, Any]:
    return {"model": f"ollama/{model}", "api_base": base}


def openai(base: str, model: str) -> dict[str, Any]:
    return {"model": f"openai/{model}", "api_base": f"{base}/v1", "api_key": "not-needed"}


each = pytest.mark.parametrize("way", [ollama_chat, ollama, openai])
with_tools = pytest.mark.parametrize("way", [ollama_chat, openai])


def ask(way: dict[str, Any], **more: Any) -> Any:
    return litellm.completion(**way, messages=HELLO, num_retries=0, **more)


@each
def test_chat_and_its_stream(base: str, way: Way) -> None:
    whole = ask(way(base, BIG))
    text = whole.choices[0].message.content
    assert text.startswith(f"{SIMULATED} studio.")
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.completion_tokens == 24
    chunks = list(ask(way(base, BIG), stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len(chunks) > 16


@with_tools
def test_a_tool_is_called(base: str, way: Way) -> None:
    asked = [{"role": "user", "content": "Weather for 3 days?"}]
    whole = litellm.completion(**way(base, BIG), messages=asked, tools=[WEATHER])
    [choice] = whole.choices
    [call] = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "simulated", "days": 3}


@each
def test_json(base: str, way: Way) -> None:
    whole = ask(way(base, BIG), response_format={"type": "json_object"})
    assert json.loads(whole.choices[0].message.content)["answer"].startswith(SIMULATED)


@pytest.mark.parametrize("way", [ollama, openai])
def test_embeddings(base: str, way: Way) -> None:
    both = litellm.embedding(**way(base, EMBED), input=["a", "b"]).data
    assert [len(row["embedding"]) for row in both] == [768, 768]
    assert both[0]["embedding"] != both[1]["embedding"]


@each
def test_an_unknown_model_is_told_at_once(base: str, way: Way) -> None:
    with pytest.raises((litellm.NotFoundError, litellm.APIConnectionError)) as failed:
        ask(way(base, "nope"))
    assert "model 'nope' not found" in str(failed.value)


@each
def test_a_stream_that_dies_raises(pair_herd: Herd, pair: Nodes, way: Way) -> None:
    pair.fault("die", after_tokens=3)
    with pytest.raises(Exception, match="node failed: "):
        list(ask(way(pair_herd.url, SMALL), stream=True))


@with_tools
def test_leaving_a_stream_frees_the_slot(
    pair_herd: Herd, pair: Nodes, freed: Freed, way: Way
) -> None:
    pair.fault("slow", factor=100.0)

    async def main() -> None:
        asked: Any = way(pair_herd.url, SMALL)
        stream = await litellm.acompletion(**asked, messages=HELLO, stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        pair_herd.until(lambda status: status.in_flight == 1)
        await stream.aclose()

    asyncio.run(main())
    freed()
