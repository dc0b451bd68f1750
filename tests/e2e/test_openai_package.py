"""The real `openai` package talks to herd as it talks to Ollama."""

import asyncio
from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.e2e.herds import Herd
from tests.e2e.nodes import BIG, EMBED, MIDDLE, SIMULATED, SMALL, Nodes

USER = [{"role": "user", "content": "hello"}]

Use = Callable[..., Any]
"""A method of the package, named with its dots, and what it returns."""


def _method(client: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        client = getattr(client, name)
    return client


def use(url: str, method: str, *arguments: object, **named: object) -> Any:
    """Call a method of the synchronous client; a stream comes back as a list."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="not-needed", max_retries=0) as client:
        found = _method(client, method)(*arguments, **named)
        return list(found) if named.get("stream") or method == "models.list" else found


def use_async(url: str, method: str, *arguments: object, **named: object) -> Any:
    """Do the same with the asynchronous client."""

    async def main() -> Any:
        async with openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key="not-needed", max_retries=0
        ) as client:
            found = _method(client, method)(*arguments, **named)
            if method == "models.list":
                return [model async for model in found]
            answer = await found
            return [chunk async for chunk in answer] if named.get("stream") else answer

    return asyncio.run(main())


either = pytest.mark.parametrize("use", [use, use_async], ids=["sync", "async"])


@either
def test_chat_and_its_stream(herd: Herd, use: Use) -> None:
    whole = use(herd.url, "chat.completions.create", model=BIG, messages=USER)
    text = whole.choices[0].message.content
    assert text.startswith(f"{SIMULATED} studio.")
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.completion_tokens == 16
    *some, last = use(
        herd.url,
        "chat.completions.create",
        model=BIG,
        messages=USER,
        stream=True,
        stream_options={"include_usage": True},
    )
    assert "".join(chunk.choices[0].delta.content for chunk in some) == text
    assert [chunk.choices[0].finish_reason for chunk in some] == [None] * 16 + ["stop"]
    assert (last.choices, last.usage) == ([], whole.usage)


@either
def test_responses_and_their_stream(herd: Herd, use: Use) -> None:
    asked = {"model": BIG, "instructions": "Be short.", "input": USER}  # nodes lack the route
    whole = use(herd.url, "responses.create", **asked)
    assert whole.output_text.startswith(f"{SIMULATED} studio.")
    assert (whole.status, whole.instructions) == ("completed", "Be short.")
    assert whole.usage.output_tokens == 16
    told = use(herd.url, "responses.create", **asked, stream=True, max_output_tokens=7)
    assert [event.sequence_number for event in told] == list(range(len(told)))
    texts = [event.delta for event in told if event.type == "response.output_text.delta"]
    last = told[-1]
    assert (last.type, last.response.output_text) == ("response.incomplete", "".join(texts))
    assert last.response.incomplete_details.reason == "max_output_tokens"
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        use(herd.url, "responses.create", **asked, previous_response_id="resp_1")


@either
def test_completions_and_their_stream(herd: Herd, use: Use) -> None:
    asked = {"model": BIG, "prompt": "x", "max_tokens": 7}
    whole = use(herd.url, "completions.create", **asked)
    assert whole.choices[0].text == f"{SIMULATED} studio."
    chunks = use(herd.url, "completions.create", **asked, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == "length"


@either
def test_embeddings_in_base64_and_as_numbers(herd: Herd, use: Use) -> None:
    asked = {"model": EMBED, "input": ["a", "b"]}
    packed = use(herd.url, "embeddings.create", **asked).data  # it asks for base64 by itself
    plain = use(herd.url, "embeddings.create", **asked, encoding_format="float").data
    assert [len(row.embedding) for row in packed] == [768, 768]
    for ours, theirs in zip(packed, plain, strict=True):
        assert ours.embedding == pytest.approx(theirs.embedding, abs=1e-6)


@either
def test_models_are_listed_and_retrieved(herd: Herd, use: Use) -> None:
    listed = {model.id: model for model in use(herd.url, "models.list")}
    assert listed.keys() == {BIG, SMALL, MIDDLE, f"{EMBED}:latest"}
    assert use(herd.url, "models.retrieve", SMALL) == listed[SMALL]
    assert listed[SMALL].owned_by == "library"
    with pytest.raises(openai.NotFoundError, match="model 'nope' not found"):
        use(herd.url, "models.retrieve", "nope")


@either
def test_an_unknown_model(herd: Herd, use: Use) -> None:
    calls: tuple[tuple[str, dict[str, object]], ...] = (
        ("chat.completions.create", {"messages": USER}),
        ("chat.completions.create", {"messages": USER, "stream": True}),
        ("completions.create", {"prompt": "x"}),
        ("embeddings.create", {"input": "x"}),
        ("responses.create", {"input": "x"}),
    )
    for method, asked in calls:
        with pytest.raises(openai.NotFoundError, match="model 'nope' not found") as failed:
            use(herd.url, method, model="nope", **asked)
        assert failed.value.type == "not_found_error"


@either
def test_a_bad_body(herd: Herd, use: Use) -> None:
    with pytest.raises(openai.BadRequestError, match="too short"):  # the node's own words
        use(herd.url, "chat.completions.create", model=BIG, messages=[])
    with pytest.raises(openai.BadRequestError, match="model is required") as failed:
        use(herd.url, "chat.completions.create", model="", messages=USER)
    assert failed.value.type == "invalid_request_error"


@either
def test_a_stream_that_dies_raises(pair_herd: Herd, pair: Nodes, use: Use) -> None:
    pair.fault("die", after_tokens=3)
    for method, asked in (("chat.completions", {"messages": USER}), ("responses", {"input": "x"})):
        with pytest.raises(openai.APIError, match="node failed: "):
            use(pair_herd.url, f"{method}.create", model=SMALL, **asked, stream=True)


@either
def test_all_nodes_failing_is_a_502(pair_herd: Herd, pair: Nodes, use: Use) -> None:
    pair.fault("error")
    with pytest.raises(openai.InternalServerError, match="node failed: ") as failed:
        use(pair_herd.url, "chat.completions.create", model=SMALL, messages=USER)
    assert (failed.value.status_code, failed.value.type) == (502, "api_error")


def test_leaving_a_stream_frees_the_slot(pair_herd: Herd, pair: Nodes) -> None:
    pair.fault("slow", factor=100.0)
    with openai.OpenAI(base_url=f"{pair_herd.url}/v1", api_key="not-needed") as client:
        create: Any = client.chat.completions.create
        stream = create(model=SMALL, messages=USER, stream=True)
        assert next(stream).choices[0].delta.content == "This"
        pair_herd.until(lambda status: status.in_flight == 1)
        stream.close()
        pair_herd.until(lambda status: status.idle, 1.0)
    assert sum(pair.stats(name).in_flight for name in pair.names) == 0
