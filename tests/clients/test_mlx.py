"""MLX's own server, real and not simulated, with a tiny model: each API through herd.

It speaks HTTP/1.0, answers `/v1/models` and `/v1/chat/completions` alone, sends comments while it
reads a prompt, and says what is wrong in words of its own.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ollama
import pytest
from anthropic import Anthropic
from openai import APIError, BadRequestError, NotFoundError, OpenAI

from tests.clients.conftest import balancer
from tests.clients.tiny import CALLS, NAME, SAYS, SKY, THINKS, TOOL, WEATHER
from tests.e2e.herds import Herd, clean_environment, until
from tests.e2e.wire import ask

MAKES_S, STARTS_S = 300.0, 60.0
TALK: Any = [{"role": "user", "content": SKY}]
ASKED: Any = [{"role": "user", "content": WEATHER}]
COOL: Any = {"temperature": 0}


class Server:
    """A process of it, which can be killed and begun anew at its address."""

    def __init__(self, cache: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._cache = cache
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        offline = {"HF_HOME": str(self._cache), "HF_HUB_OFFLINE": "1"}
        words = ["-m", "mlx_lm", "server", "--model", NAME, "--port", str(self.port)]
        with (self._cache / "said").open("ab") as said:
            self._process = subprocess.Popen(
                [sys.executable, *words],
                env=clean_environment() | offline,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        assert until(self._answers, STARTS_S), (self._cache / "said").read_text("utf-8")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            return ask(self.url, "/v1/models").status == 200
        except OSError:
            return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    cache = tmp_path_factory.mktemp("mlx")
    script = str(Path(__file__).with_name("tiny.py"))
    subprocess.run([sys.executable, script, str(cache)], check=True, timeout=MAKES_S)
    found = Server(cache)
    try:
        found.start()
        yield found
    finally:
        found.kill()


@pytest.fixture(scope="module")
def mlx_herd(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Herd]:
    """A balancer before it, that was told its address and nothing else."""
    yield from balancer(tmp_path_factory.mktemp("herd"), [f"{server.url},name=mac"], ["mac"])


@pytest.fixture
def native(mlx_herd: Herd) -> ollama.Client:
    return ollama.Client(mlx_herd.url)


@pytest.fixture
def openai(mlx_herd: Herd) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{mlx_herd.url}/v1", api_key="not-needed", max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic(mlx_herd: Herd) -> Iterator[Anthropic]:
    with Anthropic(base_url=mlx_herd.url, api_key="not-needed", max_retries=0) as client:
        yield client


def test_its_model_is_listed(native: ollama.Client, openai: OpenAI) -> None:
    assert [model.model for model in native.list().models] == [NAME]
    assert [model.id for model in openai.models.list()] == [NAME]
    assert native.show(NAME).capabilities == ["completion"]


def test_the_same_answer_straight_and_through_herd(server: Server, openai: OpenAI) -> None:
    def said(client: OpenAI) -> Any:
        whole = client.chat.completions.create(model=NAME, messages=TALK, temperature=0)
        chunks = client.chat.completions.create(
            model=NAME,
            messages=TALK,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        *events, last = list(chunks)
        streamed = "".join(event.choices[0].delta.content or "" for event in events)
        reasons = [event.choices[0].finish_reason for event in events]
        assert streamed == whole.choices[0].message.content
        assert (whole.usage.completion_tokens, last.usage.completion_tokens) == (30, 30)
        return streamed, reasons

    with OpenAI(base_url=f"{server.url}/v1", api_key="not-needed", max_retries=0) as straight:
        text, reasons = said(straight)
    assert text.strip() == SAYS
    assert said(openai) == (text, reasons)


def test_the_first_token_is_timed(mlx_herd: Herd, openai: OpenAI) -> None:
    chunks = openai.chat.completions.create(
        model=NAME, messages=TALK, temperature=0, stream=True, user="timed"
    )
    assert list(chunks)
    query = (
        "SELECT ttft_s, service_s, completion_tokens FROM requests "
        "WHERE usage_source = 'counted' AND status = 'completed'"
    )
    assert until(lambda: bool(mlx_herd.sql(query)), 30.0), "it is never recorded"
    [row] = mlx_herd.sql(query)
    assert 0 < row["ttft_s"] <= row["service_s"]
    assert row["completion_tokens"] <= 30, "comments are no tokens"


def test_chat_by_ollamas_package(native: ollama.Client) -> None:
    whole = native.chat(NAME, TALK, options=COOL)
    assert (whole.message.content.strip(), whole.message.thinking.strip()) == (SAYS, THINKS)
    assert (whole.done_reason, whole.prompt_eval_count, whole.eval_count) == ("stop", 33, 30)
    chunks = list(native.chat(NAME, TALK, stream=True, options=COOL))
    assert "".join(chunk.message.content for chunk in chunks) == whole.message.content
    assert "".join(chunk.message.thinking or "" for chunk in chunks) == whole.message.thinking
    assert [chunk.done for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    quick = native.chat(NAME, TALK, think=False, options=COOL)
    assert (quick.message.content, quick.message.thinking) == (SAYS, None)
    short = native.chat(NAME, TALK, options={**COOL, "num_predict": 4})
    assert (short.done_reason, short.eval_count) == ("length", 4)
    assert native.generate(NAME, SKY, options=COOL).response.strip() == SAYS


def test_a_tool_is_called_in_every_api(
    native: ollama.Client, openai: OpenAI, anthropic: Anthropic
) -> None:
    [called] = native.chat(NAME, ASKED, tools=[TOOL], options=COOL).message.tool_calls
    assert (called.function.name, called.function.arguments) == ("get_weather", CALLS)
    chunks = native.chat(NAME, ASKED, tools=[TOOL], stream=True, options=COOL)
    [calls] = [chunk.message.tool_calls for chunk in chunks if chunk.message.tool_calls]
    assert [call.function.arguments for call in calls] == [CALLS]
    tools: Any = [{"name": "get_weather", "input_schema": {"type": "object"}}]
    with anthropic.messages.stream(
        model=NAME, max_tokens=100, messages=ASKED, tools=tools, extra_body=COOL
    ) as stream:
        message = stream.get_final_message()
    assert (message.stop_reason, message.content[-1].input) == ("tool_use", CALLS)
    offered: Any = [{"type": "function", "name": "get_weather", "parameters": {}}]
    told = openai.responses.create(model=NAME, input=WEATHER, tools=offered, temperature=0)
    assert [item.type for item in told.output] == ["reasoning", "message", "function_call"]


def test_messages_and_responses(openai: OpenAI, anthropic: Anthropic) -> None:
    whole = anthropic.messages.create(model=NAME, max_tokens=100, messages=TALK, extra_body=COOL)
    assert [block.type for block in whole.content] == ["thinking", "text"]
    assert (whole.stop_reason, whole.usage.output_tokens) == ("end_turn", 30)
    kinds = [
        event.type
        for event in openai.responses.create(model=NAME, input=SKY, temperature=0, stream=True)
    ]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert openai.responses.create(model=NAME, input=SKY, temperature=0).output_text.strip() == SAYS


def test_what_it_says_of_a_mistake_arrives(native: ollama.Client, openai: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="temperature must be of type"):
        openai.chat.completions.create(model=NAME, messages=TALK, extra_body={"temperature": "hot"})
    with pytest.raises(ollama.ResponseError, match="temperature must be at least 0") as refused:
        native.chat(NAME, TALK, options={"temperature": -3})
    assert refused.value.status_code == 400
    with pytest.raises(NotFoundError, match="model 'nope' not found"):
        openai.chat.completions.create(model="nope", messages=TALK)
    with pytest.raises(ollama.ResponseError, match="this node has no /v1/embeddings") as missing:
        native.embed(NAME, "hello")
    assert missing.value.status_code == 404


def test_a_server_that_dies_in_a_stream_is_no_success(
    mlx_herd: Herd, server: Server, openai: OpenAI
) -> None:
    """Its answers end with their connection: only `[DONE]` tells the end from a death."""
    chunks = openai.chat.completions.create(
        model=NAME,
        messages=[{"role": "user", "content": "Go on."}],
        max_tokens=4000,
        logit_bias={"1": -100},  # it never ends by itself
        stream=True,
    )
    assert next(chunks).choices
    server.kill()
    with pytest.raises(APIError, match="node failed"):
        list(chunks)
    server.start()
    mlx_herd.until_online("mac")
    again = openai.with_options(max_retries=5).chat.completions.create(model=NAME, messages=TALK)
    assert again.choices[0].message.content
