"""LangChain's standard suite on its client of Anthropic's API."""

import asyncio
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_tests.integration_tests import ChatModelIntegrationTests
from pydantic import BaseModel

from tests.clients.conftest import Freed
from tests.e2e.herds import Herd
from tests.e2e.nodes import BIG, SIMULATED, SMALL, Nodes

CANNOT = {
    "test_unicode_tool_call_integration": "wants back the words of the prompt as arguments",
}
NOT_ASKED = {
    "test_audio_inputs": "Anthropic has none",
    "test_image_inputs": "fetches a picture from the internet",
    "test_pdf_inputs": "no Ollama reads it",
    "test_pdf_tool_message": "no Ollama reads it",
    "test_stream_time": "measures with a recorded cassette",
    "test_json_mode": "Anthropic has none",
    "test_image_tool_message": "fetches a picture from the internet",
    "test_tool_choice": "a simulated model does not heed it",
}


def client(base: str, model: str, **more: Any) -> ChatAnthropic:
    told: dict[str, Any] = {"model": model, "base_url": base, "api_key": "not-needed"}
    return ChatAnthropic(**told, max_retries=0, **more)


class TestChatAnthropic(ChatModelIntegrationTests):
    base = ""

    @pytest.fixture(autouse=True)
    def _at(self, anthropic_base: str) -> None:
        self.base = anthropic_base

    @property
    def chat_model_class(self) -> Any:
        return ChatAnthropic

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": BIG, "base_url": self.base, "api_key": "not-needed", "max_retries": 0}

    @property
    def has_tool_choice(self) -> bool:
        return False

    @property
    def supports_json_mode(self) -> bool:
        return False

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return SMALL


@tool
def get_weather(city: str, days: int) -> str:
    """Tell the weather."""
    return f"{city}: {days} days of sun"


class Town(BaseModel):
    """A town."""

    name: str
    people: int


def test_chat_and_its_stream(anthropic_base: str) -> None:
    chat = client(anthropic_base, BIG)
    asked = [SystemMessage("Be kind."), HumanMessage("hello")]
    whole = chat.invoke(asked)
    assert whole.content.startswith(f"{SIMULATED} studio.")
    assert whole.response_metadata["stop_reason"] == "end_turn"
    assert whole.usage_metadata["output_tokens"] == 24
    chunks = list(chat.stream(asked))
    assert "".join(str(chunk.text) for chunk in chunks) == whole.content
    assert len([chunk for chunk in chunks if chunk.text]) > 8


def test_a_tool_and_its_result(anthropic_base: str) -> None:
    chat = client(anthropic_base, BIG).bind_tools([get_weather])
    asked: list[Any] = [HumanMessage("Weather for 3 days?")]
    called = chat.invoke(asked)
    [call] = called.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "simulated", "days": 3})
    result = get_weather.invoke(call)
    assert result.content == "simulated: 3 days of sun"
    assert chat.invoke([*asked, called, result]).text.startswith(SIMULATED)
    town = client(anthropic_base, BIG).with_structured_output(Town).invoke("A town of 700 people")
    assert town == Town(name="simulated", people=700)


def test_an_unknown_model(anthropic_base: str) -> None:
    with pytest.raises(Exception, match="model 'nope' not found") as failed:
        client(anthropic_base, "nope").invoke("hello")
    assert failed.value.status_code == 404


def test_leaving_a_stream_frees_the_slot(pair_herd: Herd, pair: Nodes, freed: Freed) -> None:
    pair.fault("slow", factor=100.0)

    async def main() -> None:
        stream = client(pair_herd.url, SMALL).astream("hello")
        async for chunk in stream:
            if chunk.text:
                break
        pair_herd.until(lambda status: status.in_flight == 1)
        await stream.aclose()

    asyncio.run(main())
    freed()


def test_a_stream_that_dies_raises(pair_herd: Herd, pair: Nodes) -> None:
    pair.fault("die", after_tokens=3)
    with pytest.raises(Exception, match="node failed: "):
        list(client(pair_herd.url, SMALL).stream("hello"))
