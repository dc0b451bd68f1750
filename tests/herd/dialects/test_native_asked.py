"""Ollama's own routes said in OpenAI's words."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herd.dialects import native_asked
from herd.dialects.asking import Node, Question
from herd.dialects.errors import UntranslatableError

USER = {"role": "user", "content": "Hi"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}

SERVER = Node(ollama=False)

Asked = Callable[[bytes, Node], Question]


def said(asked: Asked, **body: Any) -> dict[str, Any]:
    question = asked(msgspec.json.encode({"model": "m", **body}), SERVER)
    told: dict[str, Any] = msgspec.json.decode(question.body)
    return told


def chat(**more: Any) -> dict[str, Any]:
    return said(native_asked.chat, **({"messages": [USER], "stream": False} | more))


def test_a_chat_streams_unless_told() -> None:
    told = said(native_asked.chat, messages=[USER])
    assert told == {
        "model": "m",
        "messages": [USER],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert chat() == {"model": "m", "messages": [USER]}


def test_options_of_sampling_are_kept_and_those_of_the_runner_are_not() -> None:
    sampling = {"temperature": 0, "top_p": 0.5, "top_k": 4, "seed": 7, "stop": ["X"]}
    more = {"num_predict": 9, "num_ctx": 4096, "num_gpu": 1, "min_p": None}
    told = chat(options=sampling | more, keep_alive="5m", truncate=True)
    assert told == {"model": "m", "messages": [USER], "max_tokens": 9, **sampling}
    assert "max_tokens" not in chat(options={"num_predict": -1})


def test_options_whose_names_or_bounds_differ_between_servers() -> None:
    assert chat(options={"top_k": -1})["top_k"] == 0, "MLX refuses what is below"
    told = chat(options={"repeat_penalty": 1.1})
    assert (told["repeat_penalty"], told["repetition_penalty"]) == (1.1, 1.1)
    assert "repetition_penalty" not in chat(options={"top_k": 3})


def test_whole_numbers_may_be_written_with_a_point() -> None:
    told = chat(options={"num_predict": 5.0, "seed": 7.0, "top_k": 40.0, "temperature": 1.0})
    assert msgspec.json.encode(told).endswith(
        b'"temperature":1.0,"seed":7,"top_k":40,"max_tokens":5}'
    )
    for odd in ("5", True, [5]):
        with pytest.raises(UntranslatableError, match="must be of type integer"):
            chat(options={"num_predict": odd})


def test_format_and_thinking() -> None:
    schema = {"name": "answer", "schema": SCHEMA, "strict": True}
    wanted = {"type": "json_schema", "json_schema": schema}
    assert chat(format=SCHEMA)["response_format"] == wanted
    assert chat(format="json")["response_format"] == {"type": "json_object"}
    assert "response_format" not in chat(format="")
    assert chat(think=False)["chat_template_kwargs"] == {"enable_thinking": False}
    assert chat(think="high")["reasoning_effort"] == "high"


def test_calls_and_results_find_each_other() -> None:
    def call(name: str, **more: str) -> dict[str, Any]:
        return {"function": {"name": name, "arguments": {"x": 1}}, **more}

    calls = [call("f"), call("g"), call("f"), call("h", id="own")]
    messages = [
        {"role": "assistant", "content": "", "thinking": "Hm", "tool_calls": calls},
        {"role": "tool", "content": "G", "tool_name": "g"},
        {"role": "tool", "content": "F"},
        {"role": "tool", "content": "H", "tool_call_id": "own"},
        {"role": "tool", "content": "F", "tool_name": "f"},
        {"role": "tool", "content": "?", "tool_name": "k"},
    ]
    first, *results = chat(messages=messages, tools=[TOOL])["messages"]
    assert [each["id"] for each in first["tool_calls"]] == ["call_1", "call_2", "call_3", "own"]
    assert first["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x":1}'}
    assert first["reasoning_content"] == "Hm"
    found = [each["tool_call_id"] for each in results]
    assert found == ["call_2", "call_1", "own", "call_3", "k"]
    assert chat(tools=[TOOL])["tools"] == [TOOL]
    bare = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": None}}]}
    assert chat(messages=[bare])["messages"][0]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_images_say_what_they_are() -> None:
    images = ["iVBORw0K", "/9j/4AAQ", "R0lGODdh", "UklGRiQA"]
    content = chat(messages=[USER | {"images": images}])["messages"][0]["content"]
    assert content[0] == {"type": "text", "text": "Hi"}
    kinds = [part["image_url"]["url"].partition(";")[0] for part in content[1:]]
    assert kinds == [f"data:image/{kind}" for kind in ("png", "jpeg", "gif", "webp")]
    assert content[1]["image_url"]["url"] == "data:image/png;base64,iVBORw0K"


def test_a_prompt_is_a_message() -> None:
    told = said(native_asked.generate, prompt="Hi", system="S", context=[], stream=False)
    assert told["messages"] == [{"role": "system", "content": "S"}, USER]


def test_texts_to_embed() -> None:
    told = said(native_asked.embed, input=["a", "b"], dimensions=8, truncate=True)
    assert told == {
        "model": "m",
        "input": ["a", "b"],
        "encoding_format": "float",
        "dimensions": 8,
    }
    assert said(native_asked.embeddings, prompt="a")["input"] == "a"


@pytest.mark.parametrize(
    ("asked", "body", "named"),
    [
        (native_asked.generate, {"prompt": "x", "raw": True}, "raw"),
        (native_asked.generate, {"prompt": "x", "template": "T"}, "template"),
        (native_asked.generate, {"prompt": "x", "context": [1]}, "context"),
        (native_asked.generate, {"prompt": "x", "suffix": "y"}, "suffix"),
        (native_asked.generate, {"keep_alive": 0}, "prompt is empty"),
        (native_asked.chat, {"messages": []}, "messages is empty"),
        (native_asked.chat, {"messages": [USER], "logprobs": True}, "logprobs"),
        (native_asked.chat, {"messages": [USER], "format": "xml"}, "format"),
        (native_asked.chat, {"messages": "x"}, "messages"),
        (native_asked.embed, {"input": []}, "input is empty"),
        (native_asked.embeddings, {"prompt": ""}, "prompt is empty"),
    ],
)
def test_what_cannot_be_had_is_refused_by_its_name(
    asked: Asked, body: dict[str, Any], named: str
) -> None:
    with pytest.raises(UntranslatableError, match=named):
        said(asked, **body)


@given(st.binary(max_size=200))
def test_garbage_raises_the_own_error_only(data: bytes) -> None:
    for asked in (
        native_asked.chat,
        native_asked.generate,
        native_asked.embed,
        native_asked.embeddings,
    ):
        with suppress(UntranslatableError):
            asked(data, SERVER)
