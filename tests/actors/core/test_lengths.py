"""What the size of a request tells of the length of its answer."""

from typing import Any

import pytest

from actors.core import lengths
from actors.core.estimates import expected_tokens, service_s
from actors.core.learning import Mean
from actors.core.state import State
from events import NodeId, SettingsChanged
from tests.actors.cast import MODEL, book, completed, node, received, rid
from tests.actors.core.fleets import SMALL, a_node, a_state, first
from tests.playbook import Playbook


def taught(*answers: tuple[int, int], usual: float = 100.0, known: int = 100) -> State:
    """Return a state that saw answers of so many tokens to requests of so many bytes."""
    state = a_state(a_node("ada", SMALL))
    state.demands[SMALL].answer_tokens = Mean(known, usual)
    request = first(state)
    for body_bytes, tokens in answers:
        request.body_bytes = body_bytes
        lengths.answered(state, request, tokens)
    return state


def test_nothing_is_said_of_sizes_that_nobody_asked_with() -> None:
    state = taught((1_000, 400))
    assert lengths.ratio(state, 4_000) == 1.0
    assert lengths.ratio(state, 0) == 1.0


def test_the_more_came_the_more_it_is_believed() -> None:
    once = lengths.ratio(taught((1_000, 400)), 1_000)
    often = lengths.ratio(taught(*[(1_000, 400)] * 50), 1_000)
    assert 1.0 < once < 2.0 < often < 4.0
    assert lengths.ratio(taught(*[(1_000, 25)] * 50), 1_000) == pytest.approx(0.25, rel=0.2)


def test_usual_answers_change_nothing() -> None:
    assert lengths.ratio(taught(*[(1_000, 100)] * 20), 1_000) == pytest.approx(1.0)


def test_one_very_long_answer_does_not_count_for_many() -> None:
    ratio = lengths.ratio(taught(*[(1_000, 100)] * 9, (1_000, 100_000)), 1_000)
    assert ratio < 1.4, "of plain means it would be 1.7 with the bound, and 100 without"


def test_sizes_of_a_class_differ_by_less_than_half_a_power_of_two() -> None:
    sizes = [lengths.size_class(size) for size in range(1, 5000)]
    assert sizes == sorted(sizes)
    for size in (64, 100, 1_000, 4_096):
        assert lengths.size_class(2 * size) == lengths.size_class(size) + 2
        alike = [n for n in range(1, 10_000) if lengths.size_class(n) == lengths.size_class(size)]
        assert alike[-1] / alike[0] < 2**0.5


def test_what_tells_nothing_is_not_learned() -> None:
    assert taught((0, 400)).sizes == {}
    assert taught((1_000, 0)).sizes == {}, "embeddings"
    assert taught((1_000, 400), known=0).sizes == {}, "the first answer of a model"
    assert taught((1_000, 400), usual=0.0).sizes == {}


def test_it_is_a_multiple_of_what_the_application_has() -> None:
    state = taught(*[(1_000, 400)] * 50)
    asked, request = state.demands[SMALL], first(state)
    request.length_ratio = lengths.ratio(state, 1_000)
    usual, own = (
        expected_tokens(asked, request),
        service_s(asked, state.nodes[NodeId("ada")], request),
    )
    assert usual == pytest.approx(100.0 * request.length_ratio)
    request.length_ratio = 1.0
    assert service_s(asked, state.nodes[NodeId("ada")], request) < own


@pytest.mark.parametrize("counts", [True, False])
def test_who_asks_at_length_is_told_that_it_takes_longer(*, counts: bool) -> None:
    made: Playbook = book(
        SettingsChanged(key="lengths_by_size", old=False, new=counts),
        *node("studio", slots=1),
    )
    for number, (body_bytes, tokens) in enumerate([(400, 20), (4_000, 300)] * 8):
        name = f"r{number}"
        made.given(received(name, body_bytes=body_bytes))
        lease = made.state.requests[rid(name)].lease
        told: dict[str, Any] = {"prompt_tokens": body_bytes // 4, "completion_tokens": tokens}
        told["usage_source"] = "reported"
        made.given(completed(name, "studio", lease, service_s=1.0, **told))
    made.given(received("short", body_bytes=400), received("long", body_bytes=4_000))
    short, long = (made.state.requests[rid(name)] for name in ("short", "long"))
    asked = made.state.demands[MODEL]
    if counts:
        assert expected_tokens(asked, short) < 0.5 * expected_tokens(asked, long)
    else:
        assert (short.length_ratio, long.length_ratio, made.state.sizes) == (1.0, 1.0, {})
    made.check()
