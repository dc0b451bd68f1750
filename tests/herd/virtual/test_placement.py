"""The policies against one another, on a small case of `benchmarks/placement`: it is to the bit."""

import pytest

from benchmarks.placement.clairvoyant import Clairvoyant
from benchmarks.placement.fleets import FLEETS
from benchmarks.placement.play import BEGIN_US, Figures, play
from benchmarks.placement.workload import arrivals, best_s, trace

SPECS = FLEETS["home"]()
ASKED = arrivals(SPECS, trace("conv", "held"), load=0.8, count=250, seed=1, start_us=BEGIN_US)


@pytest.fixture(scope="module")
def soonest() -> Figures:
    return play(SPECS, ASKED, "soonest")


@pytest.mark.parametrize("other", ["resident-first", "least-connections", "round-robin"])
def test_soonest_has_requests_done_sooner(soonest: Figures, other: str) -> None:
    figures = play(SPECS, ASKED, other)
    assert soonest.failed == figures.failed == 0
    assert soonest.slowdown < 0.8 * figures.slowdown
    assert soonest.goodput > figures.goodput


def test_it_comes_near_to_one_who_knows_everything_beforehand(soonest: Figures) -> None:
    best = play(SPECS, ASKED, "soonest", by=Clairvoyant(SPECS, ASKED))
    assert soonest.slowdown < 1.5 * best.slowdown


def test_nothing_is_done_sooner_than_it_can_be(soonest: Figures) -> None:
    assert all(best_s(SPECS, each) > 0 for each in ASKED)
    assert soonest.slowdown >= 1.0


def test_the_same_case_comes_out_the_same(soonest: Figures) -> None:
    assert play(SPECS, ASKED, "soonest") == soonest
