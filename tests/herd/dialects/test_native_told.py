"""Answers of OpenAI's API said in the words of Ollama's own routes."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herd.dialects import messages_told, native_told, refused, responses_told
from herd.dialects.asking import Asking
from herd.dialects.errors import GarbledError
from tests.herd.dialects.test_messages import STREAM
from tests.herd.dialects.test_responses_told import CHUNKS

DATE = "2026-11-26T00:00:0{}.000000Z"
TIMED = b'{"choices":[],"usage":null,"timings":{"prompt_ms":1.5,"predicted_ms":3.0}}'
WHOLE = (
    b'{"choices":[{"message":{"content":"Hi","reasoning_content":"Hm","tool_calls":[{"id":"a",'
    b'"function":{"name":"f","arguments":"{\\"x\\":1}"}}]},"finish_reason":"tool_calls"}],'
    b'"usage":{"prompt_tokens":2,"completion_tokens":3}}'
)


def asking() -> Asking:
    """Return a request whose clock goes on by a second each time that it is read."""
    now = itertools.count(101)
    return Asking("M", b"{}", 100.0, 1_795_651_200.0, lambda: float(next(now)))


def still() -> Asking:
    return Asking("M")


def lines(out: bytes) -> list[dict[str, Any]]:
    assert not out or out.endswith(b"\n")
    return [msgspec.json.decode(line) for line in out.splitlines()]


def test_a_stream_is_lines_and_calls_come_whole() -> None:
    told = lines(native_told.Chat(asking()).feed(STREAM))
    assert all(each["model"] == "M" for each in told)
    call = {"index": 0, "name": "f", "arguments": {"x": 1}}
    other: dict[str, Any] = {"index": 1, "name": "g", "arguments": {}}
    said = {"role": "assistant", "content": ""}
    assert [each["message"] for each in told] == [
        said | {"thinking": "Hm"},
        said | {"content": "Grüße"},
        said | {"tool_calls": [{"id": "a", "function": call}]},
        said | {"tool_calls": [{"id": "b", "function": other}]},
        said,
    ]
    assert [each["done"] for each in told] == [False] * 4 + [True]
    last = told[-1]
    assert (last["done_reason"], last["prompt_eval_count"], last["eval_count"]) == ("stop", 9, 4)


@pytest.mark.parametrize("end", ["\u0085", "\u2028", "\u2029", "\r", "\n", "\v", "\f", "\x1c"])
def test_no_text_ends_a_line(end: str) -> None:
    """Ollama's package reads lines by `str.splitlines`, which knows more ends than others do."""
    said = f"a{end}b"
    data = b'data: {"choices":[{"delta":{"content":%b}}]}\n\n' % msgspec.json.encode(said)
    told = native_told.Chat(asking()).feed(data).decode()
    (line,) = told.splitlines()
    assert msgspec.json.decode(line)["message"]["content"] == said
    for stream in (messages_told.Stream(asking()), responses_told.Stream(asking())):
        for line in stream.feed(data).decode().splitlines():
            assert line.startswith(("event: ", "data: ")) or not line


def test_times_are_measured_where_the_node_tells_none() -> None:
    told = lines(native_told.Chat(asking()).feed(STREAM))
    assert [each["created_at"] for each in told] == [DATE.format(at) for at in (2, 3, 4, 5, 7)]
    last = told[-1]
    assert last["prompt_eval_duration"] == 1_000_000_000  # the first reading: the first word
    assert last["total_duration"] == 6_000_000_000
    assert last["eval_duration"] == 5_000_000_000
    assert "load_duration" not in last


def test_times_of_the_node_go_before_those_of_herd() -> None:
    timed = STREAM.replace(b"data: [DONE]", b"data: " + TIMED + b"\n\ndata: [DONE]")
    last = lines(native_told.Chat(asking()).feed(timed))[-1]
    assert (last["prompt_eval_duration"], last["eval_duration"]) == (1_500_000, 3_000_000)
    assert last["eval_count"] == 4


def test_a_prompt_has_a_response() -> None:
    told = lines(native_told.Generate(still()).feed(STREAM))
    assert "".join(each["response"] for each in told) == "Grüße"
    assert told[0]["thinking"] == "Hm"
    assert all("message" not in each for each in told)


@pytest.mark.parametrize(
    ("finish", "reason"), [("stop", "stop"), ("length", "length"), ("tool_calls", "stop")]
)
def test_why_it_ended(finish: str, reason: str) -> None:
    stream = f'data: {{"choices":[{{"delta":{{}},"finish_reason":"{finish}"}}]}}\n\n'
    (last,) = lines(native_told.Chat(still()).feed(stream.encode() + b"data: [DONE]\n\n"))
    assert (last["done"], last["done_reason"]) == (True, reason)
    assert "eval_count" not in last


@given(st.lists(st.integers(0, len(STREAM))))
def test_any_pieces_give_the_same(cuts: list[int]) -> None:
    stream, at, out = native_told.Chat(still()), 0, b""
    for cut in (*sorted(cuts), len(STREAM)):
        out += stream.feed(STREAM[at:cut])
        at = cut
    assert out == native_told.Chat(still()).feed(STREAM)


@given(st.lists(st.sampled_from(CHUNKS), max_size=12))
def test_whatever_comes_a_line_that_ends_it_is_the_last(chunks: list[bytes]) -> None:
    stream, told = native_told.Chat(still()), list[dict[str, Any]]()
    try:
        for chunk in chunks:
            told += lines(stream.feed(b"data: " + chunk + b"\n\n"))
    except GarbledError:
        assert not any(each.get("done") for each in told)
    assert not any(each.get("done") or "error" in each for each in told[:-1])


def test_an_error_after_the_first_word_is_a_line_and_before_it_raises() -> None:
    error = b'data: {"error":{"message":"boom"}}\n\ndata: [DONE]\n\n'
    stream = native_told.Chat(still())
    stream.feed(b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n')
    assert lines(stream.feed(error)) == [{"error": "boom"}]
    with pytest.raises(GarbledError, match="boom"):
        native_told.Chat(still()).feed(error)


@pytest.mark.parametrize(
    "chunk",
    [
        b'{"choices":[]}',
        b'{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{"}}]}}]}',
    ],
)
def test_what_is_no_answer_raises(chunk: bytes) -> None:
    with pytest.raises(GarbledError):
        native_told.Chat(still()).feed(b"data: " + chunk + b"\n\ndata: [DONE]\n\n")


def test_no_more_is_kept_than_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_told, "CALLS_CHARS", 3)
    with pytest.raises(GarbledError, match="too large"):
        native_told.Chat(still()).feed(STREAM)


def test_answers_in_one_piece() -> None:
    told = msgspec.json.decode(native_told.chat(WHOLE, asking()))
    call = {"id": "a", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}}
    assert told == {
        "model": "M",
        "created_at": DATE.format(1),
        "message": {
            "role": "assistant",
            "content": "Hi",
            "thinking": "Hm",
            "tool_calls": [call],
        },
        "done": True,
        "done_reason": "stop",
        "total_duration": 2_000_000_000,
        "prompt_eval_count": 2,
        "eval_count": 3,
    }
    assert msgspec.json.decode(native_told.generate(WHOLE, still()))["response"] == "Hi"


def test_vectors_come_in_order_and_of_length_one() -> None:
    body = (
        b'{"data":[{"embedding":[0,2],"index":1},{"embedding":[0.6,0.8],"index":0},'
        b'{"embedding":[0,0],"index":2}],"usage":{"prompt_tokens":5}}'
    )
    assert msgspec.json.decode(native_told.embed(body, asking())) == {
        "model": "M",
        "embeddings": [[0.6, 0.8], [0, 1], [0, 0]],
        "total_duration": 1_000_000_000,
        "prompt_eval_count": 5,
    }
    one = b'{"data":[{"embedding":[0,2]}]}'
    assert msgspec.json.decode(native_told.embeddings(one, still())) == {"embedding": [0, 2]}
    with pytest.raises(GarbledError):
        native_told.embeddings(b'{"data":[]}', still())


@given(st.binary(max_size=200))
def test_garbage_raises_the_own_error_only(data: bytes) -> None:
    for told in (
        lambda: native_told.Chat(still()).feed(b"data: " + data + b"\n\n"),
        lambda: native_told.chat(data, still()),
        lambda: native_told.embed(data, still()),
        lambda: native_told.embeddings(data, still()),
        lambda: refused.words(data),
    ):
        try:
            told()
        except GarbledError:
            continue
