"""The policies against one another, on a small case of `benchmarks/placement`: it is to the bit."""

import pytest

from benchmarks.placement.clairvoyant import Clairvoyant
from benchmarks.placement.fleets import FLEETS
from benchmarks.placement.oracle import bounds
from benchmarks.placement.play import BEGIN_US, START_US, Figures, figures, play
from benchmarks.placement.proof import TARGETS, Case, run, shipped
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


@pytest.fixture(scope="module")
def oracle() -> list[Figures]:
    return [figures(SPECS, ASKED, outcomes) for outcomes in bounds(SPECS, ASKED, START_US)]


def test_the_oracle_serves_all_and_is_better_than_any_policy(
    soonest: Figures, oracle: list[Figures]
) -> None:
    assert all(each.failed == 0 for each in oracle)
    assert 1.0 <= min(each.slowdown for each in oracle) <= soonest.slowdown
    assert max(each.goodput for each in oracle) >= soonest.goodput


def test_foresight_is_on_where_herd_is_installed_and_gains_here(soonest: Figures) -> None:
    assert shipped()["foresight"] is True
    assert play(SPECS, ASKED, "soonest", more={"foresight": True}).slowdown != soonest.slowdown


@pytest.mark.long
def test_a_run_of_the_proof_has_figures_for_every_target_of_its_load() -> None:
    found = run((Case("home", "conv", 0.8), "tune", 1))
    assert found.crash is not None
    assert found.crash.failed == found.crash.cut, "only what had begun is lost with a node"
    for target in TARGETS:
        if 0.8 in target.loads:
            assert target.figure([found]) >= 0
