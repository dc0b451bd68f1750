"""Keys in any case, and characters of which only a half is there."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herd.dialects.plain import plain


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (rb'"\ud83d x"', "\ufffd x"),
        (rb'"\uDC00"', "\ufffd"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\\ud83d"', r"\ud83d"),
        (rb'"\\\ud83d"', "\\\ufffd"),
        (rb'"\ud83d\n\ude00"', "\ufffd\n\ufffd"),
    ],
)
def test_half_a_character_becomes_a_mark(said: bytes, told: str) -> None:
    assert json.loads(plain(b'{"a":%b}' % said)) == {"a": told}


def test_what_is_no_utf_8_becomes_a_mark() -> None:
    assert plain(b'{"a":"\xc3\xa9\xff"}') == '{"a":"é\ufffd"}'.encode()
    assert json.loads(plain(b'{"\xff":{"\xfe":"\xed\xa0\x80"}}')) == {
        "\ufffd": {"\ufffd": "\ufffd" * 3}
    }


def test_keys_at_the_top_are_taken_in_any_case_the_last_one_counts() -> None:
    body = b'{"Model":"x","MESSAGES":[{"Role":"user"}],"model":"m","Stream":null,"stream":true}'
    told = {"model": "m", "messages": [{"Role": "user"}], "stream": True}
    assert json.loads(plain(body)) == told


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"a": 1.0 }', "{'é'".encode()])
def test_what_is_plain_or_no_object_stays(body: bytes) -> None:
    assert plain(body) == body


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=9).map(str.casefold), st.text())
)
def test_whole_texts_stay_as_they_are_written(pairs: dict[str, str]) -> None:
    for text in (json.dumps(pairs), json.dumps(pairs, ensure_ascii=False)):
        body = text.encode("utf-8", "replace")
        halves = any("\ud800" <= each <= "\udfff" for each in "".join(pairs.values()))
        assert halves or plain(body) == body
