"""How long an answer will be, by the last ones to requests of its size."""

from typing import Any

import pytest

from actors.core import recalling
from actors.core.estimates import expected_tokens, middle_tokens
from actors.core.learning import UNKNOWN, Length, Mean
from actors.core.recalling import LAST, MEMORY, MOST_APPS, MOST_KEPT, answered, recalled
from actors.core.state import Request, State, dump, load
from events import SettingsChanged
from tests.actors.cast import MODEL, book, completed, node, received, rid
from tests.actors.core.fleets import LARGE, SMALL, a_node, a_state, first
from tests.playbook import Playbook


def taught(*answers: tuple[str, int, int]) -> State:
    """Return a state that saw these answers: of a model, to so many bytes, of so many tokens."""
    state = a_state(a_node("ada", SMALL, LARGE))
    for model, body_bytes, tokens in answers:
        learn(state, model, body_bytes, tokens)
    return state


def learn(state: State, model: str, body_bytes: int, tokens: int, app: str = "") -> None:
    asked = state.demands[model]
    answered(state, asked, to(state, model, body_bytes, app), tokens)
    asked.answer_tokens.add(float(tokens))


def to(state: State, model: str, body_bytes: int, app: str = "") -> Request:
    request = first(state)
    request.model, request.body_bytes, request.app = model, body_bytes, app
    return request


def thought(state: State, model: str, body_bytes: int = 1_000, app: str = "") -> Length:
    return recalled(state, to(state, model, body_bytes, app))


def test_answers_to_requests_of_one_size_are_alike() -> None:
    state = taught(*[(SMALL, 1_000, 30), (SMALL, 4_000, 700)] * 20)
    assert thought(state, SMALL, 1_010) == pytest.approx((30, 30, 30, 30))
    assert thought(state, SMALL, 4_050) == pytest.approx((700, 700, 700, 700))
    assert thought(state, SMALL, 100) is UNKNOWN
    assert thought(state, SMALL, 0) is UNKNOWN


def test_other_models_tell_until_there_are_some_of_its_own() -> None:
    state = taught(*[(SMALL, 1_000, 30), (LARGE, 5_000, 900)] * 20)
    assert thought(state, LARGE) == pytest.approx((30, 30, 30, 30))
    learn(state, LARGE, 1_000, 90)
    assert 30 < thought(state, LARGE).mean < 60
    for _ in range(40):
        learn(state, LARGE, 1_000, 90)
        learn(state, LARGE, 5_000, 900)
        learn(state, SMALL, 1_000, 30)
        learn(state, SMALL, 5_000, 300)
    assert thought(state, LARGE)[:2] == pytest.approx((90, 90), rel=0.1)
    assert thought(state, SMALL)[:2] == pytest.approx((30, 30), rel=0.1)


def test_applications_of_a_model_tell_their_own_lengths() -> None:
    state = taught()
    for _ in range(40):
        learn(state, SMALL, 1_000, 10, "title")
        learn(state, SMALL, 1_000, 500, "chat")
    assert thought(state, SMALL, app="title").mean < 100
    assert thought(state, SMALL, app="chat").mean > 400


def test_where_models_differ_in_all_a_multiple_of_the_usual_is_nearer() -> None:
    state = taught()
    for number in range(60):
        size = 500 << number % 6
        learn(state, SMALL, size, 30)
        learn(state, LARGE, size, 900)
    few = to(state, LARGE, 20_000)
    assert recalled(state, few) is UNKNOWN, "nobody asked with such a size"
    learn(state, SMALL, 20_000, 30)
    assert recalled(state, to(state, LARGE, 20_000)) is UNKNOWN, "what is usual is nearer"
    assert state.demands[LARGE].far[0] < min(state.demands[LARGE].far[1:])


def test_the_middle_is_where_most_are() -> None:
    state = taught(*[(SMALL, 1_000, 20)] * 13, *[(SMALL, 1_000, 900)] * 3)
    length = thought(state, SMALL)
    assert length.middle == pytest.approx(20)
    assert length.mean == pytest.approx((13 * 20 + 3 * 900) / 16)


def test_the_middle_lies_between_the_ends() -> None:
    state = taught(*[(SMALL, 1_000, 3_000)] * 16, *[(LARGE, 1_000, 20)] * 10)
    state.demands[LARGE].far = [1.0, 1.0, 0.0]
    length = thought(state, LARGE)
    assert length.least == pytest.approx(20)
    assert length.least < length.middle <= length.most


def test_the_last_answers_count() -> None:
    state = taught(*[(SMALL, 1_000, 30)] * 50, *[(SMALL, 1_000, 300)] * LAST)
    assert thought(state, SMALL) == pytest.approx((300, 300, 300, 300))


def test_what_is_far_off_is_counted_of_late() -> None:
    state = taught((SMALL, 1_000, 100))
    assert state.demands[SMALL].far == [0.5] * 3
    learn(state, SMALL, 1_000, 50)
    multiple, widest, own = state.demands[SMALL].far
    assert widest == own == pytest.approx(0.5)
    assert multiple == pytest.approx(0.5)
    learn(state, SMALL, 1_000, 75)
    assert state.demands[SMALL].far[1] == pytest.approx(0.5 - 0.5 / MEMORY)


def test_what_tells_nothing_is_not_learned() -> None:
    assert taught((SMALL, 0, 30), (SMALL, 1_000, 0)).answers == {}


def test_what_is_kept_does_not_grow() -> None:
    state = taught()
    for number in range(2 * MOST_APPS):
        learn(state, SMALL, 1_000, 30, f"app-{number}")
    [own] = state.own_answers.values()
    assert list(own.apps) == [f"app-{number}" for number in range(MOST_APPS, 2 * MOST_APPS)]
    [fleet] = state.answers.values()
    assert len(own.all.tokens) == len(fleet.tokens) == LAST
    for number in range(2 * MOST_KEPT):
        state.demands[f"m{number}"] = state.demands[SMALL]
        learn(state, f"m{number}", 1_000, 30)
    assert len(state.own_answers) == MOST_KEPT
    again = load(dump(state))
    assert (again.answers, again.own_answers) == (state.answers, state.own_answers)


def test_what_its_client_cut_short_tells_nothing() -> None:
    state = taught()
    request = to(state, SMALL, 1_000)
    request.most_tokens = 5
    answered(state, state.demands[SMALL], request, 5)
    assert state.answers == {}
    answered(state, state.demands[SMALL], request, 4)
    assert [each.tokens for each in state.answers.values()] == [[4]]


def test_whoever_does_not_look_forgets() -> None:
    state = taught(*[(SMALL, 1_000, 30)] * 3)
    request = to(state, SMALL, 1_000)
    state.settings.lengths_by_last = True
    recalling.recall(state, request)
    assert request.length.mean
    state.settings.lengths_by_last = False
    recalling.recall(state, request)
    assert request.length == UNKNOWN


@pytest.mark.parametrize("most", [0, 5, 50, 5_000])
def test_no_answer_is_longer_than_its_client_lets_it_be(most: int) -> None:
    state = taught()
    request = to(state, SMALL, 1_000)
    request.most_tokens = most
    asked = state.demands[SMALL]
    asked.answer_tokens = Mean(9, 100.0)
    assert expected_tokens(asked, request) == (min(100.0, most) if most else 100.0)
    request.length = Length(40.0, 20.0, 10.0, 90.0)
    assert expected_tokens(asked, request) == (min(40.0, most) if most else 40.0)
    assert middle_tokens(asked, request) == (min(20.0, most) if most else 20.0)


@pytest.mark.parametrize("counts", [True, False])
def test_it_is_a_setting_of_the_log(*, counts: bool) -> None:
    made: Playbook = book(
        SettingsChanged(key="lengths_by_last", old=False, new=counts),
        *node("studio", slots=1),
    )
    for number, (body_bytes, tokens) in enumerate([(400, 20), (4_000, 300)] * 8):
        name = f"r{number}"
        made.given(received(name, body_bytes=body_bytes))
        lease = made.state.requests[rid(name)].lease
        told: dict[str, Any] = {"prompt_tokens": 100, "completion_tokens": tokens}
        made.given(completed(name, "studio", lease, usage_source="reported", **told))
    made.given(received("short", body_bytes=400), received("cut", body_bytes=4_000, most_tokens=7))
    short, cut = (made.state.requests[rid(name)] for name in ("short", "cut"))
    assert bool(made.state.answers) is counts
    assert short.length.mean == (pytest.approx(20.0) if counts else 0.0)
    assert expected_tokens(made.state.demands[MODEL], cut) == 7
    made.check()


def test_who_is_moved_to_another_model_is_thought_of_as_one_of_that() -> None:
    state = taught(*[(SMALL, 1_000, 30), (LARGE, 1_000, 90)] * 2)
    state.demands[SMALL].far = state.demands[LARGE].far = [1.0, 1.0, 0.0]
    state.settings.lengths_by_last = True
    request = to(state, SMALL, 1_000)
    recalling.recall(state, request)
    before = request.length.mean
    request.model = LARGE
    recalling.recall(state, request)
    assert request.length.mean > before > 30
