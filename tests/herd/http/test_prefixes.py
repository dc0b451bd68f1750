"""Beginnings of prompts: the same for the same, other for other, and never the text."""

import json
from typing import Any

from herd.http.asked import Asked, read
from herd.http.prefixes import LEAST_BYTES

LONG = "x" * LEAST_BYTES


def asked(*messages: str, **more: Any) -> Asked:
    told = [{"role": "user", "content": message} for message in messages]
    body = json.dumps({"model": "a", "messages": told, **more})
    return read(body.encode(), streams=True, kind="ChatRequest")


def hashes(found: Asked) -> list[str]:
    return [prefix.hash for prefix in found.prefixes]


def test_the_next_turn_begins_as_the_last_one() -> None:
    turn = asked(LONG, "b", "c")
    following = asked(LONG, "b", "c", "d", "e")
    assert len(hashes(turn)) == 3
    assert hashes(turn)[-1] in hashes(following)
    size = {prefix.hash: prefix.size_bytes for prefix in following.prefixes}
    assert size[hashes(turn)[-1]] == turn.prefixes[-1].size_bytes


def test_whatever_stands_before_it_makes_another_prompt() -> None:
    plain = set(hashes(asked(LONG, "b")))
    assert not plain & set(hashes(asked(LONG, "b", system="be kind")))
    assert not plain & set(hashes(asked(LONG, "b", tools=[{"type": "function"}])))
    assert not plain & set(hashes(asked("y" + LONG, "b")))
    assert plain == set(hashes(asked(LONG, "b", options={"num_ctx": 4096}, user="ada")))


def test_a_long_conversation_tells_its_first_and_its_last() -> None:
    names = [LONG, *(str(number) for number in range(40))]
    found = asked(*names)
    assert len(found.prefixes) == 5
    sizes = [prefix.size_bytes for prefix in found.prefixes]
    assert sizes == sorted(sizes)
    for more in (2, 4):
        assert set(hashes(found)[1:]) & set(hashes(asked(*names, *"abcd"[:more])))
    assert hashes(found)[0] == hashes(asked(LONG, "other"))[0]


def test_short_and_other_bodies_tell_none() -> None:
    assert asked("hello").prefixes == ()
    assert asked().prefixes == ()
    for body in ({"model": "a", "prompt": LONG}, {"model": "a", "messages": LONG}):
        found = read(json.dumps(body).encode(), streams=True, kind="GenerateRequest")
        assert (found.model, found.prefixes) == ("a", ())


def test_the_text_is_not_in_it() -> None:
    told = str(asked("a secret of mine " + LONG, "another").prefixes)
    assert "secret" not in told
    assert all(len(each) == 16 for each in hashes(asked(LONG)))


def test_of_a_picture_both_ends_and_the_length_tell() -> None:
    picture = "a" * 500_000
    plain = set(hashes(asked(picture)))
    for other in ("b" + picture[1:], picture[1:] + "b", picture + "a"):
        assert not plain & set(hashes(asked(other))), other[:2]
    assert plain == set(hashes(asked(picture[:250_000] + "b" + picture[250_001:])))
