"""A question that finds something kept is answered as one that finds nothing, to the last term."""

import pytest

from actors.core.placement import Choice
from actors.core.soonest import soonest
from actors.core.state import Request, State, dump, load
from events import ConfigurationLoaded, NodeId
from herd.config import Settings
from herd.simulator.physics import Machine
from herd.virtual.script import Happening
from herd.virtual.traffic import traffic
from herd.virtual.world import World
from tests.herd.virtual.small import BEGIN_US, MIX, SPECS, START_US, fleet

EVERY = 7
"""To copy the state takes longer than all else: so one question of so many is asked twice."""


class Twice:
    """`soonest`, asked again of a copy of the state."""

    def __init__(self) -> None:
        self.asked = self.compared = self.waits = 0

    def __call__(self, state: State, request: Request) -> Choice | None:
        choice = soonest(state, request)
        self.asked += 1
        if self.asked % EVERY == 0:
            assert state.kept.on
            anew = load(dump(state))
            other = soonest(anew, anew.requests[request.request_id])
            assert said(other) == said(choice)
            self.compared += 1
            self.waits += choice is None
        return choice


def said(choice: Choice | None) -> object:
    """Return all of a choice but the node itself, which a copy has another of."""
    if choice is None:
        return None
    return choice.node.node_id, choice.candidates, choice.more, choice.draw


@pytest.mark.parametrize("slots", [0, 4])
def test_the_same_is_chosen(slots: int) -> None:
    twice = Twice()
    machines = {NodeId(spec.name): Machine(spec) for spec in SPECS}
    world = World(machines, start_us=START_US, policy=twice)
    names = ("foresight", "patience", "length_behind", "prefix_affinity", "predictions")
    shipped = {
        name: Settings().flat()[name]
        for name in (
            *names,
            "fair_shares",
            "lengths_by_app",
            "lengths_by_last",
            "lengths_by_size",
            "running_by_length",
            "slow_times",
            "refused_for_s",
        )
    }
    shipped["planner"] = slots > 0
    lines = [*fleet("soonest")]
    lines.insert(1, Happening(at_us=START_US, fact=ConfigurationLoaded(settings=shipped)))
    asked = traffic(MIX, count=300, per_s=2.5, start_us=BEGIN_US, seed=3, burstiness=2)
    world.run([*lines, *asked])
    assert twice.compared > 100
    assert 0 < twice.waits < twice.compared
