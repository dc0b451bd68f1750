"""Whatever a text says: it is read, or refused with the error that its caller expects."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from herd.agent.payload import parse_heartbeat
from herd.dialects import completions, messages_asked, refused, sse
from herd.dialects.asking import Asking, Node
from herd.dialects.errors import GarbledError, UntranslatableError
from herd.dialects.progress import Progress
from herd.http import needs, problems, rewriting
from herd.http.reading import reading_of, usage_of
from herd.http.translations import TRANSLATIONS, Translation
from herd.http.usage import Usage

KEYS = [
    "model",
    "messages",
    "role",
    "content",
    "text",
    "type",
    "tool_use",
    "tool_result",
    "tool_use_id",
    "id",
    "name",
    "input",
    "source",
    "data",
    "media_type",
    "tools",
    "input_schema",
    "tool_choice",
    "system",
    "stream",
    "max_tokens",
    "choices",
    "delta",
    "message",
    "tool_calls",
    "function",
    "arguments",
    "index",
    "finish_reason",
    "usage",
    "prompt_tokens",
    "completion_tokens",
    "error",
    "done",
    "done_reason",
    "eval_count",
    "load_duration",
    "status",
    "digest",
    "total",
    "completed",
    "reasoning_content",
    "thinking",
    "metadata",
    "tags",
    "fallback_models",
    "options",
    "num_ctx",
    "output_format",
    "schema",
    "stop_sequences",
]
VALUES = [
    *[
        "assistant",
        "user",
        "tool",
        "text",
        "image",
        "tool_use",
        "tool_result",
        "base64",
        "url",
        "stop",
        "length",
        "auto",
        "any",
    ],
    *[
        "tool_calls",
        "none",
        "json_schema",
        "response.completed",
        "message_stop",
        "success",
        "[",
        "{}",
    ],
    '{"a":1}',
    "\ud800",
]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(VALUES),
    st.text(max_size=5),
)
documents: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    ),
    max_leaves=25,
)


def written(document: object) -> bytes:
    return json.dumps(document).encode()


texts = st.one_of(documents.map(written), st.binary(max_size=60))


@st.composite
def cut(draw: st.DrawFn, lines: st.SearchStrategy[bytes]) -> list[bytes]:
    data = draw(lines)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=5)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


streams = cut(
    st.lists(st.one_of(texts, st.just(b"[DONE]")), max_size=5).map(
        lambda events: b"".join(b"data: %b\n\n" % event for event in events)
    )
)
line_streams = cut(st.lists(texts, max_size=5).map(lambda lines: b"\n".join([*lines, b""])))


def may(expected: type[Exception] | tuple[type[Exception], ...], call: Callable[[], object]) -> Any:
    """Return what a call returns, or None if it refuses as it may."""
    try:
        return call()
    except expected:
        return None


translations = st.sampled_from(list(TRANSLATIONS.values()))


@given(translations, texts)
def test_what_clients_ask_is_translated_or_refused(translation: Translation, body: bytes) -> None:
    for node in (Node(), Node(ollama=False)):
        told = may(UntranslatableError, lambda: translation.asked(body, node))  # noqa: B023 (at once)
        if told is not None:
            assert isinstance(json.loads(told.body), dict)
    may(UntranslatableError, lambda: messages_asked.estimate_tokens(body))


@given(translations, texts, texts)
def test_what_nodes_tell_is_translated_or_garbled(
    translation: Translation, asked: bytes, body: bytes
) -> None:
    if may(UntranslatableError, lambda: translation.asked(asked, Node())) is None:
        asked = b"{}"
    told = may(GarbledError, lambda: translation.whole(body, Asking("m", asked)))
    if told is not None:
        assert isinstance(json.loads(told), dict)
    may(GarbledError, lambda: completions.read(body))
    assert isinstance(refused.words(body), str)
    assert isinstance(problems.whole_error(500, body), str)
    assert isinstance(problems.short_error(500, body), str)


@given(translations, streams)
def test_streams_are_translated_or_garbled_the_same_in_any_pieces(
    translation: Translation, pieces: list[bytes]
) -> None:
    def translated(parts: list[bytes]) -> bytes | None:
        stream = translation.stream(Asking("m"))
        try:
            return b"".join([stream.feed(part) for part in parts])
        except GarbledError:
            return None

    assert translated(pieces) == translated([b"".join(pieces)])
    events = sse.Events()
    may(GarbledError, lambda: [events.feed(part) for part in pieces])


@given(
    st.sampled_from((b"text/event-stream", b"application/x-ndjson", b"application/json")),
    st.one_of(streams, line_streams),
)
def test_usage_is_read_of_anything_the_same_in_any_pieces(
    content_type: bytes, pieces: list[bytes]
) -> None:
    cut_up, at_once = reading_of(content_type), reading_of(content_type)
    for piece in pieces:
        cut_up.feed(piece)
    at_once.feed(b"".join(pieces))
    assert _reported(cut_up.usage()) == _reported(at_once.usage())
    last = [
        each.last_words("error", {"error": "x", "sequence_number": 0}) for each in (cut_up, at_once)
    ]
    assert last[0] == last[1]
    usage_of(content_type, b"".join(pieces))


def _reported(usage: Usage) -> Usage:
    """Leave out what is only counted: how often a line is empty is no matter of meaning."""
    counted = usage.source == "counted"
    return msgspec.structs.replace(usage, completion_tokens=0) if counted else usage


@given(line_streams)
def test_progress_is_read_of_anything(pieces: list[bytes]) -> None:
    progress = Progress()
    for piece in pieces:
        progress.feed(piece)
    progress.end()
    assert progress.completed_bytes >= 0
    assert progress.total_bytes >= 0


@given(texts)
def test_bodies_are_rewritten_or_left(body: bytes) -> None:
    for rewrite in (
        partial(rewriting.without_extras, body),
        partial(rewriting.with_model, body, "other"),
        partial(rewriting.with_context, body, 4096),
    ):
        told = may(problems.BadRequestError, rewrite)
        if told is not None and may(ValueError, lambda: json.loads(body)) is not None:
            json.loads(told)
    needs.needs_of(body)


@given(texts)
def test_heartbeats_are_taken_or_refused(body: bytes) -> None:
    may((ValueError, RecursionError), lambda: parse_heartbeat(body, "127.0.0.1"))
