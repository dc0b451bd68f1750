import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herd.simulator import asks
from herd.simulator.asks import AskError, duration_s


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, None),
        (30, 30),
        (0.5, 0.5),
        (-1, -1),
        (0, 0),
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        (".5m", 30),
        ("-1m", -60),
        ("+2s", 2),
        ("300ms", 0.3),
        ("100µs", 1e-4),
        ("0", 0),
    ],
)
def test_durations_as_go_reads_them(said: Any, seconds: float | None) -> None:
    assert duration_s(said) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("5", 'time: missing unit in duration "5"'),
        ("", 'time: invalid duration ""'),
        ("soon", 'time: invalid duration "soon"'),
        ("5m3", 'time: invalid duration "5m3"'),
    ],
)
def test_what_is_no_duration(said: str, error: str) -> None:
    with pytest.raises(AskError) as failed:
        duration_s(said)
    assert (failed.value.status, failed.value.text) == (400, error)


def test_native_bodies() -> None:
    asked = asks.chat(
        b'{"model":"m","messages":[{"role":"user","content":"12345678"}],"keep_alive":"1m",'
        b'"options":{"num_ctx":512,"num_predict":-1,"temperature":0.5},"tools":[],"think":false}'
    )
    assert (asked.model, asked.prompt_tokens, asked.stream) == ("m", 12, True)
    assert (asked.num_ctx, asked.most_tokens, asked.keep_alive_s) == (512, 0, 60)
    assert (asked.tools, asked.think, asked.json) == (False, False, False)
    assert asks.generate(b'{"model":"m","system":"s"}').prompt_tokens == 0
    assert asks.generate(b'{"model":"m","prompt":"p","format":{"type":"object"}}').json
    assert not asks.generate(b'{"model":"m","prompt":"p","format":""}').json
    assert asks.chat(b'{"model":"m","messages":[{"role":"user","content":""}]}').prompt_tokens == 11
    assert asks.embed(b'{"model":"m","input":["a",""]}').inputs == ("a", "")
    assert asks.embed(b'{"model":"m","input":[""]}').inputs == ()
    assert asks.embeddings(b'{"model":"m"}').prompt_tokens == 0


def test_compatible_bodies() -> None:
    asked = asks.chat_completion(
        b'{"model":"m","messages":[{"role":"assistant","content":null},{"role":"user","content":'
        b'[{"type":"text","text":"12345678"},{"type":"image_url","image_url":{"url":"data:"}}]}]}'
    )
    assert (asked.prompt_tokens, asked.stream, asked.usage) == (12 + 256, False, False)
    assert asks.chat_completion(
        b'{"model":"m","messages":[{}],"response_format":{"type":"json_schema"}}'
    ).json
    assert asks.completion(b'{"model":"m"}').prompt_tokens == 1


def test_names_of_fields_in_any_case_as_in_go() -> None:
    assert asks.chat(b'{"Model":"m","MESSAGES":[{"role":"user","content":"x"}]}').text == "x"
    assert asks.generate(b'{"model":"a","model":"b"}').model == "b"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"  ", "missing request body"),
        (b'{"model":', "unexpected EOF"),
        (
            b"[]",
            "json: cannot unmarshal array into Go value of type api.ChatRequest of type object",
        ),
        (
            b'{"options":{"num_ctx":"x"}}',
            "cannot unmarshal string into Go struct field ChatRequest.options.num_ctx of type int",
        ),
        (b'{"model":"m","messages":[1]}', "cannot unmarshal number into"),
        (b"{model}", "invalid character 'm' looking for beginning of value"),
    ],
)
def test_bodies_that_cannot_be_read(body: bytes, error: str) -> None:
    with pytest.raises(AskError) as failed:
        asks.chat(body)
    assert failed.value.status == 400
    assert error in failed.value.text


def test_what_is_no_utf_8_is_replaced_as_in_go() -> None:
    assert asks.chat(b'{"model":"\xff"}').model == "\N{REPLACEMENT CHARACTER}"


def test_refused_options() -> None:
    with pytest.raises(AskError, match="encoding_format"):
        asks.openai_embedding(b'{"model":"m","input":"x","encoding_format":"hex"}')
    with pytest.raises(AskError, match="max_tokens"):
        asks.completion(b'{"model":"m","prompt":"x","max_tokens":-1}')
    with pytest.raises(AskError, match="model is required"):
        asks.chat_completion(b'{"messages":[{"role":"user","content":"x"}]}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["model", "messages", "input", "prompt", "options", "keep_alive", "Model"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
READERS = [
    asks.chat,
    asks.generate,
    asks.embed,
    asks.embeddings,
    asks.chat_completion,
    asks.completion,
    asks.openai_embedding,
]


@given(st.sampled_from(READERS), JSON.map(lambda value: json.dumps(value).encode()) | st.binary())
def test_any_body_is_read_or_refused_with_a_400(reader: Any, body: bytes) -> None:
    try:
        reader(body)
    except AskError as error:
        assert error.status == 400  # noqa: PT017 (what is not an AskError must get out)
