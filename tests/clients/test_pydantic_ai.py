"""Pydantic AI: agents with a tool and an object at the end, by its ways to a model."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError, NativeOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.ollama import OllamaModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.ollama import OllamaProvider
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.conftest import Freed
from tests.e2e.herds import Herd
from tests.e2e.nodes import BIG, SIMULATED, SMALL, Nodes

Way = Callable[[str, str], Any]
"""A model at an address."""


def openai(base: str, model: str) -> Any:
    return OpenAIChatModel(model, provider=OpenAIProvider(f"{base}/v1", api_key="not-needed"))


def ollama(base: str, model: str) -> Any:
    return OllamaModel(model, provider=OllamaProvider(f"{base}/v1"))


def responses(base: str, model: str) -> Any:
    return OpenAIResponsesModel(model, provider=OpenAIProvider(f"{base}/v1", api_key="not-needed"))


def anthropic(base: str, model: str) -> Any:
    return AnthropicModel(model, provider=AnthropicProvider(base_url=base, api_key="not-needed"))


each = pytest.mark.parametrize("way", [openai, ollama, responses, anthropic])
"""At all places: nodes with the newer APIs, herd before them, and herd that translates."""


class Town(BaseModel):
    """A town."""

    name: str
    people: int


def get_weather(city: str, days: int) -> str:
    """Tell the weather."""
    return f"{city}: {days} days of sun"


@each
async def test_a_text_and_its_stream(anthropic_base: str, way: Way) -> None:
    agent = Agent(way(anthropic_base, BIG), instructions="Be kind.")
    whole = await agent.run("hello")
    assert whole.output.startswith(f"{SIMULATED} studio.")
    assert whole.usage.output_tokens == 24
    async with agent.run_stream("hello") as stream:
        parts = [part async for part in stream.stream_text(delta=True, debounce_by=None)]
    assert "".join(parts) == whole.output
    assert len(parts) > 8


@each
async def test_it_runs_the_tool_and_asks_on(anthropic_base: str, way: Way) -> None:
    agent = Agent(way(anthropic_base, BIG), tools=[get_weather])
    answer = await agent.run("Weather for 3 days?")
    results = [
        part.content
        for message in answer.all_messages()
        for part in message.parts
        if part.part_kind == "tool-return"
    ]
    assert results == ["simulated: 3 days of sun"]
    assert answer.output.startswith(SIMULATED)
    assert answer.usage.requests == 2


@each
async def test_an_object_by_a_tool(anthropic_base: str, way: Way) -> None:
    agent = Agent(way(anthropic_base, BIG), output_type=Town, retries=0)
    found = await agent.run("The final result: a town of 700 people")
    assert found.output == Town(name="simulated", people=700)


@pytest.mark.parametrize("way", [openai, ollama, responses])
async def test_an_object_by_a_schema(anthropic_base: str, way: Way) -> None:
    agent = Agent(way(anthropic_base, BIG), output_type=NativeOutput(Town), retries=0)
    async with agent.run_stream("A town of 700 people") as stream:
        parts = [part async for part in stream.stream_output(debounce_by=None)]
    assert parts[-1] == Town(name="simulated", people=700)


@each
async def test_an_unknown_model(anthropic_base: str, way: Way) -> None:
    with pytest.raises(ModelHTTPError, match="model 'nope' not found") as failed:
        await Agent(way(anthropic_base, "nope")).run("hello")
    assert failed.value.status_code == 404


@each
def test_leaving_a_stream_frees_the_slot(
    pair_herd: Herd, pair: Nodes, freed: Freed, way: Way
) -> None:
    pair.fault("slow", factor=100.0)

    async def main() -> None:
        async with Agent(way(pair_herd.url, SMALL)).run_stream("hello") as stream:
            async for _ in stream.stream_text(delta=True, debounce_by=None):
                break
            pair_herd.until(lambda status: status.in_flight == 1)
            await stream.cancel()

    asyncio.run(main())
    freed()


@each
def test_a_stream_that_dies_raises(pair_herd: Herd, pair: Nodes, way: Way) -> None:
    pair.fault("die", after_tokens=3)

    async def main() -> None:
        async with Agent(way(pair_herd.url, SMALL)).run_stream("hello") as stream:
            async for _ in stream.stream_text(debounce_by=None):
                pass

    with pytest.raises(Exception, match="node failed: "):
        asyncio.run(main())
