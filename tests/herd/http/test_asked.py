"""Which model a body asks for: as Go reads it, and never with an error of our own."""

import json
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from herd.http.asked import Asked, read
from herd.http.problems import BadRequestError

KEYS = st.sampled_from(["model", "Model", "MODEL", "stream", "Stream", "user", "options", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
)


PAIRS = st.tuples(KEYS, VALUES) | st.sampled_from(
    [("model", "a"), ("MODEL", "b"), ("stream", True), ("Stream", False), ("model", None)]
)


def asked(body: bytes) -> Asked:
    return read(body, streams=True, kind="api.ChatRequest")


@given(st.binary(max_size=50) | st.text(max_size=50).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(BadRequestError):
        asked(body).model.encode()


@pytest.mark.parametrize(
    "kind", ["api.EmbedRequest", "api.EmbeddingRequest", "openai.EmbedRequest"]
)
def test_who_embeds_may_say_anything_of_streams(kind: str) -> None:
    """Ollama has no such field there, and so does not look at it."""
    assert read(b'{"model":"m","stream":"yes"}', streams=False, kind=kind) == Asked(
        "m", stream=False
    )
    with pytest.raises(BadRequestError, match=r"Embed(ding)?Request\.model"):
        read(b'{"model":5,"stream":"yes"}', streams=False, kind=kind)
    with pytest.raises(BadRequestError, match=r"ChatRequest\.stream of type bool"):
        read(b'{"model":"m","stream":"yes"}', streams=True, kind="api.ChatRequest")


def test_null_says_nothing() -> None:
    assert not asked(b" null\n").model


PICTURE = f'"images":["{"iVBORw0KGgo" * 10_000}"]'
"""So long that the body around it is read by its few quotes."""


@given(
    pairs=st.lists(PAIRS, max_size=5),
    escaped=st.booleans(),
    picture=st.sampled_from(["", PICTURE]),
)
@example(pairs=[("model", "a"), ("MODEL", "b")], escaped=False, picture=PICTURE)
@example(
    pairs=[("stream", False), ("model", "a"), ("Stream", True)], escaped=False, picture=PICTURE
)
@example(pairs=[("model", "a")], escaped=True, picture=PICTURE)
def test_pairs_are_read_as_go_reads_them(
    pairs: list[tuple[str, object]],
    escaped: bool,  # noqa: FBT001 (drawn)
    picture: str,
) -> None:
    told = [f"{json.dumps(k)}:{json.dumps(v)}" for k, v in pairs]
    body = "{" + ",".join([*told[:2], *filter(None, [picture]), *told[2:]]) + "}"
    if escaped:
        body = body.replace("model", "\\u006dodel")
    models = [v for k, v in pairs if k.casefold() == "model" and v is not None]
    streams = [v for k, v in pairs if k.casefold() == "stream" and v is not None]
    try:
        found = asked(body.encode())
    except BadRequestError:
        nan = "NaN" in body or "Infinity" in body
        assert (
            nan
            or any(not isinstance(v, str) for v in models)
            or any(not isinstance(v, bool) for v in streams)
        )
    else:
        model = models[-1] if models else ""
        assert found.model == str(model).encode("utf-8", "replace").decode()
        assert found.stream == (streams[-1] if streams else True)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"model":' * 100_000,
        b'{"model":"m","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"Model":"m","x":' + b"9" * 10_000 + b"}",
        b'{"model":"\xff"}',
        b'{"model":"m","x":"\\ud800"}',
        b'\xef\xbb\xbf{"model":"m"}',
        '{"model":"m"}'.encode("utf-16"),
    ],
)
def test_hostile_bodies_are_refused_or_read(body: bytes) -> None:
    with suppress(BadRequestError):
        assert asked(body).model == "m"


def test_a_refusal_never_quotes_the_body() -> None:
    for body in (b'{"model":"canary"', b'{"canary":', b'{"model":["canary"]}', b'"canary"'):
        with pytest.raises(BadRequestError) as refused:
            asked(body)
        assert "canary" not in refused.value.what


@pytest.mark.parametrize(
    "body",
    [
        rb'{"model":"m","prompt":"cut off \ud83d"}',
        rb'{"model":"m","options":5,"user":"\ud83d"}',
        rb'{"model":"m\ud83d"}',
    ],
)
def test_half_of_a_surrogate_pair_is_read_as_go_reads_it(body: bytes) -> None:
    found = asked(body)
    assert found.model.encode() in {b"m", b"m?"}
    assert found.user.encode() in {b"", b"?"}


@pytest.mark.parametrize("slow", ["", ',"Model":"m"'])
@pytest.mark.parametrize(
    ("extras", "fallbacks", "tags", "found"),
    [
        ('"fallback_models":["a","b:1"]', ("a", "b:1"), (), True),
        ('"metadata":{"tags":["x"],"user_id":"u"}', (), ("x",), True),
        ('"fallback_models":[],"metadata":{"tags":["x"]}', (), ("x",), True),
        ('"metadata":{"user_id":"u"}', (), (), False),
        ('"metadata":{"tags":"x"}', (), (), False),
        ('"metadata":{"tags":[1]}', (), (), False),
        ('"metadata":5', (), (), False),
        ('"fallback_models":null,"metadata":null', (), (), False),
        ('"Fallback_Models":["a"]', (), (), False),
    ],
)
def test_what_is_said_to_herd_alone_is_read(
    extras: str,
    fallbacks: tuple[str, ...],
    tags: tuple[str, ...],
    found: bool,  # noqa: FBT001 (drawn)
    slow: str,
) -> None:
    told = asked(f'{{"model":"m",{extras}{slow}}}'.encode())
    assert (told.fallbacks, told.tags, told.extras) == (fallbacks, tags, found)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('"a"', "fallback_models must be a list of model names"),
        ("[1]", "fallback_models must be a list of model names"),
        (json.dumps(["a"] * 17), "fallback_models may name 16 models at most"),
    ],
)
def test_a_list_that_is_none_is_refused(value: str, text: str) -> None:
    with pytest.raises(BadRequestError, match=text):
        asked(f'{{"model":"m","fallback_models":{value}}}'.encode())


CHAT, NATIVE, RESPONSES = (
    "openai.ChatCompletionRequest",
    "api.ChatRequest",
    "openai.ResponsesRequest",
)


@pytest.mark.parametrize(
    ("kind", "said", "most"),
    [
        (CHAT, "", 0),
        (CHAT, ',"max_tokens":7', 7),
        (CHAT, ',"max_tokens":7.0', 7),
        (CHAT, ',"max_tokens":null', 0),
        (CHAT, ',"max_tokens":-1', 0),
        (CHAT, ',"max_tokens":"7"', 0),
        (CHAT, ',"max_tokens":true', 0),
        (CHAT, ',"max_tokens":99999999999999999999', 0),
        (CHAT, ',"options":{"num_predict":7}', 0),
        ("anthropic.MessagesRequest", ',"max_tokens":7', 7),
        (RESPONSES, ',"max_output_tokens":7,"max_tokens":5', 7),
        (NATIVE, ',"options":{"num_predict":7,"num_ctx":2048}', 7),
        (NATIVE, ',"options":{"num_predict":7.0}', 7),
        (NATIVE, ',"options":{"num_predict":-1}', 0),
        (NATIVE, ',"options":{"num_predict":{}}', 0),
        (NATIVE, ',"max_tokens":7', 0),
    ],
)
@pytest.mark.parametrize("odd", ["", ',"Model":null', ',"model":"m"'])
def test_how_long_an_answer_may_be(kind: str, said: str, most: int, odd: str) -> None:
    found = read(f'{{"model":"m"{said}{odd}}}'.encode(), streams=True, kind=kind)
    assert (found.model, found.most_tokens) == ("m", most)


@pytest.mark.parametrize("odd", ["7.5", '"7"', "1e400", "9" * 5000, "[]", "true"])
def test_a_limit_that_is_odd_changes_nothing_else(odd: str) -> None:
    long = f'{{"role":"user","content":"{"word " * 400}"}}'
    body = f'{{"model":"m","messages":[{long},{long}],"max_tokens":%s}}'
    said, plain = (read((body % each).encode(), streams=True, kind=CHAT) for each in (odd, "null"))
    assert said == plain
    assert said.prefixes
