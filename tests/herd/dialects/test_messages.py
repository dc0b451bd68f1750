"""`/v1/messages` said as chat completions, and their answers said back."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herd.dialects import messages_asked, messages_told
from herd.dialects.asking import Asking, Node
from herd.dialects.errors import GarbledError, UntranslatableError
from herd.http.reading import usage_of

ASKING = Asking("m")
OLLAMA = Node()
THOUGHTS = [
    {"type": "thinking", "thinking": "Hm", "signature": "EqQB"},
    {"type": "redacted_thinking", "data": "EmwK"},
    {"type": "thinking", "thinking": "hm", "signature": "unsigned"},
]
MESSAGE = {"role": "user", "content": "Hi"}
STREAM = (
    b'data: {"id":"chatcmpl-7","choices":[{"delta":{"role":"assistant","content":null}}]}\r\n\r\n'
    b': a comment\n\ndata: {"choices":[{"delta":{"reasoning_content":"Hm"}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"Gr\xc3\xbc\xc3\x9fe"}}]}\n\n'
    b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}}]}\n\n'  # noqa: E501 (one line on the wire)
    b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"x\\":1}"}}]}}]}\n\n'  # noqa: E501 (one line on the wire)
    b'data: {"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{}"}}]}}]}\n\n'  # noqa: E501 (one line on the wire)
    b'data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}\n\ndata: [DONE]\n\n'
)
PDF = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
}
KINDS = [
    "message_start",
    "ping",
    *["content_block_start", *["content_block_delta"] * 2, "content_block_stop"],
    *["content_block_start", "content_block_delta", "content_block_stop"] * 3,
    "message_delta",
    "message_stop",
]


def asked(**more: Any) -> dict[str, Any]:
    body = {"model": "m", "max_tokens": 8, "messages": [MESSAGE], **more}
    question = messages_asked.translate(msgspec.json.encode(body), OLLAMA)
    told: dict[str, Any] = msgspec.json.decode(question.body)
    return told


def events(out: bytes) -> list[dict[str, Any]]:
    return [msgspec.json.decode(each.partition(b"data: ")[2]) for each in out.split(b"\n\n")[:-1]]


def test_a_plain_request_keeps_its_options() -> None:
    told = asked(system="Be short.", stream=True, stop_sequences=["X"], temperature=0, top_k=3)
    assert told == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be short."}, MESSAGE],
        "max_tokens": 8,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0,
        "top_k": 3,
        "stop": ["X"],
    }


def test_tools_their_calls_and_results_are_kept() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AA=="}
    image = {"type": "image", "source": source}
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": "no", "is_error": True}
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "See"}, image]},
        {"role": "assistant", "content": [*THOUGHTS, use]},
        {"role": "user", "content": [{"type": "text", "text": "so?"}, result]},
    ]
    tool = {"name": "f", "description": "d", "input_schema": {"type": "object"}}
    told = asked(messages=turns, tools=[tool], tool_choice={"type": "tool", "name": "f"})
    shown = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    function = {"name": "f", "arguments": '{"x":1}'}
    assert told["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "See"}, shown]},
        {
            "role": "assistant",
            "content": "",
            "reasoning": "Hm\nhm",
            "tool_calls": [{"id": "a", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "Error: no"},
        {"role": "user", "content": "so?"},
    ]
    assert told["tools"][0]["function"]["parameters"] == {"type": "object"}
    assert told["tool_choice"] == {"type": "function", "function": {"name": "f"}}


def test_null_is_as_good_as_absent() -> None:
    use = {"type": "tool_use", "id": "a", "name": "f", "input": None}
    result = {"type": "tool_result", "tool_use_id": "a", "content": None, "is_error": None}
    turns = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    choice = {"type": "any", "disable_parallel_tool_use": None}
    told = asked(messages=turns, tools=[{"name": "f", "input_schema": None}], tool_choice=choice)
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert told["messages"] == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": ""},
    ]
    assert told["tool_choice"] == "required"
    assert "parallel_tool_calls" not in told


@pytest.mark.parametrize("strict", [True, False, None])
def test_a_tool_is_as_strict_as_it_was(strict: bool | None) -> None:  # noqa: FBT001 (a case)
    told = asked(tools=[{"name": "f", "input_schema": {}, "strict": strict}])
    assert told["tools"][0]["function"].get("strict") is strict


def test_a_schema_is_kept_by_both_of_its_names() -> None:
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    for more in ({"output_config": {"format": wanted}}, {"output_format": wanted}):
        told = asked(**more)["response_format"]["json_schema"]
        assert told["schema"] == {"type": "object"}
    assert "response_format" not in asked(output_format=None, output_config={"effort": "low"})


UNTRANSLATABLE: list[dict[str, Any]] = [
    {"max_tokens": 0},
    {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    {"tools": [{"type": "computer_20250124", "name": "computer"}]},
    {"tools": [{"type": "mcp_toolset", "mcp_server_name": "x"}]},
    {"tools": [{"input_schema": {}}]},
    {"mcp_servers": [{"type": "url", "url": "https://x.test/sse", "name": "x"}]},
    {"container": {"skills": []}},
    {"messages": [{"role": "user", "content": [{"type": "document"}]}]},
    {"messages": [{"role": "user", "content": [PDF]}]},
    {"messages": [{"role": "robot", "content": ""}]},
]


@pytest.mark.parametrize("more", UNTRANSLATABLE)
def test_what_a_node_could_not_do_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(UntranslatableError):
        asked(**more)


def test_what_can_be_read_becomes_text() -> None:
    text = {"type": "text", "media_type": "text/plain", "data": "It is."}
    parts = {"type": "content", "content": [{"type": "text", "text": "Four."}]}
    found = {"title": "T", "source": "https://x.test", "content": [{"type": "text", "text": "Yes"}]}
    shown = [
        {"type": "document", "source": text, "title": "A", "citations": {"enabled": True}},
        {"type": "document", "source": parts},
        {"type": "search_result", **found},
        {"type": "tool_reference", "tool_name": "f"},
    ]
    said = "A\nIt is.\nFour.\nT\nhttps://x.test\nYes\nThere is a tool f."
    assert asked(messages=[{"role": "user", "content": shown}])["messages"][0]["content"] == said
    result = {"type": "tool_result", "tool_use_id": "a", "content": shown}
    told = asked(messages=[{"role": "user", "content": [result]}])["messages"]
    assert told == [{"role": "tool", "tool_call_id": "a", "content": said}]


def test_a_system_prompt_in_blocks_loses_the_line_that_no_cache_survives() -> None:
    billing = "x-anthropic-billing-header: cc_version=2.1.177; cc_entrypoint=cli; cch=36ee5;"
    cached = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    blocks = [{"type": "text", "text": text} | cached for text in (billing, "A", "B")]
    assert asked(system=blocks)["messages"][0] == {"role": "system", "content": "A\nB"}


def test_tools_without_a_schema_get_one() -> None:
    named = [
        ("bash_20250124", "bash"),
        ("text_editor_20250728", "str_replace_based_edit_tool"),
        ("memory_20250818", "memory"),
    ]
    tools = [{"type": kind, "name": name} for kind, name in named]
    for tool, (_, name) in zip(asked(tools=tools)["tools"], named, strict=True):
        assert tool["function"]["name"] == name
        assert "command" in tool["function"]["parameters"]["properties"]


def test_what_is_left_out_is_named() -> None:
    body = {"model": "m", "max_tokens": 8, "messages": [MESSAGE]}
    edits = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    for more, left_out in (({}, ()), ({"context_management": edits}, ("context_management",))):
        question = messages_asked.translate(msgspec.json.encode(body | more), OLLAMA)
        assert question.left_out == left_out


@pytest.mark.parametrize(
    ("wanted", "thoughts"),
    [
        (None, ["Hm"]),
        ({"type": "enabled", "budget_tokens": 1024}, ["Hm"]),
        ({"type": "adaptive", "display": "omitted"}, [""]),
        ({"type": "disabled"}, []),
    ],
)
def test_thoughts_are_shown_as_wanted(wanted: object, thoughts: list[str]) -> None:
    asking = Asking("m", msgspec.json.encode({"thinking": wanted}))
    body = b'{"choices":[{"message":{"reasoning":"Hm","content":"Hi"},"finish_reason":"stop"}]}'
    told = msgspec.json.decode(messages_told.whole(body, asking))["content"]
    assert [each["thinking"] for each in told[:-1]] == thoughts
    assert [each["signature"] for each in told[:-1]] == ["unsigned"] * len(thoughts)
    streamed = events(messages_told.Stream(asking).feed(STREAM))
    deltas = [each["delta"] for each in streamed if each["type"] == "content_block_delta"]
    signed = [each["type"] for each in deltas].index("text_delta")
    assert ["".join(each.get("thinking", "") for each in deltas[:signed])] == (thoughts or [""])
    assert [each["type"] for each in deltas[:signed]].count("signature_delta") == len(thoughts)


def test_a_stream_has_its_events_in_order() -> None:
    told = events(messages_told.Stream(ASKING).feed(STREAM))
    assert [each["type"] for each in told] == KINDS
    assert [each["delta"] for each in told if each["type"] == "content_block_delta"] == [
        {"type": "thinking_delta", "thinking": "Hm"},
        {"type": "signature_delta", "signature": "unsigned"},
        {"type": "text_delta", "text": "Grüße"},
        {"type": "input_json_delta", "partial_json": '{"x":1}'},
        {"type": "input_json_delta", "partial_json": "{}"},
    ]
    assert told[-2]["delta"]["stop_reason"] == "tool_use"
    assert told[-2]["usage"] == {"input_tokens": 9, "output_tokens": 4}


@given(st.lists(st.integers(0, len(STREAM))))
def test_any_pieces_give_the_same(cuts: list[int]) -> None:
    stream, at, out = messages_told.Stream(ASKING), 0, b""
    for cut in (*sorted(cuts), len(STREAM)):
        out += stream.feed(STREAM[at:cut])
        at = cut
    assert out == messages_told.Stream(ASKING).feed(STREAM)


def test_an_error_in_a_stream_is_an_error() -> None:
    stream = messages_told.Stream(ASKING)
    stream.feed(STREAM[: STREAM.index(b"data: ", 9)])
    told = events(stream.feed(b'data: {"error":{"message":"boom"}}\n\ndata: [DONE]\n\n'))
    error = {"type": "api_error", "message": "boom"}
    assert told[-1] == {"type": "error", "error": error}


def test_an_error_before_anything_was_said_lets_another_node_try() -> None:
    with pytest.raises(GarbledError, match="boom"):
        messages_told.Stream(ASKING).feed(b'data: {"error":{"message":"boom"}}\n\n')


def test_an_end_without_a_reason_is_no_end() -> None:
    with pytest.raises(GarbledError):
        messages_told.Stream(ASKING).feed(b'data: {"choices":[]}\n\ndata: [DONE]\n\n')


END = {"stop_reason": "end_turn", "stop_sequence": None}


@pytest.mark.parametrize(
    ("said", "finish", "told"),
    [
        ('"stop_reason":"###"', "stop", {"stop_reason": "stop_sequence", "stop_sequence": "###"}),
        ('"matched_stop":"Ü"', "stop", {"stop_reason": "stop_sequence", "stop_sequence": "Ü"}),
        ('"stop_reason":null', "stop", END),
        ('"stop_reason":128009', "stop", END),
        ('"stop_reason":["###"]', "stop", END),
        ('"matched_stop":"</s>"', "stop", END),
        ('"stop_reason":"###"', "length", END | {"stop_reason": "max_tokens"}),
        ('"index":0', "stop", END),
    ],
)
def test_the_text_that_ended_it_is_told_where_the_node_says_which(
    said: str, finish: str, told: dict[str, object]
) -> None:
    asking = Asking("M", msgspec.json.encode({"stop_sequences": ["Ü", "###"]}))
    end = f'"finish_reason":"{finish}",{said}'
    body = f'{{"choices":[{{"message":{{"content":"Hi"}},{end}}}]}}'.encode()
    answer = msgspec.json.decode(messages_told.whole(body, asking))
    assert {name: answer[name] for name in told} == told
    stream = f'data: {{"choices":[{{"delta":{{"content":"Hi"}},{end}}}]}}\n\ndata: [DONE]\n\n'
    streamed = events(messages_told.Stream(asking).feed(stream.encode()))
    assert streamed[-2]["delta"] == told


def test_a_llama_cpp_that_is_verbose_says_which_text_ended_it() -> None:
    asking = Asking("M", b'{"stop_sequences":["###"]}')
    verbose = b'"__verbose":{"stop_type":"word","stopping_word":"###"}'
    stream = messages_told.Stream(asking)
    stream.feed(b'data: {"choices":[{"delta":{"content":"Hi"}}],"__verbose":{"stop":false}}\n\n')
    last = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],%b}\n\ndata: [DONE]\n\n'
    assert events(stream.feed(last % verbose))[-2]["delta"]["stop_sequence"] == "###"
    body = b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],%b}' % verbose
    assert msgspec.json.decode(messages_told.whole(body, asking))["stop_sequence"] == "###"


def test_a_call_is_no_end_by_a_text() -> None:
    asking = Asking("M", b'{"stop_sequences":["###"]}')
    call = b'{"id":"a","function":{"name":"f","arguments":"{}"}}'
    end = b'"finish_reason":"stop","stop_reason":"###"'
    body = b'{"choices":[{"message":{"tool_calls":[%b]},%b}]}' % (call, end)
    told = msgspec.json.decode(messages_told.whole(body, asking))
    assert (told["stop_reason"], told["stop_sequence"]) == ("tool_use", None)


def test_an_answer_in_one_piece() -> None:
    body = (
        b'{"id":"chatcmpl-1","choices":[{"message":{"content":"Hi"},"finish_reason":"length"}],'
        b'"usage":{"prompt_tokens":2,"completion_tokens":3}}'
    )
    told = msgspec.json.decode(messages_told.whole(body, Asking("M")))
    assert told["content"] == [{"type": "text", "text": "Hi"}]
    assert (told["model"], told["stop_reason"]) == ("M", "max_tokens")
    assert told["usage"] == {"input_tokens": 2, "output_tokens": 3}


@pytest.mark.parametrize(
    ("cached", "told"),
    [
        ({"cached_tokens": 7}, {"input_tokens": 2, "cache_read_input_tokens": 7}),
        ({"cached_tokens": 70}, {"input_tokens": 0, "cache_read_input_tokens": 9}),
        ({"cached_tokens": 0}, {"input_tokens": 9}),
        (None, {"input_tokens": 9}),
    ],
)
def test_what_a_node_had_in_its_cache_is_counted_apart(
    cached: dict[str, int] | None, told: dict[str, int]
) -> None:
    counted = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": cached}
    choices = [{"message": {"content": "Hi"}, "finish_reason": "stop"}]
    body = msgspec.json.encode({"choices": choices, "usage": counted})
    answer = messages_told.whole(body, ASKING)
    assert msgspec.json.decode(answer)["usage"] == {"output_tokens": 4, **told}
    read = usage_of(b"application/json", answer)
    assert (read.prompt_tokens, read.cached_tokens) == (9, told.get("cache_read_input_tokens", 0))


@given(st.binary(max_size=200))
def test_garbage_raises_the_own_errors_only(data: bytes) -> None:
    for told in (
        lambda: messages_told.Stream(ASKING).feed(b"data: " + data + b"\n\n"),
        lambda: messages_told.whole(data, ASKING),
        lambda: messages_asked.translate(data, Node()),
        lambda: messages_asked.estimate_tokens(data),
    ):
        try:
            told()
        except (GarbledError, UntranslatableError):
            continue
