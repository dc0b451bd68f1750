"""Tokens made by a real inference engine pass through herd, from servers that speak only `/v1`.

llama.cpp's own server with SmolLM2-135M, twice; herd finds out by itself what they speak.
"""

import re
import signal
import time
from collections.abc import Iterator

import pytest
from anthropic import Anthropic, NotFoundError
from anthropic.types import MessageParam
from openai import OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

from herd.real.node import MODEL, available
from herd.real.orders import REAL_ORDERS
from tests.e2e.conftest import HerdsOf
from tests.e2e.herds import Composition, Herd, Program, until
from tests.e2e.nodes import Nodes
from tests.e2e.wire import ask, chat

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not available(), reason="THE REAL MODEL IS UNTESTED HERE: `make real` fetches it"
    ),
]

TOKENS = 24
ANSWER_S = 120.0  # two engines and the rest of the tests share the cores
ASKED: list[ChatCompletionUserMessageParam] = [
    {"role": "user", "content": "Name three colours of the rainbow."}
]


@pytest.fixture(scope="module")
def engines() -> Iterator[Nodes]:
    """Two engines, each a process."""
    with Nodes(*REAL_ORDERS) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def real_herd(engines: Nodes, herds_of: HerdsOf) -> Iterator[Herd]:
    """A balancer that was told their addresses and names, nothing else."""
    with herds_of("real") as start:
        yield start(*engines.flags(), wait_for=tuple(engines.names))


def say(url: str) -> str:
    """Have the model answer in one piece, as surely as it can."""
    with OpenAI(base_url=f"{url}/v1", api_key="not-needed") as client:
        answer = client.chat.completions.create(
            model=MODEL, messages=ASKED, max_tokens=TOKENS, temperature=0, seed=1
        )
        return answer.choices[0].message.content or ""


def test_a_stream_of_real_tokens(real_herd: Herd, engines: Nodes) -> None:
    with OpenAI(base_url=f"{real_herd.url}/v1", api_key="not-needed") as client:
        stream = client.chat.completions.create(
            model=MODEL,
            messages=ASKED,
            max_tokens=TOKENS,
            temperature=0,
            seed=1,
            stream=True,
            stream_options={"include_usage": True},
        )
        came: list[tuple[float, str]] = []
        usage = None
        for chunk in stream:
            usage = chunk.usage or usage
            if chunk.choices and chunk.choices[0].delta.content:
                came.append((time.monotonic(), chunk.choices[0].delta.content))
    assert len(came) > TOKENS // 2
    assert came[-1][0] - came[0][0] > 0.02, "they came one by one, not all at once"
    assert usage is not None
    assert usage.completion_tokens == TOKENS
    assert usage.prompt_tokens > 5
    assert "".join(text for _, text in came) == say(engines.url(engines.names[0]))


def test_an_answer_in_one_piece_is_the_node_s_own(real_herd: Herd, engines: Nodes) -> None:
    assert say(real_herd.url) == say(engines.url(engines.names[0])) != ""


def test_its_model_is_listed_everywhere(real_herd: Herd) -> None:
    assert [row["name"] for row in ask(real_herd.url, "/api/tags").json["models"]] == [MODEL]
    assert [row["id"] for row in ask(real_herd.url, "/v1/models").json["data"]] == [MODEL]


def test_ollama_s_own_routes_are_translated(real_herd: Herd) -> None:
    answer = ask(real_herd.url, "/api/chat", chat(MODEL, options={"num_predict": 4}))
    last = answer.json
    assert (answer.status, last["done"]) == (200, True)
    assert (last["done_reason"], last["eval_count"]) == ("length", 4)
    assert last["eval_duration"] > 0  # as llama.cpp tells it
    assert last["message"]["content"]


def test_the_log_counts_real_tokens(real_herd: Herd) -> None:
    said = say(real_herd.url)
    rows = real_herd.sql(
        "SELECT node_id, completion_tokens, usage_source FROM requests "
        "WHERE status = 'completed' ORDER BY received_at DESC LIMIT 1"
    )
    assert said
    assert rows[0]["node_id"] in {order.name for order in REAL_ORDERS}
    assert rows[0]["completion_tokens"] == TOKENS
    assert rows[0]["usage_source"] == "reported"


def test_the_demo_with_real_nodes(composition: Composition) -> None:
    demo = Program(
        ["-m", "herd", "demo", "--real", "--port", "0", "--rate", "2"], composition.environment
    )

    def answered() -> bool:
        return bool(re.search(r"^ *[1-9]\d* answered", demo.words, re.MULTILINE))

    assert until(answered, ANSWER_S), demo.words
    assert demo.stop(signal.SIGINT, 60.0) == 0, demo.words
    assert "real nodes" in demo.words
    assert "simulated" not in demo.words
    assert " 0 failed" in demo.words.splitlines()[-1]


def test_the_anthropic_package(real_herd: Herd) -> None:
    with Anthropic(base_url=real_herd.url, api_key="not-needed", max_retries=0) as client:
        question: MessageParam = {"role": "user", "content": "Name three colours of the rainbow."}
        whole = client.messages.create(model=MODEL, max_tokens=TOKENS, messages=[question])
        assert whole.type == "message"
        assert whole.stop_reason in {"max_tokens", "end_turn"}
        assert 0 < whole.usage.output_tokens <= TOKENS
        stream = client.messages.create(
            model=MODEL, max_tokens=TOKENS, messages=[question], stream=True
        )
        kinds = [event.type for event in stream]
        assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
        assert "content_block_delta" in kinds
        with pytest.raises(NotFoundError) as failed:
            client.messages.create(model="nope", max_tokens=1, messages=[question])
        assert failed.value.body == {
            "type": "error",
            "error": {"type": "not_found_error", "message": "model 'nope' not found"},
            "request_id": failed.value.request_id,
        }
        assert failed.value.request_id
    assert counted(real_herd, "/v1/messages") == [("reported", True)] * 2


def counted(herd: Herd, route: str) -> list[tuple[str, bool]]:
    """Return where the token counts of a route's answers come from, and whether there are some."""
    query = f"SELECT usage_source, completion_tokens FROM requests WHERE route = '{route}' AND status = 'completed'"  # noqa: E501, S608 (a test's own words)
    rows = herd.sql(query)
    return [(row["usage_source"], row["completion_tokens"] > 0) for row in rows]


def test_responses_by_the_openai_package(real_herd: Herd) -> None:
    with OpenAI(base_url=f"{real_herd.url}/v1", api_key="not-needed", max_retries=0) as client:
        whole = client.responses.create(model=MODEL, input="Say hello.", max_output_tokens=TOKENS)
        assert whole.status == "completed"
        assert whole.output_text
        stream = client.responses.create(
            model=MODEL, input="Say hello.", max_output_tokens=TOKENS, stream=True
        )
        kinds = [event.type for event in stream]
        assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert counted(real_herd, "/v1/responses") == [("reported", True)] * 2
