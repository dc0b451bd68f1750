"""LangChain's own standard suites, on its clients of Ollama and of OpenAI's API."""

import asyncio
import base64
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_ollama import ChatOllama, OllamaEmbeddings
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from ollama import ResponseError

from tests.clients.conftest import Freed
from tests.e2e.herds import Herd
from tests.e2e.nodes import BIG, EMBED, MIDDLE, SIMULATED, SMALL, Nodes

CANNOT = {
    "test_json_mode": "wants the keys that the prompt names: a simulated model does not read it",
    "test_unicode_tool_call_integration": "wants back the words of the prompt as arguments",
}
NOT_ASKED = {
    "test_anthropic_inputs": "neither client takes them",
    "test_audio_inputs": "Ollama has none",
    "test_image_inputs": "fetches a picture from the internet: test_an_image below has its own",
    "test_image_tool_message": "neither client takes them",
    "test_pdf_inputs": "Ollama has none",
    "test_pdf_tool_message": "Ollama has none",
    "test_stream_time": "measures with a recorded cassette",
    "test_tool_choice": "Ollama has none",
}


class At:
    """A suite that is told where to ask."""

    base = ""

    @pytest.fixture(autouse=True)
    def _at(self, base: str) -> None:
        self.base = base


class Chat(At, ChatModelIntegrationTests):
    """What holds for both clients; no suite by itself."""

    @property
    def has_tool_choice(self) -> bool:
        return False

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return MIDDLE


class TestChatOllama(Chat):
    @property
    def chat_model_class(self) -> Any:
        return ChatOllama

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": SMALL, "base_url": self.base}


class TestChatOpenAI(Chat):
    @property
    def chat_model_class(self) -> Any:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": SMALL,
            "base_url": f"{self.base}/v1",
            "api_key": "not-needed",
            "stream_usage": True,
        }


class TestOllamaEmbeddings(At, EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> Any:
        return OllamaEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": EMBED, "base_url": self.base}


def test_an_image(base: str) -> None:
    picture = base64.b64encode(b"\x89PNG" * 100_000).decode()
    text = {"type": "text", "text": "What is this?"}
    image = {"type": "image_url", "image_url": f"data:image/png;base64,{picture}"}
    whole = ChatOllama(model=BIG, base_url=base).invoke([HumanMessage([text, image])])
    assert whole.content.startswith(f"{SIMULATED} studio.")
    assert whole.usage_metadata["input_tokens"] > 256


def test_an_unknown_model(base: str) -> None:
    with pytest.raises(ResponseError, match="model 'nope' not found") as failed:
        ChatOllama(model="nope", base_url=base).invoke("hello")
    assert failed.value.status_code == 404


def test_leaving_a_stream_frees_the_slot(pair_herd: Herd, pair: Nodes, freed: Freed) -> None:
    pair.fault("slow", factor=100.0)

    async def main() -> None:
        stream = ChatOllama(model=SMALL, base_url=pair_herd.url).astream("hello")
        assert (await anext(stream)).content == "This"
        pair_herd.until(lambda status: status.in_flight == 1)
        await stream.aclose()

    asyncio.run(main())
    freed()


def test_a_stream_that_dies_raises(pair_herd: Herd, pair: Nodes) -> None:
    pair.fault("die", after_tokens=3)
    with pytest.raises(ResponseError, match="node failed: "):
        list(ChatOllama(model=SMALL, base_url=pair_herd.url).stream("hello"))
