"""What is learned: plain at first, then a moving mean that neither jumps nor sleeps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.learning import FEW, MEMORY_S, OUTLIER, Demand, Mean, shared

US = 1_000_000


def mean(*observed: float) -> Mean:
    found = Mean()
    for each in observed:
        found.add(each)
    return found


def test_of_the_first_it_is_the_plain_mean() -> None:
    assert mean(1.0, 3.0, 8.0) == Mean(3, 4.0)


def test_after_a_threefold_slow_down_it_is_there_within_fifty() -> None:
    assert mean(*[1.0] * 500, *[3.0] * 49).value == pytest.approx(3.0, rel=0.02)
    assert mean(*[1.0] * 500, *[3.0] * 15).value > 2.5


def test_one_outlier_counts_for_so_much_at_most() -> None:
    before = mean(*[1.0] * FEW)
    before.add(1e9)
    assert before.value == pytest.approx(1.0 + (OUTLIER - 1.0) / (FEW + 1))


def test_one_that_began_with_nothing_goes_on() -> None:
    assert mean(*[0.0] * FEW, 5.0).value == pytest.approx(1.0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_it_lies_among_what_was_seen(observed: list[float]) -> None:
    assert min(observed) * (1 - 1e-9) <= mean(*observed).value <= max(observed) * (1 + 1e-9)


def test_the_rate_is_what_it_was_over_the_last_minutes() -> None:
    demand = Demand()
    for number in range(3000):
        demand.arrived(number * US)
    assert demand.rate(3000 * US) == pytest.approx(1.0, rel=0.05)
    assert demand.rate(int((3000 + MEMORY_S) * US)) == pytest.approx(0.5, rel=0.05)
    assert Demand().rate(3000 * US) == 0.0


def test_a_clock_that_stood_still_raises_no_rate() -> None:
    demand = Demand(per_s=1.0, at_us=10 * US)
    assert demand.rate(9 * US) == demand.rate(10 * US) == 1.0


def test_a_batch_costs_little_and_another_model_all() -> None:
    assert shared(1, 1) == 1.0
    assert shared(0.5, 1) == 1.0
    assert 1.0 < shared(4, 1) < 1.5
    assert shared(1, 2) == 2.0
