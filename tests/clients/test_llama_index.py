"""LlamaIndex's clients of Ollama and of servers like OpenAI's."""

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.ollama import OllamaEmbedding
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

from tests.clients.conftest import Freed
from tests.e2e.herds import Herd
from tests.e2e.nodes import BIG, EMBED, SIMULATED, SMALL, Nodes

HELLO = [ChatMessage(role="user", content="hello")]
SAID = f"{SIMULATED} studio."

Client = Callable[[str, str], Any]
"""A client, of an address and a model."""


def ollama(base: str, model: str) -> Any:
    return Ollama(model=model, base_url=base, context_window=4096)


def openai_like(base: str, model: str) -> Any:
    return OpenAILike(
        model=model,
        api_base=f"{base}/v1",
        api_key="not-needed",
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
    )


either = pytest.mark.parametrize("client", [ollama, openai_like])


class Town(BaseModel):
    """A town."""

    name: str
    people: int


@either
def test_chat_and_its_stream(base: str, client: Client) -> None:
    whole = client(base, BIG).chat(HELLO).message.content
    assert whole.startswith(SAID)
    chunks = list(client(base, BIG).stream_chat(HELLO))
    assert chunks[-1].message.content == whole
    assert "".join(chunk.delta for chunk in chunks) == whole
    assert len(chunks) > 16


@either
def test_complete_and_its_stream(base: str, client: Client) -> None:
    whole = client(base, BIG).complete("why?").text
    assert whole.startswith(SAID)
    assert list(client(base, BIG).stream_complete("why?"))[-1].text == whole


@either
def test_a_tool_is_called(base: str, client: Client) -> None:
    def weather_in(city: str, days: int) -> str:
        """Tell the weather."""
        return f"{city}: {days} days of sun"

    llm = client(base, BIG)
    tool = FunctionTool.from_defaults(weather_in)
    answer = llm.chat_with_tools([tool], user_msg="The weather for 3 days?")
    [call] = llm.get_tool_calls_from_response(answer)
    assert (call.tool_name, call.tool_kwargs) == ("weather_in", {"city": "simulated", "days": 3})
    assert llm.predict_and_call([tool], "The weather for 3 days?").response == (
        "simulated: 3 days of sun"
    )


def test_an_object_that_fits_a_class(base: str) -> None:
    llm = ollama(base, BIG).as_structured_llm(Town)
    assert llm.complete("A town of 700 people").raw == Town(name="simulated", people=700)


def test_embeddings(base: str) -> None:
    embed = OllamaEmbedding(model_name=EMBED, base_url=base)
    both = embed.get_text_embedding_batch(["a", "b"])
    assert [len(vector) for vector in both] == [768, 768]
    assert embed.get_query_embedding("b") == both[1] != both[0]


@either
def test_an_unknown_model(base: str, client: Client) -> None:
    with pytest.raises(Exception, match="model 'nope' not found"):
        client(base, "nope").chat(HELLO)


@either
def test_a_stream_that_dies_raises(pair_herd: Herd, pair: Nodes, client: Client) -> None:
    pair.fault("die", after_tokens=3)
    with pytest.raises(Exception, match="node failed: "):
        list(client(pair_herd.url, SMALL).stream_chat(HELLO))


def test_leaving_a_stream_frees_the_slot(pair_herd: Herd, pair: Nodes, freed: Freed) -> None:
    """Of Ollama's client: the other holds on to its connection, also after `close`."""
    pair.fault("slow", factor=100.0)
    stream = ollama(pair_herd.url, SMALL).stream_chat(HELLO)
    assert next(stream).delta == "This"
    pair_herd.until(lambda status: status.in_flight == 1)
    stream.close()
    freed()
