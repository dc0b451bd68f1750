"""Predictions: what was learned, else what is alike, else what the hardware allows."""

import pytest

from actors.core.estimates import (
    ANSWER_TOKENS,
    BANDWIDTH_BYTES_PER_S,
    BOUNDLESS,
    BYTES_A_TOKEN,
    LEAST_LEFT_S,
    MOST_LOADED,
    PROMPT_TOKENS,
    REACHED,
    SIZE_BYTES,
    TOKENS_A_STEP,
    alone_s,
    answer_tokens,
    demand,
    is_remote,
    left_of_load_s,
    load_s,
    loading,
    mean_s,
    most_loaded,
    prompt_tokens,
    rates_s,
    resident_bytes,
    service_s,
    size_bytes,
    weights_bytes,
)
from actors.core.learning import MOST_APPS, Demand, Mean
from actors.core.state import Node
from events import ModelFacts, NodeFacts, NodeId
from tests.actors.core.fleets import (
    LARGE,
    NOW_US,
    SIZES,
    SMALL,
    a_node,
    a_state,
    first,
    working_on,
)

UNSEEN = Node(NodeId("unseen"), "http://unseen", "flag")


def test_what_was_learned_of_the_model_here() -> None:
    node = a_node("ada", step_s=0.02, load_s=7.0)
    assert (*rates_s(node, SMALL), load_s(node, SMALL)) == (0.001, 0.02, 7.0)


def test_else_what_its_other_models_took_for_each_byte() -> None:
    node = a_node("ada")
    del node.speeds[LARGE]
    for mean, value in ((node.pace.step, 1e-12), (node.pace.token, 1e-13), (node.pace.load, 1e-9)):
        mean.add(value)
    size = SIZES[LARGE]
    assert rates_s(node, LARGE)[1] == pytest.approx(size * 1e-12)
    assert rates_s(node, LARGE)[0] == pytest.approx(size * 1e-13)
    assert load_s(node, LARGE) == pytest.approx(size * 1e-9)


def test_else_what_the_memory_allows() -> None:
    node = a_node("ada")
    node.speeds = {}
    expected_s = SIZES[SMALL] / (BANDWIDTH_BYTES_PER_S * REACHED)
    assert rates_s(node, SMALL)[1] == pytest.approx(expected_s)
    assert rates_s(node, SMALL)[0] == pytest.approx(expected_s / TOKENS_A_STEP)
    assert 1.0 < load_s(node, SMALL) < load_s(node, LARGE)
    node.facts = NodeFacts(bandwidth_bytes_per_s=800_000_000_000)
    assert rates_s(node, SMALL)[1] == pytest.approx(expected_s / 4)


def test_memory_is_what_was_seen_last_else_reckoned() -> None:
    node = a_node("ada", SMALL)
    assert resident_bytes(node, SMALL) == SIZES[SMALL]
    assert resident_bytes(node, LARGE) == int(1.2 * SIZES[LARGE])
    node.footprints[LARGE] = 50_000_000_000
    assert resident_bytes(node, LARGE) == 50_000_000_000
    assert size_bytes(UNSEEN, SMALL) == SIZE_BYTES


def test_a_file_that_only_names_a_model_says_nothing_of_its_weights() -> None:
    node = a_node("ada")
    node.models[SMALL] = ModelFacts(name=SMALL, size_bytes=384)
    assert (weights_bytes(node, SMALL), size_bytes(node, SMALL)) == (0, SIZE_BYTES)
    assert is_remote(node, SMALL)
    assert resident_bytes(node, SMALL) == 0
    assert not is_remote(node, LARGE)
    assert not is_remote(UNSEEN, SMALL)


def test_how_many_models_stay() -> None:
    assert most_loaded(a_node("ada")) == MOST_LOADED
    assert most_loaded(a_node("ada", most=1)) == 1
    assert most_loaded(a_node("ada", SMALL, LARGE, most=1)) == 2, "it was seen to hold them"
    other = a_node("ada")
    other.facts = NodeFacts(dialect="openai")
    assert most_loaded(other) == BOUNDLESS


def test_how_long_a_prompt_is() -> None:
    state = a_state(a_node("ada"))
    asked, request = state.demands[SMALL], first(state)
    request.body_bytes = 1600
    assert prompt_tokens(asked, request) == 400.0
    assert prompt_tokens(Demand(), request) == 1600 / BYTES_A_TOKEN
    request.body_bytes = 0
    assert prompt_tokens(asked, request) == 200.0
    assert prompt_tokens(Demand(), request) == PROMPT_TOKENS


def test_how_long_an_answer_is() -> None:
    assert answer_tokens(Demand(answer_tokens=Mean(3, 0.0))) == 0.0, "embeddings have none"
    assert answer_tokens(Demand()) == ANSWER_TOKENS


def test_the_more_an_application_has_had_the_more_its_own_length_counts() -> None:
    asked = Demand(answer_tokens=Mean(9, 100.0))
    asked.answered("terse", 10.0)
    assert answer_tokens(asked, "terse") == (10 + 40 * 100) / 41
    for _ in range(11):
        asked.answered("terse", 10.0)
    assert answer_tokens(asked, "terse") == (12 * 10 + 40 * 100) / 52
    assert answer_tokens(asked, "new") == answer_tokens(asked) == 100.0


def test_of_applications_those_are_kept_that_were_answered_last() -> None:
    asked = Demand()
    for number in range(MOST_APPS):
        asked.answered(f"app{number}", 1.0)
    asked.answered("app0", 1.0)
    asked.answered("late", 1.0)
    assert len(asked.apps) == MOST_APPS
    assert "app0" in asked.apps
    assert "app1" not in asked.apps


def test_a_request_alone_on_a_node() -> None:
    state = a_state(a_node("ada", step_s=0.01))
    (node,) = state.nodes.values()
    expected_s = 200 * 0.0005 + 100 * 0.01
    assert service_s(state.demands[SMALL], node, first(state)) == pytest.approx(expected_s)


def test_alone_is_on_the_best_node() -> None:
    slow, fast = a_node("slow", step_s=0.04), a_node("fast", step_s=0.01)
    state = a_state(slow, fast)
    assert alone_s(state, SMALL) == mean_s(demand(state, SMALL), fast, SMALL, 1, 1)
    assert alone_s(state, SMALL) == pytest.approx(200 * 0.0005 + 100 * 0.01)
    state.demands[SMALL].alone_s = 9.0
    assert alone_s(state, SMALL) == 9.0, "which was folded"
    assert alone_s(state, "nobody's:1b") == 1.0


def test_a_model_comes_until_it_is_told_or_has_answered() -> None:
    node = working_on(a_node("ada"), SMALL, 1)
    node.speeds[SMALL].load_began_us = NOW_US
    assert loading(node) == [SMALL]
    node.speeds[SMALL].served_us = NOW_US + 1
    assert loading(node) == []
    assert loading(working_on(a_node("bob", SMALL), SMALL, 1)) == []


def test_what_is_left_of_a_load() -> None:
    node = working_on(a_node("ada", load_s=10.0), SMALL, 1)
    state = a_state(node)
    node.speeds[SMALL].load_began_us = NOW_US - 4_000_000
    assert left_of_load_s(state, node, SMALL) == pytest.approx(6.0)
    node.speeds[SMALL].load_began_us = NOW_US - 40_000_000
    assert left_of_load_s(state, node, SMALL) == LEAST_LEFT_S
