"""What herd changes in a body is one field; every other byte stays."""

import json
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herd.http.asked import read
from herd.http.members import members
from herd.http.rewriting import staying, with_context, with_model, without_extras

TEXT = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(TEXT, VALUES, max_size=4)
LAYOUTS = st.sampled_from(
    [
        json.dumps,
        partial(json.dumps, indent=2),
        partial(json.dumps, separators=(",", ":")),
        partial(json.dumps, ensure_ascii=False),
    ]
)


@given(DOCUMENTS, LAYOUTS)
def test_members_are_where_they_say(
    document: dict[str, object], layout: Callable[[object], str]
) -> None:
    text = layout(document).encode()
    found = list(members(b" \n" + text))
    assert [member.key for member in found] == list(document)
    for member, value in zip(found, document.values(), strict=True):
        assert json.loads((b" \n" + text)[member.value : member.ends]) == value


@pytest.mark.parametrize(
    ("body", "becomes"),
    [
        ('{"model":"a"}', '{"options":{"num_ctx":8192},"model":"a"}'),
        (" {}", ' {"options":{"num_ctx":8192}}'),
        (
            '{"model":"a", "options": {"seed": 1} }',
            '{"model":"a", "options": {"num_ctx":8192,"seed": 1} }',
        ),
        ('{"options":{ },"model":"a"}', '{"options":{"num_ctx":8192 },"model":"a"}'),
        ('{"options": null ,"model":"a"}', '{"options": {"num_ctx":8192} ,"model":"a"}'),
        ('{"Options":{"num_ctx":null}}', '{"Options":{"num_ctx":8192}}'),
        (
            '{"options":{"num_ctx":9},"OPTIONS":{}}',
            '{"options":{"num_ctx":8192},"OPTIONS":{"num_ctx":8192}}',
        ),
        ('{"options":[1],"model":"a"}', None),  # the node says what is wrong with it
    ],
)
def test_a_context_is_put_in_where_there_is_none(body: str, becomes: str | None) -> None:
    assert with_context(body.encode(), 8192).decode() == (body if becomes is None else becomes)


@given(DOCUMENTS, LAYOUTS, st.integers(0, 4), st.lists(TEXT, max_size=2), st.booleans())
def test_extras_go_and_the_rest_stays(
    document: dict[str, object],
    layout: Callable[[object], str],
    at: int,
    tags: list[str],
    more: bool,  # noqa: FBT001 (drawn)
) -> None:
    pairs = [(key, value) for key, value in document.items() if key != "metadata"]
    metadata: dict[str, object] = {"tags": tags, **({"user_id": "x"} if more else {})}
    extras: list[tuple[str, object]] = [("fallback_models", ["a"]), ("metadata", metadata)]
    whole = dict([*pairs[:at], *extras, *pairs[at:]])
    text = layout(whole).encode()
    left = json.loads(without_extras(text))
    kept = {"metadata": {"user_id": "x"}} if more else {}
    assert left == dict(pairs) | kept


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ('{"model":"a", "fallback_models" : ["b"] ,"n":1.50}', '{"model":"a", "n":1.50}'),
        ('{ "fallback_models":["b"], "model":"\\u0061"}', '{ "model":"\\u0061"}'),
        ('{"model":"a","fallback_models":["b"]}', '{"model":"a"}'),
        ('{"model":"a","fallback_models":["b"],"fallback_models":["c"]}', '{"model":"a"}'),
        ('{"model":"a","metadata":{"tags":["x"]}}', '{"model":"a"}'),
        ('{"metadata":{ "user_id":"u", "tags":["x"]}}', '{"metadata":{ "user_id":"u"}}'),
        ('{"fallback_models":["b"]}', "{}"),
        ('{"x":"\\\\","y":"\\"fallback_models\\":[","z":[{"fallback_models":1}]}', None),
        ('{"Fallback_models":["b"],"tags":["x"]}', None),
    ],
)
def test_every_other_byte_is_the_clients(body: str, left: str | None) -> None:
    assert without_extras(body.encode()).decode() == (body if left is None else left)


@pytest.mark.parametrize(
    ("body", "becomes"),
    [
        ('{"model": "a" , "n": 1e2}', '{"model": "b:1" , "n": 1e2}'),
        (
            '{"x":{"model":"a"},"Model":"a","model":"c"}',
            '{"x":{"model":"a"},"Model":"b:1","model":"b:1"}',
        ),
        ('{"mod\\u0065l":"a"}', '{"mod\\u0065l":"b:1"}'),
    ],
)
def test_the_served_models_name_is_put_in(body: str, becomes: str) -> None:
    changed = with_model(body.encode(), "b:1")
    assert changed.decode() == becomes
    assert read(changed, streams=True, kind="ChatRequest").model == "b:1"


def test_a_pinned_context_is_put_in() -> None:
    body = b'{"model":"a","options":{"num_ctx": 2048,"seed":1},"num_ctx":1}'
    assert with_context(body, 4096) == body.replace(b"2048", b"4096")
    assert read(with_context(body, 4096), streams=True, kind="ChatRequest").num_ctx == 4096


@pytest.mark.parametrize(
    ("body", "becomes"),
    [
        ('{"model":"a"}', '{"keep_alive":-1,"model":"a"}'),
        (' { "model":"a"}', ' {"keep_alive":-1, "model":"a"}'),
        ('{"model":"a","keep_alive": "5m" }', '{"model":"a","keep_alive": -1 }'),
        (
            '{"Keep_Alive":0,"model":"a","keep_alive":1}',
            '{"Keep_Alive":-1,"model":"a","keep_alive":-1}',
        ),
        (
            '{"model":"a","options":{"keep_alive":1}}',
            '{"keep_alive":-1,"model":"a","options":{"keep_alive":1}}',
        ),
    ],
)
def test_a_pinned_model_stays_whatever_the_body_says(body: str, becomes: str) -> None:
    assert staying(body.encode()).decode() == becomes


def test_a_key_that_comes_hundreds_of_times_is_taken_out_in_one_pass() -> None:
    many = b",".join([b'"fallback_models":[]'] * 1_000)
    assert without_extras(b'{"model":"m",' + many + b"}") == b'{"model":"m"}'
    assert without_extras(b"{" + many + b',"model":"m"}') == b'{"model":"m"}'
    tags = b",".join([b'"tags":[]'] * 1_000)
    assert without_extras(b'{"metadata":{"a":1,' + tags + b'},"b":2}') == (
        b'{"metadata":{"a":1},"b":2}'
    )
    assert without_extras(b'{"metadata":{' + tags + b'},"b":2}') == b'{"b":2}'
    models = b",".join([b'"model":"m"'] * 1_000)
    assert with_model(b"{" + models + b"}", "x") == b"{" + models.replace(b'"m"', b'"x"') + b"}"
