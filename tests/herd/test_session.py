"""A word holds for its purpose, its token and its time, and is never twice the same."""

import pytest

from herd.session import LINK, SESSION, nonce_of, word

TOKEN = "a-token-for-a-test"  # noqa: S105 (it opens nothing)
NOW_S = 1_800_000_000


def test_a_word_holds_until_its_time() -> None:
    said = word(TOKEN, LINK, NOW_S + 300)
    assert len(nonce_of(TOKEN, LINK, said, NOW_S)) == 32
    assert nonce_of(TOKEN, LINK, said, NOW_S + 299.9)
    assert not nonce_of(TOKEN, LINK, said, NOW_S + 300)


def test_no_word_is_given_twice() -> None:
    assert word(TOKEN, LINK, NOW_S) != word(TOKEN, LINK, NOW_S)


def test_a_link_is_no_session_and_another_token_s_is_none() -> None:
    said = word(TOKEN, LINK, NOW_S + 300)
    assert not nonce_of(TOKEN, SESSION, said, NOW_S)
    assert not nonce_of("another", LINK, said, NOW_S)
    assert not nonce_of("", LINK, word("", LINK, NOW_S + 300), NOW_S), "no token signs nothing"


@pytest.mark.parametrize("wrong", ["", "x", "1.2.3", "\u0661" * 10])
def test_what_is_no_word_says_nothing(wrong: str) -> None:
    assert not nonce_of(TOKEN, LINK, wrong, NOW_S)


def test_a_word_that_was_made_longer_is_none() -> None:
    until, nonce, mac = word(TOKEN, LINK, NOW_S + 300).split(".")
    assert not nonce_of(TOKEN, LINK, f"{int(until) + 9}.{nonce}.{mac}", NOW_S)
    assert not nonce_of(TOKEN, LINK, f"{until}.{'0' * 32}.{mac}", NOW_S)
