"""Chat completions said as `/v1/responses`."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herd.dialects import refused, responses_told
from herd.dialects.asking import Asking
from herd.dialects.errors import GarbledError
from tests.herd.dialects.test_messages import STREAM, events

ASKING = Asking("M", b'{"model":"M","input":"Hi","instructions":"Be short.","temperature":0}')
ITEM = "response.output_item"
THOUGHT = "response.reasoning_summary"
CALL = "response.function_call_arguments"
KINDS = [
    *["response.created", "response.in_progress"],
    *[f"{ITEM}.added", f"{THOUGHT}_part.added", f"{THOUGHT}_text.delta"],
    *[f"{THOUGHT}_text.done", f"{THOUGHT}_part.done", f"{ITEM}.done"],
    *[f"{ITEM}.added", "response.content_part.added", "response.output_text.delta"],
    *["response.output_text.done", "response.content_part.done", f"{ITEM}.done"],
    *[f"{ITEM}.added", f"{CALL}.delta", f"{CALL}.done", f"{ITEM}.done"] * 2,
    "response.completed",
]
OUTPUT: list[dict[str, Any]] = [
    {
        "id": "rs_7_0",
        "type": "reasoning",
        "status": "completed",
        "summary": [{"type": "summary_text", "text": "Hm"}],
    },
    {
        "id": "msg_7_1",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Grüße", "annotations": [], "logprobs": []}],
    },
    {
        "id": "fc_7_2",
        "type": "function_call",
        "status": "completed",
        "call_id": "a",
        "name": "f",
        "arguments": '{"x":1}',
    },
    {
        "id": "fc_7_3",
        "type": "function_call",
        "status": "completed",
        "call_id": "b",
        "name": "g",
        "arguments": "{}",
    },
]
USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 13,
}


def begun() -> responses_told.Stream:
    """Return a stream that has said its first word."""
    stream = responses_told.Stream(ASKING)
    stream.feed(b'data: {"id":"chatcmpl-7","choices":[{"delta":{"content":"Hi"}}]}\n\n')
    return stream


def test_a_call_of_no_words_has_no_arguments_but_json() -> None:
    call = b'{"index":0,"id":"a","function":{"name":"f","arguments":""}}'
    stream = responses_told.Stream(ASKING)
    told = stream.feed(b'data: {"id":"x","choices":[{"delta":{"tool_calls":[%b]}}]}\n\n' % call)
    assert b'"name":"f","arguments":""' in told
    told = stream.feed(b'data: {"choices":[{"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n')
    assert told.count(b'"arguments":"{}"') == 3
    body = b'{"choices":[{"message":{"tool_calls":[%b]},"finish_reason":"tool_calls"}]}' % call
    assert b'"arguments":"{}"' in responses_told.whole(body, ASKING)


def test_a_stream_has_its_events_in_order() -> None:
    out = responses_told.Stream(ASKING).feed(STREAM)
    told = events(out)
    assert [each["type"] for each in told] == KINDS
    assert [f"event: {kind}\n" in out.decode() for kind in KINDS] == [True] * len(KINDS)
    assert [each["sequence_number"] for each in told] == list(range(len(KINDS)))
    assert [each["delta"] for each in told if "delta" in each] == ["Hm", "Grüße", '{"x":1}', "{}"]
    placed = [each["output_index"] for each in told if "output_index" in each]
    assert placed == [0] * 6 + [1] * 6 + [2] * 4 + [3] * 4
    assert [each["item"] for each in told if each["type"] == f"{ITEM}.done"] == OUTPUT
    last = told[-1]["response"]
    assert (last["status"], last["output"], last["usage"]) == ("completed", OUTPUT, USAGE)
    assert told[0]["response"] == last | {"status": "in_progress", "output": [], "usage": None}


def test_the_answer_repeats_what_was_asked() -> None:
    told = events(responses_told.Stream(ASKING).feed(STREAM))[-1]["response"]
    assert (told["model"], told["instructions"], told["temperature"]) == ("M", "Be short.", 0)
    assert (told["tools"], told["tool_choice"], told["parallel_tool_calls"]) == ([], "auto", True)
    assert told["store"] is False
    assert "input" not in told


@given(st.lists(st.integers(0, len(STREAM))))
def test_any_pieces_give_the_same(cuts: list[int]) -> None:
    stream, at, out = responses_told.Stream(ASKING), 0, b""
    for cut in (*sorted(cuts), len(STREAM)):
        out += stream.feed(STREAM[at:cut])
        at = cut
    assert out == responses_told.Stream(ASKING).feed(STREAM)


@pytest.mark.parametrize(
    ("finish", "why"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_what_was_cut_short_is_incomplete(finish: str, why: str) -> None:
    body = b'data: {"choices":[{"delta":{},"finish_reason":"%b"}]}\n\ndata: [DONE]\n\n'
    told = events(begun().feed(body % finish.encode()))
    assert told[-1]["type"] == "response.incomplete"
    response = told[-1]["response"]
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": why})
    assert told[-2]["item"]["status"] == response["output"][0]["status"] == "incomplete"
    assert response["usage"] is None


def test_an_error_after_the_first_word_fails_the_response() -> None:
    told = events(begun().feed(b'data: {"error":{"message":"boom"}}\n\ndata: [DONE]\n\n'))
    (failed,) = told
    assert failed["type"] == "response.failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": "boom"}
    assert failed["response"]["output"][0]["content"][0]["text"] == "Hi"


@pytest.mark.parametrize(
    "stream",
    [
        b'data: {"error":"boom"}\n\n',
        b"data: [DONE]\n\n",
        b'data: {"choices":[]}\n\ndata: [DONE]\n\n',
        b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{"}}]}}]}\n\n',
    ],
)
def test_what_is_no_answer_raises(stream: bytes) -> None:
    with pytest.raises(GarbledError):
        responses_told.Stream(ASKING).feed(stream)


def test_no_more_is_kept_than_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses_told, "SAID_CHARS", 3)
    stream = begun()
    with pytest.raises(GarbledError, match="too large"):
        stream.feed(b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n')


def test_an_answer_in_one_piece() -> None:
    body = (
        b'{"id":"chatcmpl-7","created":5,"choices":[{"message":{"reasoning":"Hm","content":"Gr'
        b'\xc3\xbc\xc3\x9fe","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\\"x\\"'
        b':1}"}},{"id":"b","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens"'
        b':6},"completion_tokens_details":{"reasoning_tokens":2}}}'
    )
    told: dict[str, Any] = msgspec.json.decode(responses_told.whole(body, ASKING))
    assert (told["status"], told["created_at"], told["output"]) == ("completed", 5, OUTPUT)
    assert told["usage"] == USAGE | {
        "input_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 2},
    }


CHUNKS = [
    b'{"choices":[{"delta":{"content":"x"}}]}',
    b'{"choices":[{"delta":{"content":"","refusal":"no"}}]}',
    b'{"choices":[{"delta":{"reasoning":"x"}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f"}}]}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"id":null,"function":null}]}}]}',
    b'{"choices":[{"delta":null,"finish_reason":"stop"}]}',
    b'{"choices":[],"usage":{"prompt_tokens":-1e300,"completion_tokens":null}}',
    b'{"error":{"message":"boom"}}',
    b'{"choices":null}',
    b"[DONE]",
]
LAST = {"response.completed", "response.failed"}


@given(st.lists(st.sampled_from(CHUNKS), max_size=12))
def test_whatever_comes_the_events_are_in_order(chunks: list[bytes]) -> None:
    stream, told = responses_told.Stream(ASKING), list[dict[str, Any]]()
    try:
        for chunk in chunks:
            told += events(stream.feed(b"data: " + chunk + b"\n\n"))
    except GarbledError:
        assert not told or told[-1]["type"] not in LAST
    assert [each["sequence_number"] for each in told] == list(range(len(told)))
    kinds = [each["type"] for each in told]
    assert kinds[:2] == ["response.created", "response.in_progress"][: len(kinds)]
    assert not LAST & set(kinds[:-1])
    if "response.completed" in kinds:
        assert kinds.count(f"{ITEM}.added") == kinds.count(f"{ITEM}.done")


@given(st.binary(max_size=200))
def test_garbage_raises_the_own_error_only(data: bytes) -> None:
    for told in (
        lambda: responses_told.Stream(ASKING).feed(b"data: " + data + b"\n\n"),
        lambda: responses_told.whole(data, ASKING),
        lambda: refused.words(data),
    ):
        try:
            told()
        except GarbledError:
            continue


@pytest.mark.parametrize("more", [b'"metadata":{"a":%b}' % (b"1" * 5_000), b'"user":"\xff"'])
def test_what_a_translation_passes_over_spoils_no_answer(more: bytes) -> None:
    """It was not looked at when the request was translated."""
    asking = Asking("M", b'{"model":"M","input":"Hi",%b}' % more)
    answer = b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}'
    told = msgspec.json.decode(responses_told.whole(answer, asking))
    assert (told["status"], told["metadata"], told["user"]) == ("completed", {}, None)
