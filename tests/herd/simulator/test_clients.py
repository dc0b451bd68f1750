"""The real `ollama` and `openai` packages drive a simulated node."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import ollama
import openai
import pytest
from ollama import ResponseError
from openai.types.chat import ChatCompletionUserMessageParam

from herd.simulator import profiles
from herd.simulator.node import SimulatedNode
from tests.herd.simulator.conftest import Run
from tests.herd.simulator.talk import BIG, EMBED, SMALL, simulated

SAID = "This is a simulated answer from studio."
HELLO = [{"role": "user", "content": "hello"}]
USER: ChatCompletionUserMessageParam = {"role": "user", "content": "hello"}


@asynccontextmanager
async def ollama_client(node: SimulatedNode) -> AsyncGenerator[ollama.AsyncClient]:
    client = ollama.AsyncClient(host=node.url)
    try:
        yield client
    finally:
        await cast("Any", client).close()  # has no types


def openai_client(node: SimulatedNode) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{node.url}/v1", api_key="not-needed", max_retries=0)


async def chat(client: ollama.AsyncClient, model: str = SMALL, **more: Any) -> ollama.ChatResponse:
    """Chat; the package's own types are not known to the end."""
    told: ollama.ChatResponse = await cast("Any", client).chat(model, HELLO, **more)
    return told


def test_ollama_chat_and_its_stream(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node, ollama_client(node) as client:
            whole = await chat(client)
            assert whole.message.role == "assistant"
            assert str(whole.message.content).startswith(SAID)
            assert (whole.done, whole.done_reason) == (True, "stop")
            stream: AsyncIterator[Any] = cast("Any", await chat(client, stream=True))
            chunks = [chunk async for chunk in stream]
            assert "".join(str(chunk.message.content) for chunk in chunks) == whole.message.content
            assert chunks[-1].done
            assert chunks[-1].eval_count == len(chunks) - 1 == whole.eval_count
            for duration in (whole.total_duration, whole.eval_duration, whole.load_duration):
                assert duration

    run(main())


def test_ollama_generate(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node, ollama_client(node) as client:
            whole = await client.generate(BIG, "why?", options={"num_predict": 7})
            assert (whole.response, whole.done_reason) == (SAID, "length")
            parts = [part async for part in await client.generate(BIG, "why?", stream=True)]
            assert "".join(str(part.response) for part in parts).startswith(SAID)
            assert parts[-1].context

    run(main())


def test_ollama_embed(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node, ollama_client(node) as client:
            both = await client.embed(EMBED, ["a", "b"])
            assert [len(vector) for vector in both.embeddings] == [768, 768]
            one = await client.embed(EMBED, "b")
            assert one.embeddings[0] == both.embeddings[1]
            assert len((await client.embeddings(EMBED, "a")).embedding) == 768

    run(main())


def test_ollama_list_ps_and_show(run: Run) -> None:
    async def main() -> None:
        async with simulated(profiles.tower()) as node, ollama_client(node) as client:
            listed = (await client.list()).models
            assert [model.model for model in listed] == [SMALL, "qwen2.5:7b", f"{EMBED}:latest"]
            assert listed[1].details is not None
            assert listed[1].details.parameter_size == "7.6B"
            assert (await client.ps()).models == []
            await chat(client, keep_alive="2h")
            (resident,) = (await client.ps()).models
            assert (resident.model, resident.context_length) == (SMALL, 8192)
            assert resident.expires_at is not None
            assert resident.size_vram == resident.size
            shown = await client.show(SMALL)
            assert shown.modelinfo is not None
            assert shown.modelinfo["general.architecture"] == "llama"
            assert shown.capabilities == ["completion", "tools"]

    run(main())


def test_ollama_unknown_model(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node, ollama_client(node) as client:
            for asked in (chat(client, "nope"), client.embed("nope", "x")):
                with pytest.raises(ResponseError, match="model 'nope' not found") as failed:
                    await asked
                assert failed.value.status_code == 404

    run(main())


def test_ollama_takes_tools_that_are_not_called(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node, ollama_client(node) as client:

            def add(a: int, b: int) -> int:
                """Add."""
                return a + b

            whole = await chat(client, tools=[add])
            assert whole.message.tool_calls is None
            assert whole.message.content

    run(main())


def test_openai_chat_and_its_stream(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node, openai_client(node) as client:
            whole = await client.chat.completions.create(model=BIG, messages=[USER])
            text = whole.choices[0].message.content
            assert text is not None
            assert text.startswith(SAID)
            assert whole.choices[0].finish_reason == "stop"
            assert whole.usage is not None
            stream = await client.chat.completions.create(
                model=BIG,
                messages=[USER],
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [chunk async for chunk in stream]
            *some, last = chunks
            assert "".join(chunk.choices[0].delta.content or "" for chunk in some) == text
            assert some[-1].choices[0].finish_reason == "stop"
            assert (last.choices, last.usage) == ([], whole.usage)
            assert len({chunk.id for chunk in chunks}) == 1

    run(main())


def test_openai_bounds_the_answer_under_both_names(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node, openai_client(node) as client:
            parts: ChatCompletionUserMessageParam = {
                "role": "user",
                "content": [{"type": "text", "text": "hello"}],
            }
            create = client.chat.completions.create
            for whole in (
                await create(model=SMALL, messages=[USER], max_tokens=7),
                await create(model=SMALL, messages=[parts], max_completion_tokens=7),
            ):
                assert whole.choices[0].message.content == SAID
                assert whole.choices[0].finish_reason == "length"
                assert whole.usage is not None
                assert whole.usage.completion_tokens == 7

    run(main())


def test_openai_completions_embeddings_and_models(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node, openai_client(node) as client:
            old = await client.completions.create(model=SMALL, prompt="x", max_tokens=7)
            assert old.choices[0].text == SAID
            # openai asks for base64 by itself, and decodes it
            packed = (await client.embeddings.create(model=EMBED, input=["a", "b"])).data
            plain = (
                await client.embeddings.create(
                    model=EMBED, input=["a", "b"], encoding_format="float"
                )
            ).data
            for ours, theirs in zip(packed, plain, strict=True):
                assert ours.embedding == pytest.approx(theirs.embedding, abs=1e-6)
                assert sum(number**2 for number in ours.embedding) == pytest.approx(1, rel=1e-5)
            listed = [model.id async for model in client.models.list()]
            assert listed == [BIG, SMALL, "qwen2.5:7b", f"{EMBED}:latest"]
            assert (await client.models.retrieve(SMALL)).owned_by == "library"

    run(main())


def test_openai_errors(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node, openai_client(node) as client:
            with pytest.raises(openai.NotFoundError, match="model 'nope' not found"):
                await client.chat.completions.create(model="nope", messages=[USER])
            with pytest.raises(openai.BadRequestError, match="too short"):
                await client.chat.completions.create(model=SMALL, messages=[])
            node.fault("error", count=1)
            with pytest.raises(openai.InternalServerError):
                await client.embeddings.create(model=EMBED, input="x")

    run(main())


def test_openai_sees_a_stream_that_dies(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node, openai_client(node) as client:
            node.fault("die", after_tokens=3)
            stream = await client.chat.completions.create(model=SMALL, messages=[USER], stream=True)
            with pytest.raises(Exception, match=r"(?i)connection|closed|incomplete|read"):
                _ = [chunk async for chunk in stream]

    run(main())


def test_closing_a_stream_frees_the_slot(run: Run) -> None:
    async def main() -> None:
        async with simulated(time_scale=2) as node, openai_client(node) as client:
            stream = await client.chat.completions.create(model=SMALL, messages=[USER], stream=True)
            assert node.stats().running == 1
            await stream.close()
            while node.stats().running:  # noqa: ASYNC110 (the node is watched from outside)
                await asyncio.sleep(0.001)
            assert node.stats().cancelled == 1

    run(main())
