"""Calls of tools, in whatever pieces and order they come, and whatever the model wrote in them."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herd.dialects import calls as calls_module
from herd.dialects import messages_told, native_told, responses_told
from herd.dialects.asking import Asking
from herd.dialects.calls import Calls
from herd.dialects.completions import Function, ToolCall
from herd.dialects.errors import GarbledError

Piece = dict[str, Any]
Call = tuple[str, str]
"""Its name, and its arguments as the model wrote them."""

arguments = st.one_of(
    st.just(""), st.dictionaries(st.text(), st.integers() | st.text()).map(json.dumps)
)
some = st.lists(arguments, min_size=1, max_size=4).map(
    lambda texts: [(f"f{at}", text) for at, text in enumerate(texts)]
)


def pieces_of(index: int, call: Call, cuts: list[int], *, named: bool) -> list[Piece]:
    """Return the pieces of a call: its name first, then its arguments."""
    name, text = call
    ident = {"id": f"c{index}"} if named else {}
    found: list[Piece] = [{"index": index, **ident, "function": {"name": name, "arguments": ""}}]
    for cut in (*cuts, len(text)):
        if text[:cut]:
            found.append({"index": index, "function": {"arguments": text[:cut]}})
        text = text[cut:]
    return found


def stream(deltas: list[list[Piece]], finish: str = "tool_calls") -> bytes:
    """Return a whole stream of chat completions."""
    choices = [{"delta": {"tool_calls": delta}} for delta in deltas]
    chunks: list[dict[str, Any]] = [{"id": "chatcmpl-1", "choices": [it]} for it in choices]
    chunks.append({"choices": [{"delta": {}, "finish_reason": finish}]})
    return b"".join(b"data: %b\n\n" % json.dumps(c).encode() for c in chunks) + b"data: [DONE]\n\n"


def answer(*made: Call, finish: str = "tool_calls") -> bytes:
    """Return the same in one piece."""
    told = [{"id": "a", "function": {"name": n, "arguments": text}} for n, text in made]
    choice = {"message": {"content": None, "tool_calls": told}, "finish_reason": finish}
    return json.dumps({"id": "chatcmpl-1", "choices": [choice]}).encode()


def read(out: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in out.split(b"\n") if line.startswith(b"data: ")]


def in_messages(data: bytes) -> list[Call]:
    made: list[Call] = []
    open_block = -1
    for event in read(messages_told.Stream(Asking("m")).feed(data)):
        match event["type"]:
            case "content_block_start":
                assert open_block < 0
                open_block = event["index"]
                assert open_block == len(made)
                made.append((event["content_block"]["name"], ""))
            case "content_block_delta":
                assert event["index"] == open_block
                made[-1] = (made[-1][0], made[-1][1] + event["delta"]["partial_json"])
            case "content_block_stop":
                open_block = -1
            case _:
                continue
    assert open_block < 0
    return made


def in_responses(data: bytes) -> list[Call]:
    events = read(responses_told.Stream(Asking("m")).feed(data))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return [(item["name"], item["arguments"]) for item in events[-1]["response"]["output"]]


def in_chat(data: bytes) -> list[Call]:
    told = [json.loads(line) for line in native_told.Chat(Asking("m")).feed(data).splitlines()]
    found = [call for each in told for call in each["message"].get("tool_calls", [])]
    assert [call["function"]["index"] for call in found] == list(range(len(found)))
    return [(it["function"]["name"], json.dumps(it["function"]["arguments"])) for it in found]


@given(some, st.data())
def test_pieces_of_calls_at_once_may_come_mixed(made: list[Call], data: st.DataObject) -> None:
    named = data.draw(st.booleans())
    cuts = st.lists(st.integers(1, 9), max_size=4)
    waiting = [pieces_of(at, call, data.draw(cuts), named=named) for at, call in enumerate(made)]
    deltas: list[list[Piece]] = [[]]
    begun = 0
    while any(waiting):
        ready = [at for at, rest in enumerate(waiting) if rest and at <= begun]
        at = data.draw(st.sampled_from(ready))
        begun = max(begun, at + 1)
        deltas[-1].append(waiting[at].pop(0))
        if data.draw(st.booleans()):
            deltas.append([])
    mixed = stream(deltas)
    assert in_messages(mixed) == made
    assert in_responses(mixed) == [(name, text or "{}") for name, text in made]
    assert in_chat(mixed) == [(name, json.dumps(json.loads(text or "{}"))) for name, text in made]


def test_a_call_that_ends_before_the_next_begins_is_told_as_it_comes() -> None:
    calls = Calls()
    for index in range(3):
        for piece in pieces_of(index, ("f", '{"x":1}'), [1, 2], named=True):
            told = calls.take([msgspec.convert(piece, ToolCall)])
            assert [begins for _, begins in told] == ["name" in piece["function"]]
    assert not calls.rest()


@pytest.mark.parametrize("ids", ["aab", "axb", "a b"])
def test_calls_of_one_index_are_told_apart_by_names_and_ids(ids: str) -> None:
    pieces = [
        {"index": 0, "id": ids[0], "function": {"name": "f", "arguments": '{"x":'}},
        {"index": 0, "id": ids[1].strip(), "function": {"arguments": "1}"}},
        {"index": 0, "id": ids[2], "function": {"name": "g", "arguments": "{}"}},
    ]
    data = stream([[piece] for piece in pieces])
    assert in_messages(data) == in_responses(data) == [("f", '{"x":1}'), ("g", "{}")]


def test_a_call_goes_not_on_after_its_end() -> None:
    first, more = ToolCall(0, "a", Function("f", "{}")), ToolCall(0, None, Function(None, " "))
    for last in (ToolCall(1, "b", Function("g", "")), None):
        calls = Calls()
        calls.take([first, *([last] if last else [])])
        if last is None:
            calls.rest()
        assert not calls.take([more])
        with pytest.raises(GarbledError, match="after its end"):
            calls.take([ToolCall(0, None, Function(None, "{"))])


def test_what_waited_is_told_in_two_pieces() -> None:
    """However many there were: the loop of a front stands still meanwhile."""
    calls = Calls()
    calls.take([ToolCall(0, "a", Function("f", "{")), ToolCall(1, "b", Function("g", "{"))])
    for _ in range(100):
        assert not calls.take([ToolCall(1, None, Function(None, " "))])
    told = [(piece.arguments, begins) for piece, begins in calls.rest()]
    assert told == [("{", True), (" " * 100, False)]


def test_no_more_waits_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "HELD_CHARS", 10)
    calls = Calls()
    calls.take([ToolCall(0, "a", Function("f", "{")), ToolCall(1, "b", Function("g", "12345"))])
    with pytest.raises(GarbledError, match="too large"):
        calls.take([ToolCall(1, "b", Function(None, "123456"))])


# What the model wrote is no JSON, or was cut by its length


@pytest.mark.parametrize("text", ['{"x":', '["x"]', "x", "{}}", "nul"])
def test_arguments_that_are_no_object_are_put_into_one(text: str) -> None:
    """Nor is it the node's fault: it answered as it was asked to."""
    told = {"INVALID_JSON": text}
    data = stream([pieces_of(0, ("f", text), [], named=True)])
    assert in_messages(data) == in_responses(data) == [("f", text)]
    assert in_chat(data) == [("f", json.dumps(told))]
    (block,) = json.loads(messages_told.whole(answer(("f", text)), Asking("m")))["content"]
    assert (block["type"], block["input"]) == ("tool_use", told)
    (item,) = json.loads(responses_told.whole(answer(("f", text)), Asking("m")))["output"]
    assert item["arguments"] == text
    message = json.loads(native_told.chat(answer(("f", text)), Asking("m")))["message"]
    assert message["tool_calls"][0]["function"]["arguments"] == told


@pytest.mark.parametrize("text", ["", '{"x":', '{"x":{}'])
def test_a_call_that_was_cut_by_its_length_says_so(text: str) -> None:
    made = [("f", "{}"), ("g", text)]
    deltas = [pieces_of(at, call, [], named=True) for at, call in enumerate(made)]
    data, whole = stream(deltas, "length"), answer(*made, finish="length")
    events = read(messages_told.Stream(Asking("m")).feed(data))
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"
    told = json.loads(messages_told.whole(whole, Asking("m")))
    assert told["stop_reason"] == "max_tokens"
    assert [block["input"] for block in told["content"]] == [
        {},
        {"INVALID_JSON": text} if text else {},
    ]
    streamed = read(responses_told.Stream(Asking("m")).feed(data))
    done = [event["item"] for event in streamed if event["type"].endswith("item.done")]
    for response in (
        streamed[-1]["response"],
        json.loads(responses_told.whole(whole, Asking("m"))),
    ):
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        last = response["output"][-1]
        assert (last["status"], last["arguments"]) == ("incomplete", text)
    assert streamed[-1]["response"]["output"] == done
    lines = native_told.Chat(Asking("m")).feed(data).splitlines()
    assert json.loads(lines[-1])["done_reason"] == "length"
    assert in_chat(data) == [("f", "{}")]
    said = json.loads(native_told.chat(whole, Asking("m")))
    assert said["done_reason"] == "length"
    assert [call["function"]["name"] for call in said["message"]["tool_calls"]] == ["f"]


@pytest.mark.parametrize("text", ["", '{"comm', '{"command":["ls"'])
def test_a_call_of_a_shell_that_was_cut_has_no_command(text: str) -> None:
    asking = Asking("m", b'{"tools":[{"type":"local_shell"}]}')
    data = stream([pieces_of(0, ("local_shell", text), [], named=True)], "length")
    events = read(responses_told.Stream(asking).feed(data))
    whole = answer(("local_shell", text), finish="length")
    for response in (events[-1]["response"], json.loads(responses_told.whole(whole, asking))):
        (item,) = response["output"]
        assert (item["type"], item["status"]) == ("local_shell_call", "incomplete")
        assert item["action"]["command"] == []


def test_calls_without_ids_get_some_that_no_other_answer_has() -> None:
    def ident(answer_id: str) -> str:
        data = stream([[{"index": 0, "function": {"name": "f"}}]])
        data = data.replace(b"chatcmpl-1", answer_id.encode())
        return str(read(messages_told.Stream(Asking("m")).feed(data))[2]["content_block"]["id"])

    assert ident("chatcmpl-1").startswith("toolu_")
    assert ident("chatcmpl-1") != ident("chatcmpl-2")


def test_arguments_may_be_an_object_at_once() -> None:
    data = stream([[{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": [1]}}}]])
    assert in_messages(data) == in_responses(data) == [("f", '{"x":[1]}')]
    assert in_chat(data) == [("f", '{"x": [1]}')]
