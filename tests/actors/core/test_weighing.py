"""What is left out of a weighing decides nothing, and is shown nowhere."""

from random import Random

import pytest

from actors.core import soonest as module
from actors.core.missing import lateness
from actors.core.placement import SHOWN
from actors.core.soonest import soonest
from actors.core.state import Node, State
from tests.actors.core.fleets import LARGE, SMALL, a_node, a_state, first, working_on


def any_fleet(seed: int) -> State:
    """Return a fleet of which most have the model in memory, at speeds drawn at random."""
    random = Random(seed)  # noqa: S311 (a fleet, no secret)
    nodes: list[Node] = []
    for number in range(SHOWN + random.randrange(3, 8)):
        there = SMALL if number < SHOWN + 1 or random.random() < 0.3 else LARGE
        step_s, load_s = 0.01 * random.uniform(0.1, 3.0), random.choice([0.1, 1.0, 8.0])
        node = a_node(f"n{number}", there, step_s=step_s, load_s=load_s, slots=4, most=1)
        nodes.append(working_on(node, SMALL, random.randrange(3)) if there == SMALL else node)
    state = a_state(*nodes)
    state.settings.foresight = random.random() < 0.7
    state.settings.running_by_length = random.random() < 0.7
    for asked in state.demands.values():
        asked.per_s = random.choice([0.001, 0.1, 1.0])
    return state


@pytest.mark.parametrize("seed", range(60))
def test_what_a_load_cannot_win_is_not_weighed(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    state = any_fleet(seed)
    chosen = soonest(state, first(state))
    monkeypatch.setattr(module, "ROUNDING", 1e9)
    assert soonest(state, first(state)) == chosen


def test_of_many_loads_few_are_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    weighed: list[int] = []

    def counted(rate: float, again_s: float, lasts_s: float) -> float:
        weighed[-1] += 1
        return lateness(rate, again_s, lasts_s)

    def each() -> list[int]:
        weighed.clear()
        for seed in range(60):
            weighed.append(0)
            state = any_fleet(seed)
            soonest(state, first(state))
        return weighed.copy()

    monkeypatch.setattr(module, "lateness", counted)
    few = each()
    monkeypatch.setattr(module, "ROUNDING", 1e9)
    every = each()
    assert sum(few) < sum(every)
    assert any(some == 0 < all_ for some, all_ in zip(few, every, strict=True))
    assert sum(few) > 0, "some could be among those that are shown"
