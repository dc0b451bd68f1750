"""What is read out of answers, however their bytes are cut into pieces."""

import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herd.http.reading import KEPT_BYTES, Json, Ndjson, Reading, Sse, reading_of, usage_of
from herd.http.usage import Usage
from tests.herd.http.fleet import NDJSON, SSE

USAGE_EVENT = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}\n\n'


def named(kind: str, **more: object) -> bytes:
    return f"event: {kind}\ndata: ".encode() + msgspec.json.encode({"type": kind, **more}) + b"\n\n"


MESSAGES = (
    named("message_start", message={"usage": {"input_tokens": 11}}),
    named("content_block_delta", delta={"text": "Hi"}),
    named(
        "message_delta",
        delta={"stop_reason": "end_turn"},
        usage={"input_tokens": 11, "output_tokens": 5},
    ),
    named("message_stop"),
)
RESPONSES = (
    named("response.created", response={"status": "queued"}),
    named("response.output_text.delta", delta="Hi"),
    named(
        "response.completed",
        response={"status": "completed", "usage": {"input_tokens": 6, "output_tokens": 2}},
    ),
)


LLAMA_CPP = (  # the prompt is told at the start alone, without what the cache had of it
    named(
        "message_start",
        message={"usage": {"cache_read_input_tokens": 31, "input_tokens": 1, "output_tokens": 0}},
    ),
    named("content_block_delta", delta={"text": "Hi"}),
    named("message_delta", delta={"stop_reason": "max_tokens"}, usage={"output_tokens": 3}),
    named("message_stop"),
)


def in_pieces(reading: Reading, data: bytes, cuts: list[int]) -> Usage:
    at = 0
    for cut in sorted({*cuts, len(data)}):
        if at < cut <= len(data):
            reading.feed(data[at:cut])
            at = cut
    return reading.usage()


cuts = st.lists(st.integers(min_value=1, max_value=500))


@given(cuts)
def test_ndjson_reads_the_same_in_any_pieces(cuts: list[int]) -> None:
    reading = Ndjson()
    assert in_pieces(reading, b"".join(NDJSON), cuts) == Usage(
        whole=True,
        prompt_tokens=7,
        completion_tokens=2,
        load_s=1.5,
        source="reported",
        finish="stop",
    )
    assert reading.tokens == 3


@given(cuts, st.sampled_from([b"\n", b"\r\n", b" \n\n"]))
def test_blank_lines_are_no_lines(cuts: list[int], blank: bytes) -> None:
    told = blank + b"".join(line + blank for line in NDJSON)
    reading, plain = Ndjson(), Ndjson()
    assert in_pieces(reading, told, cuts) == in_pieces(plain, b"".join(NDJSON), [])
    assert reading.tokens == plain.tokens
    assert reading.last_event() == plain.last_event() == plain.usage()
    assert reading.last_words("", {"error": "x"}) == b'{"error":"x"}\n'


@given(cuts, st.sampled_from([b"\n", b"\r\n"]))
def test_events_read_the_same_in_any_pieces(cuts: list[int], end: bytes) -> None:
    told = b"".join([*SSE[:3], USAGE_EVENT, SSE[3]]).replace(b"\n", end)
    assert in_pieces(Sse(), told, cuts) == Usage(
        whole=True, prompt_tokens=9, completion_tokens=4, source="reported", finish="stop"
    )


@given(cuts, st.sampled_from([b"\n", b"\r\n"]), st.integers(0, 2000))
def test_a_prompt_that_is_told_at_the_start_is_kept(cuts: list[int], end: bytes, more: int) -> None:
    deltas = LLAMA_CPP[1] * more
    told = b"".join([*LLAMA_CPP[:2], deltas, *LLAMA_CPP[2:]]).replace(b"\n", end)
    assert in_pieces(Sse(), told, cuts) == Usage(
        whole=True,
        prompt_tokens=32,
        completion_tokens=3,
        source="reported",
        finish="max_tokens",
        cached_tokens=31,
    )


def test_a_prompt_in_one_piece_is_all_of_it() -> None:
    usage = {"cache_read_input_tokens": 31, "input_tokens": 1, "output_tokens": 3}
    for text in ("Hi", "Hi" * KEPT_BYTES):
        body = msgspec.json.encode({"content": text, "stop_reason": "end_turn", "usage": usage})
        found = usage_of(b"application/json", body)
        assert (found.prompt_tokens, found.completion_tokens, found.cached_tokens) == (32, 3, 31)


@given(cuts)
def test_events_are_counted_the_same_in_any_pieces(cuts: list[int]) -> None:
    assert in_pieces(Sse(), b"".join(SSE), cuts) == Usage(
        whole=True, completion_tokens=3, source="counted", finish="stop"
    )


@given(st.lists(st.integers(min_value=1, max_value=200_000)))
def test_a_large_body_is_read_at_its_end(cuts: list[int]) -> None:
    numbers = b",".join([b"0.123456"] * 20_000)
    embed = b'{"embeddings":[[' + numbers + b']],"load_duration":2000000000,"prompt_eval_count":5}'
    assert len(embed) > 2 * KEPT_BYTES
    assert in_pieces(Json(), embed, cuts) == Usage(
        whole=True, prompt_tokens=5, load_s=2.0, source="reported"
    )
    openai = b'{"data":[' + numbers + b'],"usage":{"prompt_tokens":8,"total_tokens":8}}'
    assert in_pieces(Json(), openai, cuts) == Usage(whole=True, prompt_tokens=8, source="reported")


@given(st.lists(st.integers(min_value=1, max_value=200_000)))
def test_a_large_body_is_whole_if_all_is_closed_in_it(cuts: list[int]) -> None:
    vector = b"[" + b",".join([b"0.123456"] * 20_000) + b"]"
    inside = b'{"data":[{"embedding":' + vector + b"}"
    answer = b'{"embeddings":[' + vector + b"," + vector + b"]}"
    for body in (answer, b" [" + answer + b"]", answer + b" \r\n"):
        assert in_pieces(Json(), body, cuts).whole
    cut = (answer[:-3], answer[:-2], answer[:-1], answer[: len(vector) + 15], b"[" + answer, inside)
    for body in cut:
        assert not in_pieces(Json(), body, cuts).whole


@pytest.mark.parametrize("size", [KEPT_BYTES // 7, 300_000])
def test_a_last_line_with_a_long_context_is_whole(size: int) -> None:
    last = (
        b'{"model":"m","done":true,"done_reason":"stop","context":['
        + b",".join([b"12345"] * size)
        + b'],"total_duration":5,"prompt_eval_count":3,"eval_count":4}\n'
    )
    usage = in_pieces(Ndjson(), NDJSON[0] + last, list(range(0, 3_000_000, 65_536)))
    assert (usage.whole, usage.prompt_tokens, usage.completion_tokens) == (True, 3, 4)


def test_figures_inside_a_text_are_no_figures() -> None:
    text = msgspec.json.encode('"eval_count":99,"usage":{"prompt_tokens":99}')
    body = b'{"a":' + b'"' + b"x" * 200_000 + b'","eval_count":4,"message":' + text + b"}"
    assert in_pieces(Json(), body, []).completion_tokens == 4


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"model":"m","done":true,"done_reason":"load"}', Usage(whole=True, finish="load")),
        (
            b'{"choices":[{"finish_reason":"length"}],"usage":{"prompt_tokens":1}}',
            Usage(whole=True, prompt_tokens=1, source="reported", finish="length"),
        ),
        (b"not json", Usage(whole=False)),
        (b'{"x":' + b"[" * 30_000, Usage(whole=True)),
        (b'{"eval_count":"many"}', Usage(whole=True)),
        (b"", Usage(whole=False)),
        (b'{"done":true', Usage(whole=False)),
    ],
)
def test_a_small_body_is_read_whole(body: bytes, usage: Usage) -> None:
    assert in_pieces(Json(), body, []) == usage


@pytest.mark.parametrize(
    ("reading", "data", "whole", "failed"),
    [
        (Ndjson, b"", False, False),
        (Ndjson, b"".join(NDJSON[:2]), False, False),
        (Ndjson, NDJSON[2].rstrip(), True, False),
        (Ndjson, NDJSON[0] + b'{"error":"x"}\n', False, True),
        (Ndjson, NDJSON[0] + b'{"done":true,"error":null}\n', True, False),
        (Sse, b"", False, False),
        (Sse, b"".join(SSE[:3]), False, False),
        (Sse, b'data: {"choices":[{"delta":{"content":"hi"}}],"error":null}\n\n', False, False),
        (Sse, b'data: {"choices":[],"error": null}\n\n' + SSE[3], True, False),
        (Sse, SSE[0] + b": ping\n\n" + SSE[3], True, False),
        (Sse, b"".join(b"event: message\n" + event for event in SSE), True, False),
        (Sse, b"".join(b"event: message\n" + event for event in SSE[:3]), False, False),
        (Sse, SSE[0] + b'data: {"error":{"message":"x"}}\n\n', False, True),
        (Sse, SSE[0] + b'data: {"error":{"message":"x"}}\n\ndata: [DONE]\n\n', False, True),
        (Sse, SSE[0] + b'data: {"error":{"code":500}}\n\ndata: [DONE]\n\n', False, True),
        (Sse, b'data: {"error":{"message":"x","code":400}}\n\ndata: [DONE]\n\n', True, False),
        (Sse, b'data: {"error":{"message":"x","code":400}}\n\n', False, True),
        (Sse, SSE[0] + b'data: {"choices":[],"error":""}\n\ndata: [DONE]\n\n', True, False),
        (Sse, SSE[0] + b'data: {"choices":[{"delta":{"content":"[DONE]"}}]}\n\n', False, False),
    ],
)
def test_only_what_says_so_is_whole(
    reading: type[Ndjson | Sse], data: bytes, *, whole: bool, failed: bool
) -> None:
    usage = in_pieces(reading(), data, [])
    assert (usage.whole, usage.failed) == (whole, failed)


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        (b"application/x-ndjson", Ndjson),
        (b"Text/Event-Stream; charset=utf-8", Sse),
        (b"application/json; charset=utf-8", Json),
        (b"", Json),
    ],
)
def test_the_type_of_an_answer_chooses_its_reader(content_type: bytes, kind: type) -> None:
    assert type(reading_of(content_type)) is kind


@pytest.mark.parametrize("kind", [Sse, Json])
def test_only_the_end_of_a_long_answer_is_kept(kind: type[Sse | Json]) -> None:
    reading = kind()
    tracemalloc.start()
    try:
        for number in range(100_000):
            reading.feed(b"data: %d\n\n" % number)
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 12 * KEPT_BYTES


def test_events_are_counted_to_the_end_of_a_long_stream() -> None:
    reading = Sse()
    for _ in range(10_000):
        reading.feed(SSE[0])
    reading.feed(b"".join(SSE))
    assert reading.usage().completion_tokens == 10_003


@pytest.mark.parametrize("digits", [17, 400, 5000])
def test_a_number_that_cannot_be_meant_counts_for_nothing(digits: int) -> None:
    number = b"9" * digits
    told = b'"load_duration":%b,"prompt_eval_count":%b,"eval_count":%b,"done":true}'
    for body in (b"{", b'{"x":"' + b"y" * KEPT_BYTES + b'",'):
        usage = in_pieces(Json(), body + told % (number, number, number), [])
        assert (usage.prompt_tokens, usage.completion_tokens, usage.load_s) == (0, 0, 0.0)
    events = b'data: {"choices":[],"usage":{"prompt_tokens":%b,"completion_tokens":%b}}\n\n'
    stream = in_pieces(Sse(), events % (number, number) + b"data: [DONE]\n\n", [])
    assert stream.prompt_tokens == 0
    assert stream.completion_tokens < 2


# Events with names


@given(cuts)
def test_messages_read_the_same_in_any_pieces(cuts: list[int]) -> None:
    assert in_pieces(Sse(), b"".join(MESSAGES), cuts) == Usage(
        whole=True, prompt_tokens=11, completion_tokens=5, source="reported", finish="end_turn"
    )


@given(cuts, st.sampled_from(["completed", "incomplete"]))
def test_responses_read_the_same_in_any_pieces(cuts: list[int], status: str) -> None:
    data = b"".join(RESPONSES).replace(b"completed", status.encode())
    assert in_pieces(Sse(), data, cuts) == Usage(
        whole=True, prompt_tokens=6, completion_tokens=2, source="reported", finish=status
    )


@pytest.mark.parametrize("events", [MESSAGES, RESPONSES])
def test_events_with_names_that_stop_early_are_not_whole(events: tuple[bytes, ...]) -> None:
    for count in range(1, len(events)):
        reading = Sse()
        for event in events[:count]:
            reading.feed(event)
        assert not reading.usage().whole


@pytest.mark.parametrize("begun", [b"", b": ping\n\n", b": pi", b"event: message_sta", SSE[0][:9]])
@pytest.mark.parametrize("name", ["", "error"])
def test_an_event_that_is_open_ends_before_the_last_words(begun: bytes, name: str) -> None:
    reading = Sse()
    reading.feed(begun)
    named = b"event: error\n" if name else b""
    before, found, words = reading.last_words(name, {"error": "x"}).partition(named + b"data: ")
    assert found
    assert (begun + before)[-2:] in {b"", b"\n\n"}
    assert words == b'{"error":"x"}\n\n'


@pytest.mark.parametrize("told", [b'"sequence_number":41', b'"sequence_number": 41'])
def test_the_last_words_are_numbered_as_the_events_before(told: bytes) -> None:
    reading = Sse()
    reading.feed(b'event: response.created\ndata: {"type":"response.created",%b}\n\n' % told)
    words = reading.last_words("error", {"type": "error", "sequence_number": 0})
    assert words == b'event: error\ndata: {"type":"error","sequence_number":42}\n\n'


def test_a_stream_of_names_that_ends_in_an_error_has_failed() -> None:
    for last in (named("error", error={"message": "x"}), named("response.failed", response={})):
        reading = Sse()
        reading.feed(MESSAGES[0] + last)
        assert reading.usage() == Usage(whole=False, failed=True, completion_tokens=1)


def test_a_last_event_that_is_larger_than_what_is_kept() -> None:
    big = b'{"type":"response.completed","response":{"text":"' + b"x" * 3 * KEPT_BYTES + b'"}}'
    reading = Sse()
    reading.feed(b"event: response.completed\ndata: " + big[:1000])
    for at in range(1000, len(big), 10_000):
        reading.feed(big[at : at + 10_000])
    reading.feed(b"\n\n")
    assert reading.usage().whole
    assert reading.usage().source == "counted"


def test_answers_in_one_piece_of_both_kinds() -> None:
    usage = b'"usage":{"input_tokens":3,"output_tokens":4}}'
    message = b'{"type":"message","stop_reason":"max_tokens",' + usage
    response = b'{"object":"response","status":"completed",' + usage
    told = Usage(whole=True, prompt_tokens=3, completion_tokens=4, source="reported")
    for body, finish in ((message, "max_tokens"), (response, "")):
        found = usage_of(b"application/json", body)
        assert found == msgspec.structs.replace(told, finish=finish)
        large = body[:-1] + b',"x":"' + b"y" * KEPT_BYTES + b'"}'
        tail = usage_of(b"application/json", b'{"x":"' + b"y" * KEPT_BYTES + b'",' + body[1:])
        assert (tail.prompt_tokens, tail.completion_tokens) == (3, 4)
        assert usage_of(b"application/json", large).whole


@pytest.mark.parametrize(
    "more",
    [
        b'"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":7}}',
        b'"usage":{"prompt_tokens":9,"completion_tokens":4},"timings":{"cache_n":7,"prompt_n":2}',
    ],
)
def test_what_a_node_says_it_had_cached_is_read(more: bytes) -> None:
    body = b'{"choices":[],' + more + b"}"
    assert usage_of(b"application/json", body).cached_tokens == 7
    stream = b"data: " + body + b"\n\ndata: [DONE]\n\n"
    assert usage_of(b"text/event-stream", stream).cached_tokens == 7
    assert usage_of(b"application/json", b'{"usage":{"prompt_tokens":9}}').cached_tokens == 0
