import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from herd.simulator import answers, profiles

SPEC = profiles.studio()


@given(st.text(), st.text())
def test_equal_prompts_draw_the_same_length_within_the_bounds(one: str, other: str) -> None:
    first, second = (answers.digest(SPEC, "m", text) for text in (one, other))
    assert (first == second) == (one == other)
    shortest, longest = SPEC.answer_tokens
    assert shortest <= answers.natural_tokens(SPEC, first) <= longest


def test_lengths_are_the_same_on_all_nodes_and_others_with_another_seed() -> None:
    assert answers.digest(profiles.mini(), "m", "x") == answers.digest(SPEC, "m", "x")
    seeded = msgspec.structs.replace(SPEC, seed=1)
    assert answers.digest(seeded, "m", "x") != answers.digest(SPEC, "m", "x")


def test_most_answers_are_in_the_lower_half() -> None:
    lengths = [
        answers.natural_tokens(SPEC, answers.digest(SPEC, "m", str(number)))
        for number in range(400)
    ]
    middle = sum(SPEC.answer_tokens) / 2
    assert 0.6 < sum(length < middle for length in lengths) / 400 < 0.8
    assert max(lengths) > 0.9 * SPEC.answer_tokens[1]


@given(st.integers(0, 2**64 - 1), st.integers(1, 300))
def test_an_answer_has_its_length_says_what_it_is_and_is_a_sentence(
    drawn: int, tokens: int
) -> None:
    said = answers.pieces("n1", drawn, tokens)
    text = "".join(said)
    assert len(said) == tokens
    assert text.endswith(".")
    whole = "This is a simulated answer from n1."
    assert text.startswith(whole) if tokens >= 7 else whole.startswith(text[:-1])


@given(st.integers(0, 2**64 - 1), st.integers(1, 300))
def test_an_answer_in_json_is_json(drawn: int, tokens: int) -> None:
    said = answers.pieces("n1", drawn, tokens, json=True)
    assert len(said) == tokens
    assert json.loads("".join(said))["answer"].startswith("This")


def test_no_tokens_no_text() -> None:
    assert answers.pieces("n1", 1, 0) == ()


@given(st.text(), st.integers(1, 2000))
def test_vectors_have_length_one(text: str, length: int) -> None:
    vector = answers.vector("m", text, length)
    assert len(vector) == length
    assert sum(number * number for number in vector) == pytest.approx(1)
    assert vector == answers.vector("m", text, length)


def test_vectors_of_other_models_and_texts_differ() -> None:
    vectors = {answers.vector(*of, 8) for of in (("m", "a"), ("m", "b"), ("n", "a"))}
    assert len(vectors) == 3
