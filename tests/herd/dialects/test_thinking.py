"""How much to think, said so that each kind of node understands it and none refuses."""

from typing import Any

import msgspec
import pytest

from events import ModelFacts
from herd.dialects import messages_asked, native_asked, responses_asked
from herd.dialects.asking import Node

SERVER = Node(ollama=False)
UNKNOWN = Node(models=(ModelFacts(name="m:latest"),))
ABLE = Node(models=(ModelFacts(name="M:latest", capabilities=("completion", "thinking")),))
UNABLE = Node(models=(ModelFacts(name="m:latest", capabilities=("completion",)),))
WORDS = ("reasoning_effort", "chat_template_kwargs", "thinking_budget_tokens")
ON = {"chat_template_kwargs": {"enable_thinking": True}}
OFF = {"chat_template_kwargs": {"enable_thinking": False}}


def words(body: bytes) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(body)
    return {name: told[name] for name in WORDS if name in told}


@pytest.mark.parametrize(
    ("more", "node", "told"),
    [
        ({}, SERVER, {}),
        ({}, ABLE, {}),
        ({"thinking": {"type": "adaptive"}}, SERVER, {}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            SERVER,
            ON | {"thinking_budget_tokens": 2048},
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, ABLE, {}),
        ({"thinking": {"type": "disabled"}}, SERVER, OFF),
        ({"thinking": {"type": "disabled"}}, ABLE, {"reasoning_effort": "none"}),
        ({"thinking": {"type": "disabled"}}, UNKNOWN, {"reasoning_effort": "none"}),
        ({"thinking": {"type": "disabled"}}, UNABLE, {}),
        ({"output_config": {"effort": "xhigh"}}, SERVER, {"reasoning_effort": "high"}),
        ({"output_config": {"effort": "low"}}, ABLE, {"reasoning_effort": "low"}),
        ({"output_config": {"effort": "low"}}, UNKNOWN, {}),
        ({"output_config": {"effort": "low"}}, UNABLE, {}),
    ],
)
def test_messages_never_ask_more_of_a_model_than_it_can(
    more: dict[str, Any], node: Node, told: dict[str, Any]
) -> None:
    body = {"model": "m", "max_tokens": 4096, "messages": [{"role": "user", "content": "Hi"}]}
    question = messages_asked.translate(msgspec.json.encode(body | more), node)
    assert words(question.body) == told


@pytest.mark.parametrize(
    ("effort", "node", "told"),
    [
        (None, SERVER, {}),
        ("minimal", SERVER, ON | {"reasoning_effort": "low"}),
        ("xhigh", ABLE, {"reasoning_effort": "high"}),
        ("medium", UNABLE, {"reasoning_effort": "medium"}),
        ("none", SERVER, OFF),
        ("none", ABLE, {"reasoning_effort": "none"}),
    ],
)
def test_responses_say_their_effort(effort: str | None, node: Node, told: dict[str, Any]) -> None:
    body = {"model": "m", "input": "Hi", "reasoning": {"effort": effort, "summary": "auto"}}
    assert words(responses_asked.translate(msgspec.json.encode(body), node).body) == told


@pytest.mark.parametrize(
    ("think", "told"),
    [
        (None, {}),
        (True, ON),
        (False, OFF),
        ("low", ON | {"reasoning_effort": "low"}),
        ("max", ON | {"reasoning_effort": "high"}),
    ],
)
def test_ollamas_own_word(think: object, told: dict[str, Any]) -> None:
    chat = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "think": think}
    assert words(native_asked.chat(msgspec.json.encode(chat), SERVER).body) == told
    generate = {"model": "m", "prompt": "Hi", "think": think}
    assert words(native_asked.generate(msgspec.json.encode(generate), SERVER).body) == told


@pytest.mark.parametrize(("node", "name"), [(ABLE, "reasoning"), (SERVER, "reasoning_content")])
def test_earlier_thoughts_are_given_back_under_the_nodes_name(node: Node, name: str) -> None:
    said = [{"type": "thinking", "thinking": "Hm", "signature": ""}, {"type": "text", "text": "A"}]
    user = {"role": "user", "content": "Hi"}
    turns = [user, {"role": "assistant", "content": said}, user]
    body = msgspec.json.encode({"model": "m", "max_tokens": 9, "messages": turns})
    told = msgspec.json.decode(messages_asked.translate(body, node).body)["messages"]
    assert told[1] == {"role": "assistant", "content": "A", name: "Hm"}

    summary = [{"type": "summary_text", "text": "Hm"}]
    items: list[dict[str, Any]] = [
        user,
        {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "gAAA"},
        {"type": "message", "role": "assistant", "content": "A"},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "no"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gAAA"},
        {"type": "message", "role": "assistant", "content": "B"},
    ]
    body = msgspec.json.encode({"model": "m", "input": items})
    told = msgspec.json.decode(responses_asked.translate(body, node).body)["messages"]
    assert told[1][name] == "Hm\nhm"
    assert [each["role"] for each in told] == ["user", "assistant", "tool", "assistant"]
    assert told[3] == {"role": "assistant", "content": "B"}


def test_ollamas_own_thoughts_are_given_back() -> None:
    turns = [{"role": "assistant", "content": "A", "thinking": "Hm"}]
    body = msgspec.json.encode({"model": "m", "messages": turns})
    told = msgspec.json.decode(native_asked.chat(body, SERVER).body)["messages"]
    assert told == [{"role": "assistant", "content": "A", "reasoning_content": "Hm"}]
