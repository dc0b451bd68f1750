"""Models that think, through the real packages: asked to, asked not to, and asked to go on.

Before an Ollama whose newer routes herd translates, before one that has them, and before a server
that has only `/v1` routes.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import msgspec
import ollama
import pytest

from herd.simulator.fleet import NodeOrder
from tests.e2e.conftest import HerdsOf, ends_and_replays
from tests.e2e.herds import Herd
from tests.e2e.nodes import SIMULATED, SMALL, Nodes
from tests.e2e.test_ollama_package import Use
from tests.e2e.test_ollama_package import use as use_ollama
from tests.e2e.test_ollama_package import use_async as use_ollama_async
from tests.e2e.test_openai_package import use as use_openai
from tests.e2e.test_openai_package import use_async as use_openai_async
from tests.e2e.wire import ask

THINKS = "qwen3:4b"
OLDER = NodeOrder(profile="thinker", name="older", answer_tokens=16)
NEWER = msgspec.structs.replace(OLDER, name="newer", version="0.14.1")
SERVER = msgspec.structs.replace(OLDER, name="server", v1_only=True)
ENOUGH = 4096
USER = [{"role": "user", "content": "hello"}]
ENABLED = {"type": "enabled", "budget_tokens": 1024}
TWO, FOUR, EIGHT = ("Hm" + " hm" * more for more in (1, 3, 7))
BOTH = ["sync", "async"]

ollama_either = pytest.mark.parametrize("use", [use_ollama, use_ollama_async], ids=BOTH)
openai_either = pytest.mark.parametrize("use", [use_openai, use_openai_async], ids=BOTH)


@pytest.fixture(scope="module")
def thinkers() -> Iterator[Nodes]:
    """The three kinds of nodes."""
    with Nodes(OLDER, NEWER, SERVER) as nodes:
        yield nodes


@pytest.fixture(scope="module", params=["older", "newer", "server"])
def thinking(request: pytest.FixtureRequest, thinkers: Nodes, herds_of: HerdsOf) -> Iterator[Herd]:
    """A balancer before one of them."""
    name: str = request.param
    with herds_of(name) as start:
        herd = start(thinkers.flag(name), wait_for=(name,))
        yield herd
        ends_and_replays(herd)


def use_anthropic(url: str, **named: Any) -> Any:
    with anthropic.Anthropic(base_url=url, api_key="not-needed", max_retries=0) as client:
        create: Any = client.messages.create
        found = create(model=THINKS, max_tokens=ENOUGH, **named)
        return list(found) if named.get("stream") else found


def use_anthropic_async(url: str, **named: Any) -> Any:
    async def main() -> Any:
        async with anthropic.AsyncAnthropic(
            base_url=url, api_key="not-needed", max_retries=0
        ) as client:
            create: Any = client.messages.create
            found = await create(model=THINKS, max_tokens=ENOUGH, **named)
            return [event async for event in found] if named.get("stream") else found

    return asyncio.run(main())


anthropic_either = pytest.mark.parametrize(
    "use", [use_anthropic, use_anthropic_async], ids=["sync", "async"]
)


@anthropic_either
@pytest.mark.parametrize(
    ("wanted", "thought"),
    [
        ({}, [FOUR]),
        ({"thinking": ENABLED}, [FOUR]),
        ({"thinking": {"type": "adaptive"}}, [FOUR]),
        ({"thinking": {**ENABLED, "display": "omitted"}}, [""]),
        ({"thinking": {"type": "disabled"}}, []),
        ({"output_config": {"effort": "low"}}, [TWO]),
    ],
    ids=["unsaid", "enabled", "adaptive", "omitted", "disabled", "effort"],
)
def test_messages(thinking: Herd, use: Use, wanted: dict[str, Any], thought: list[str]) -> None:
    whole = use(thinking.url, messages=USER, **wanted)
    *thoughts, said = whole.content
    assert [each.thinking for each in thoughts] == thought
    assert all(each.type == "thinking" and each.signature for each in thoughts)
    assert said.text.startswith(SIMULATED)
    assert whole.stop_reason == "end_turn"


@pytest.mark.parametrize("wanted", [ENABLED, {"type": "disabled"}], ids=["enabled", "disabled"])
def test_the_stream_helper_of_messages(thinking: Herd, wanted: dict[str, Any]) -> None:
    """It puts the events together, and fails where one is not what it expects."""
    asked: Any = {"messages": USER, "thinking": wanted}
    with (
        anthropic.Anthropic(base_url=thinking.url, api_key="not-needed", max_retries=0) as client,
        client.messages.stream(model=THINKS, max_tokens=ENOUGH, **asked) as stream,
    ):
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    thinks = wanted["type"] == "enabled"
    assert [each.type for each in final.content] == ["thinking", "text"][not thinks :]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert {*block, "text"} <= set(kinds)
    assert {"thinking", "signature"} & set(kinds) == (
        {"thinking", "signature"} if thinks else set()
    )
    if thinks:
        told = final.content[0]
        assert told.type == "thinking"
        assert (told.thinking, bool(told.signature)) == (FOUR, True)
        assert kinds.index("thinking") < kinds.index("signature") < kinds.index("text")


@anthropic_either
def test_a_history_with_thoughts_whoever_signed_them(thinking: Herd, use: Use) -> None:
    first = use(thinking.url, messages=USER, thinking=ENABLED)
    content = [each.model_dump() for each in first.content]
    content.insert(1, {"type": "redacted_thinking", "data": "EmwKAhgB"})
    content.insert(1, {"type": "thinking", "thinking": "So.", "signature": "EqQBCgIYAhIM"})
    turns = [*USER, {"role": "assistant", "content": content}, *USER]
    again = use(thinking.url, messages=turns, thinking=ENABLED)
    assert [each.type for each in again.content] == ["thinking", "text"]


@openai_either
@pytest.mark.parametrize(
    ("effort", "thought"),
    [
        (None, FOUR),
        ("low", TWO),
        ("xhigh", FOUR + FOUR.lower().replace("hm", " hm", 1)),
        ("none", ""),
    ],
    ids=["unsaid", "low", "xhigh", "none"],
)
def test_responses(thinking: Herd, use: Use, effort: str | None, thought: str) -> None:
    asked: dict[str, Any] = {"model": THINKS, "input": USER}
    if effort:
        asked["reasoning"] = {"effort": effort, "summary": "auto"}
    whole = use(thinking.url, "responses.create", **asked)
    assert "".join(_summaries(whole)) == thought
    assert whole.output_text.startswith(SIMULATED)
    told = use(thinking.url, "responses.create", **asked, stream=True)
    deltas = [each.delta for each in told if each.type == "response.reasoning_summary_text.delta"]
    assert "".join(deltas) == "".join(_summaries(told[-1].response)) == thought
    items = [*USER, *[each.model_dump(exclude_none=True) for each in whole.output], *USER]
    again = use(thinking.url, "responses.create", **(asked | {"input": items}))
    assert again.status == "completed"


def _summaries(response: Any) -> list[str]:
    items = [each for each in response.output if each.type == "reasoning"]
    return [part.text for item in items for part in item.summary]


@openai_either
@pytest.mark.parametrize(
    ("more", "thought"),
    [
        ({}, FOUR),
        ({"reasoning_effort": "low"}, TWO),
        ({"reasoning_effort": "none"}, ""),
        ({"extra_body": {"reasoning": {"effort": "low"}}}, TWO),
    ],
    ids=["unsaid", "low", "none", "reasoning"],
)
def test_chat_completions(thinking: Herd, use: Use, more: dict[str, Any], thought: str) -> None:
    """Passed as they are: a node's name for a thought stays its name."""
    asked = {"model": THINKS, "messages": USER, **more}
    message = use(thinking.url, "chat.completions.create", **asked).choices[0].message
    assert _thought(message) == thought
    chunks = use(thinking.url, "chat.completions.create", **asked, stream=True)
    assert "".join(_thought(chunk.choices[0].delta) for chunk in chunks) == thought
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert said == message.content
    assert said.startswith(SIMULATED)


def _thought(message: Any) -> str:
    return getattr(message, "reasoning", None) or getattr(message, "reasoning_content", None) or ""


@ollama_either
@pytest.mark.parametrize(
    ("think", "thought"),
    [(None, FOUR), (True, FOUR), (False, None), ("low", TWO)],
    ids=["unsaid", "true", "false", "low"],
)
def test_ollamas_own_routes(
    thinking: Herd, use: Use, *, think: bool | str | None, thought: str | None
) -> None:
    whole = use(thinking.url, "chat", THINKS, USER, think=think)
    assert whole.message.thinking == thought
    assert whole.message.content.startswith(SIMULATED)
    chunks = use(thinking.url, "chat", THINKS, USER, think=think, stream=True)
    assert "".join(chunk.message.thinking or "" for chunk in chunks) == (thought or "")
    assert "".join(chunk.message.content for chunk in chunks) == whole.message.content
    told = use(thinking.url, "generate", THINKS, "hello", think=think)
    assert told.thinking == thought
    turns = [*USER, whole.message.model_dump(exclude_none=True), *USER]
    assert use(thinking.url, "chat", THINKS, turns, think=think).message.thinking == thought


def test_a_model_that_cannot_think(thinkers: Nodes, thinking: Herd) -> None:
    """`/v1/messages` answers without, as Ollama's own does; Ollama's own route says so."""
    with anthropic.Anthropic(base_url=thinking.url, api_key="not-needed", max_retries=0) as client:
        for wanted in (ENABLED, {"type": "adaptive"}, {"type": "disabled"}):
            asked: Any = {"thinking": wanted, "messages": USER}
            create: Any = client.messages.create
            told = create(model=SMALL, max_tokens=ENOUGH, **asked)
            assert [each.type for each in told.content] == ["text"]
    node = ask(thinking.url, "/api/chat", {"model": SMALL, "messages": USER, "stream": False}).node
    if node != "server":
        with pytest.raises(ollama.ResponseError, match="does not support thinking"):
            use_ollama(thinking.url, "chat", SMALL, USER, think=True)
    assert node in thinkers.names
