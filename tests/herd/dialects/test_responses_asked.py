"""`/v1/responses` said as chat completions."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herd.dialects import responses_asked
from herd.dialects.asking import Node
from herd.dialects.errors import UntranslatableError

PNG = "data:image/png;base64,AA=="
IMAGE = {"type": "input_image", "image_url": PNG, "detail": "low"}
SHOWN = {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {}}


def asked(input: object = "Hi", **more: Any) -> dict[str, Any]:  # noqa: A002 (its name there)
    body = msgspec.json.encode({"model": "m", "input": input, **more})
    told: dict[str, Any] = msgspec.json.decode(responses_asked.translate(body, Node()).body)
    return told


def test_a_plain_request_keeps_its_options() -> None:
    told = asked(
        instructions="Be short.",
        stream=True,
        max_output_tokens=9,
        temperature=0,
        top_p=0.5,
        reasoning={"effort": "low", "summary": "auto"},
        user="u",
        store=True,
        include=["reasoning.encrypted_content"],
        prompt_cache_key="k",
        metadata={"a": "b"},
        previous_response_id=None,
    )
    assert told == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "Hi"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0,
        "top_p": 0.5,
        "user": "u",
        "max_tokens": 9,
        "reasoning_effort": "low",
    }


def test_the_system_messages_at_the_start_are_one() -> None:
    items = [
        {"role": "developer", "content": "B"},
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "C"}]},
        {"role": "user", "content": "Hi"},
        {"role": "developer", "content": "D"},
    ]
    assert asked(items, instructions="A")["messages"] == [
        {"role": "system", "content": "A\n\nB\n\nC"},
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "D"},
    ]


def test_a_round_of_calls_and_results() -> None:
    said: dict[str, Any] = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Let me see.", "annotations": []}],
    }
    items: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "input_text", "text": "See"}, IMAGE]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        said,
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x":1}'},
        {"type": "function_call", "call_id": "b", "name": "g", "arguments": ""},
        {"type": "function_call_output", "call_id": "a", "output": [IMAGE]},
        {"type": "function_call_output", "call_id": "b", "output": "no"},
        {"role": "user", "content": "so?"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [IMAGE]},
    ]
    f = {"name": "f", "arguments": '{"x":1}'}
    calls = [
        {"id": "a", "type": "function", "function": f},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    last = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    assert asked(items)["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "See"}, SHOWN]},
        {"role": "assistant", "content": "Let me see.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a", "content": ""},
        {"role": "tool", "tool_call_id": "b", "content": "no"},
        {"role": "user", "content": [SHOWN]},
        {"role": "user", "content": "so?"},
        {"role": "assistant", "content": "", "tool_calls": last},
        {"role": "tool", "tool_call_id": "c", "content": ""},
        {"role": "user", "content": [SHOWN]},
    ]


def test_functions_are_kept_and_the_offer_of_the_web_is_not() -> None:
    tools = [
        {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": True},
        {"type": "web_search", "external_web_access": False},
        {"type": "function", "name": "g", "parameters": None},
    ]
    named = {"type": "function", "name": "f"}
    told = asked(tools=tools, tool_choice=named, parallel_tool_calls=False)
    f = {"name": "f", "parameters": SCHEMA, "description": "d", "strict": True}
    assert told["tools"] == [
        {"type": "function", "function": f},
        {"type": "function", "function": {"name": "g", "parameters": SCHEMA}},
    ]
    assert told["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert told["parallel_tool_calls"] is False
    assert asked(tools=tools, tool_choice="required")["tool_choice"] == "required"
    bare = asked(tools=tools[1:2], tool_choice="auto", parallel_tool_calls=True)
    assert bare.keys() == {"model", "messages"}


def test_a_format_is_kept() -> None:
    wanted = {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}
    told = asked(text={"format": wanted, "verbosity": "low"})["response_format"]
    schema = {"name": "n", "schema": SCHEMA, "strict": True}
    assert told == {"type": "json_schema", "json_schema": schema}
    plain = asked(text={"format": {"type": "json_object"}})
    assert plain["response_format"] == {"type": "json_object"}
    assert "response_format" not in asked(text={"format": {"type": "text"}})


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"background": True}, "background"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"tools": [{"type": "file_search"}]}, r"tools\[0\].*file_search"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
        ({"input": []}, "input is empty"),
        ({"input": [{"role": "robot", "content": ""}]}, r"input\[...\].*role|robot"),
        ({"input": [{"content": "x"}]}, r"input\[0\].*role"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, r"input\[0\].*item_reference"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            r"input\[0\].*input_file",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "x"}]}]},
            "file_id",
        ),
        ({"input": [{"role": "assistant", "content": [IMAGE]}]}, "only a user"),
    ],
)
def test_what_a_node_could_not_do_is_refused_by_its_name(more: dict[str, Any], named: str) -> None:
    with pytest.raises(UntranslatableError, match=named):
        asked(**more)


@given(st.binary(max_size=200))
def test_garbage_raises_the_own_error_only(data: bytes) -> None:
    with contextlib.suppress(UntranslatableError):
        responses_asked.translate(data, Node())
