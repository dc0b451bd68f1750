"""What is said of an answer beforehand, and that it is right as often as it says."""

from random import Random

import msgspec
import pytest

from actors.core.commands import Grant
from actors.core.estimates import mean_s
from actors.core.learning import Demand, Length
from actors.core.placement import Choice
from actors.core.predicting import (
    ENOUGH,
    LEAST_S,
    Prediction,
    came_true,
    line_s,
    predict,
    wait_s,
)
from actors.core.state import Node, Request, State
from events import (
    Candidate,
    Lease,
    RequestCompleted,
    RequestDispatched,
    RequestId,
    RequestQueued,
    RequestRejected,
    SettingsChanged,
)
from tests.actors.cast import book, completed, node, received
from tests.actors.core.fleets import LARGE, NOW_US, SMALL, a_node, a_state, first, working_on

PREFILL_S = 200 * 0.0005
DECODE_S = 100 * 0.01
TOLD = SettingsChanged(key="predictions", old=False, new=True)


def predicted(state: State, there: Node, *, cold: bool = False) -> Prediction:
    candidate = Candidate(there.node_id, not cold, 0, 2, 0.0, 50.0)
    return predict(state, first(state), Choice(there, (candidate,), 0, 0))


def told(state: State, there: Node, *, cold: bool = False) -> tuple[float, float]:
    """Return when the answer of the first request is predicted to begin, and to end."""
    found = predicted(state, there, cold=cold)
    return found.first_s, found.whole_s


def said(whole_s: float, least_s: float = 0.0, most_s: float = 0.0) -> Request:
    """Return a request of which this was said; with a range, one whose length was recalled."""
    request = first(a_state())
    request.predicted_s = whole_s
    request.predicted_least_s, request.predicted_most_s = least_s, most_s
    if most_s:
        request.length = Length(100.0, 90.0, 50.0, 200.0)
    return request


def test_alone_it_is_the_prompt_and_the_answer() -> None:
    there = a_node("ada", SMALL)
    state = a_state(there)
    assert told(state, there) == pytest.approx((PREFILL_S, PREFILL_S + DECODE_S))


def test_a_cold_model_is_loaded_first() -> None:
    there = a_node("ada", load_s=5.0)
    assert told(a_state(there), there, cold=True)[0] == pytest.approx(5.0 + PREFILL_S)


def test_of_a_load_under_way_only_the_rest_counts() -> None:
    there = working_on(a_node("ada", load_s=5.0), SMALL, 1)
    there.speeds[SMALL].load_began_us = NOW_US - 4_000_000
    assert told(a_state(there), there)[0] == pytest.approx(1.0 + PREFILL_S)


def test_others_make_it_slower() -> None:
    there = working_on(a_node("ada", SMALL, LARGE, slots=4), SMALL, 1)
    _, beside = told(a_state(there), there)
    assert beside == pytest.approx(PREFILL_S + DECODE_S * 1.08)
    sharing = working_on(a_node("ada", SMALL, LARGE, slots=4), LARGE, 1)
    assert told(a_state(sharing), sharing)[1] == pytest.approx(2 * (PREFILL_S + DECODE_S))


def test_something_is_said_even_of_nothing() -> None:
    there = a_node("ada", SMALL)
    state = a_state(there)
    state.demands[SMALL].answer_tokens.value = state.demands[SMALL].prompt_tokens.value = 0.0
    assert told(state, there) == (0.0, LEAST_S)


@pytest.mark.parametrize(("bias", "spread"), [(1.0, 0.3), (4.0, 0.8), (0.2, 0.1)])
def test_nine_of_ten_lie_in_the_range_however_wrong_the_estimates_are(
    bias: float, spread: float
) -> None:
    random, asked, inside = Random(1), Demand(), 0  # noqa: S311 (a sample)
    for number in range(3000):
        took_s = 2.0 * bias * random.lognormvariate(0, spread)
        inside += number >= 1000 and asked.low * 2.0 <= took_s <= asked.high * 2.0
        came_true(asked, said(2.0), took_s)
    assert 0.87 <= inside / 2000 <= 0.93


@pytest.mark.parametrize(("low", "high", "spread"), [(1.0, 1.0, 0.5), (0.2, 9.0, 0.5)])
def test_so_they_do_where_lengths_were_recalled(low: float, high: float, spread: float) -> None:
    random, inside = Random(1), 0  # noqa: S311 (a sample)
    asked = Demand(near_low=low, near_high=high)
    for number in range(3000):
        least_s, most_s = 1.7 * asked.near_low, 2.3 * asked.near_high
        took_s = 2.0 * random.lognormvariate(0, spread)
        inside += number >= 1000 and least_s <= took_s <= most_s
        came_true(asked, said(2.0, least_s, most_s), took_s)
    assert 0.87 <= inside / 2000 <= 0.93
    assert (asked.low, asked.high) == (Demand().low, Demand().high)


def test_the_range_holds_what_is_said() -> None:
    asked = Demand(near_low=1.0, near_high=1.0)
    for _ in range(500):
        came_true(asked, said(2.0, 1.0, 3.0), 2.0)
    assert (asked.near_low, asked.near_high) == (1.0, 1.0)


@pytest.mark.parametrize("most", [0, 60, 10])
def test_a_recalled_length_is_told_with_its_ends(most: int) -> None:
    there = a_node("ada", SMALL)
    state = a_state(there)
    request = first(state)
    request.length, request.most_tokens = Length(100.0, 90.0, 50.0, 200.0), most
    asked = state.demands[SMALL]
    found = predicted(state, there)
    middle, least, highest = (min(each, most or each) for each in (90, 50, 200))
    assert found.whole_s == pytest.approx(PREFILL_S + 0.01 * middle)
    assert found.least_s == pytest.approx((PREFILL_S + 0.01 * least) * asked.near_low, abs=1e-3)
    assert found.most_s == pytest.approx((PREFILL_S + 0.01 * highest) * asked.near_high, abs=1e-3)


def test_a_change_of_speed_is_followed() -> None:
    random, asked, inside = Random(2), Demand(), 0  # noqa: S311 (a sample)
    for number in range(1000):
        slower = 3.0 if number >= 500 else 1.0
        took_s = slower * random.lognormvariate(0, 0.2)
        inside += number >= 550 and asked.low <= took_s <= asked.high
        came_true(asked, said(1.0), took_s)
    assert inside / 450 >= 0.85


def test_where_nothing_was_said_nothing_is_learned() -> None:
    asked = Demand()
    came_true(asked, said(0.0), 5.0)
    assert (asked.low, asked.high) == (Demand().low, Demand().high)


def test_the_bounds_never_cross() -> None:
    asked = Demand(low=1.0, high=1.001)
    came_true(asked, said(1.0), 1.0005)
    assert asked.low <= asked.high


@pytest.mark.parametrize("low", [0.3, 0.12])
def test_where_the_range_begins_at_first_is_a_setting(low: float) -> None:
    given = () if low == Demand().low else (SettingsChanged(key="range_low", old=0.3, new=low),)
    made = book(TOLD, *given, *node("studio", slots=2), received("r1"))
    sent = made.log[-1].event
    assert isinstance(sent, RequestDispatched)
    assert sent.predicted_least_s == pytest.approx(low * sent.predicted_s, abs=0.001)


def test_each_decision_says_it_and_each_answer_teaches() -> None:
    made = book(TOLD, *node("studio", slots=2), received("r1"))
    sent = made.log[-1].event
    assert isinstance(sent, RequestDispatched)
    assert 0 < sent.predicted_least_s < sent.predicted_s < sent.predicted_most_s
    assert made.state.requests[sent.request_id].predicted_s == sent.predicted_s
    grant = made.sent[-1].message
    assert isinstance(grant, Grant)
    assert grant.predicted_range_s == (sent.predicted_least_s, sent.predicted_most_s)
    before = made.state.demands[sent.model].high
    made.given(completed("r1", "studio", "1.1", service_s=sent.predicted_most_s * 2))
    assert isinstance(made.log[-1].event, RequestCompleted)
    assert made.state.demands[sent.model].high > before
    made.check()


def test_a_wait_is_told_once_enough_is_known() -> None:
    full = working_on(a_node("ada", SMALL, slots=2), SMALL, 2)
    state = a_state(full, a_node("idle", SMALL), waiting=3)
    lasts_s = mean_s(state.demands[SMALL], full, SMALL, 2, 1)
    told = [wait_s(state, first(state, number)) for number in range(3)]
    assert told == [pytest.approx((place + 1) * lasts_s / 2, abs=0.001) for place in range(3)]
    state.demands[SMALL].answer_tokens.count = ENOUGH - 1
    assert wait_s(state, first(state)) == 0.0
    state.demands[SMALL].answer_tokens.count = ENOUGH
    full.slots.clear()
    assert wait_s(state, first(state)) == 0.0, "nothing runs whose end could be waited for"


def test_a_line_says_how_long_the_next_one_waits() -> None:
    full = working_on(a_node("ada", SMALL, slots=2), SMALL, 2)
    state = a_state(full, waiting=3)
    lasts_s = mean_s(state.demands[SMALL], full, SMALL, 2, 1)
    assert line_s(state, SMALL) == pytest.approx(4 * lasts_s / 2, abs=0.001)
    full.slots.clear()
    assert line_s(state, SMALL) == 0.0
    state.lines[SMALL].waiting.clear()
    assert line_s(state, SMALL) == 0.0


def test_who_would_wait_beyond_its_deadline_is_told_at_once() -> None:
    made = book(TOLD, *node("studio", slots=1))
    taught = completed("r0", "studio", "", usage_source="reported", prompt_tokens=20)
    for number in range(ENOUGH):
        name = RequestId(f"t{number}")
        lease = Lease(f"1.{number + 1}")
        taught = msgspec.structs.replace(taught, request_id=name, lease=lease, service_s=10.0)
        made.given(received(name), taught)
    made.given(received("r1"))
    made.given(received("r2", deadline_s=5.0))
    refusal = made.log[-1].event
    assert isinstance(refusal, RequestRejected)
    assert (refusal.status, refusal.reason) == (429, "too_late")
    assert 5 <= refusal.retry_after_s <= 6, "by then the wait is as long as it would have waited"
    made.given(received("r3", deadline_s=15.0))
    waits = made.log[-1].event
    assert isinstance(waits, RequestQueued)
    assert waits.predicted_wait_s == pytest.approx(10.0, rel=0.2)
    made.given(completed("r1", "studio", f"1.{ENOUGH + 1}"))
    grant = made.sent[-1].message
    assert isinstance(grant, Grant)
    assert grant.predicted_wait_s == waits.predicted_wait_s
    made.check()
