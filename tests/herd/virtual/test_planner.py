"""The planner in a whole herd: it loads, and whatever the traffic, it does not thrash."""

from collections import defaultdict
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.core.planning import REST_S
from actors.core.state import US
from events import (
    LoadFinished,
    LoadPlanned,
    NodeProbed,
    Recorded,
    RequestDispatched,
    SettingsChanged,
)
from herd.virtual.script import Arrival, Happening
from herd.virtual.traffic import Share, traffic
from tests.herd.virtual.small import BEGIN_US, MIX, SPECS, START_US, fleet, played

PLANNER = Happening(
    at_us=START_US, fact=SettingsChanged(key="planner", old=False, new=True, by="test")
)
MODELS = ("llama3.2:3b", "qwen2.5:7b")


def planned(log: list[Recorded]) -> list[Recorded]:
    """The decisions of the planner."""
    return [record for record in log if isinstance(record.event, LoadPlanned)]


TIGHT = tuple(
    msgspec.structs.replace(spec, facts=msgspec.structs.replace(spec.facts, max_loaded_models=1))
    for spec in SPECS
)
"""Each model in memory is at the expense of another."""


def played_with(per_s: float, seed: int, policy: str) -> list[Recorded]:
    """The log of a herd that plans, while now one model is asked for and now another."""
    asked: list[Arrival] = []
    for phase in range(6):
        model, other = MODELS[phase % 2], MODELS[1 - phase % 2]
        begin_us = asked[-1].at_us if asked else BEGIN_US
        asked += traffic(
            [Share(9, model), Share(1, other)],
            count=50,
            per_s=per_s,
            start_us=begin_us,
            seed=seed + phase,
            burstiness=2,
        )
    return played(*fleet(policy, TIGHT), PLANNER, *asked, specs=TIGHT)[1]


def test_what_is_planned_is_loaded_and_known() -> None:
    asked = traffic(MIX, count=300, per_s=2.0, start_us=BEGIN_US, seed=3, burstiness=2)
    world, log = played(*fleet("soonest"), PLANNER, *asked)
    plans = planned(log)
    assert plans
    for plan in plans:
        assert isinstance(plan.event, LoadPlanned)
        node_id, model = plan.event.node_id, plan.event.model
        after = [record for record in log if record.seq > plan.seq]
        done = next(each for each in after if isinstance(each.event, LoadFinished))
        assert done.event == LoadFinished(
            node_id=node_id, model=model, load_s=getattr(done.event, "load_s", 0.0)
        )
        assert getattr(done.event, "load_s", 0.0) > 0
        seen = [
            each.event
            for each in after
            if isinstance(each.event, NodeProbed) and each.event.node_id == node_id
        ]
        assert any(model == there.name for there in seen[0].resident or ())
    assert all(node.planned is None for node in world.state.nodes.values())
    assert {each.how for each in world.outcomes} == {"completed"}


def test_without_the_setting_nothing_is_planned() -> None:
    asked = traffic(MIX, count=100, per_s=2.0, start_us=BEGIN_US, seed=3, burstiness=2)
    _, log = played(*fleet("soonest"), *asked)
    assert planned(log) == []


@pytest.mark.long
@settings(max_examples=12, deadline=None)
@given(
    per_s=st.floats(0.5, 6.0),
    seed=st.integers(0, 10_000),
    policy=st.sampled_from(["soonest", "resident-first", "least-connections"]),
)
def test_no_plan_undoes_another_soon(per_s: float, seed: int, policy: str) -> None:
    log = played_with(per_s, seed, policy)
    touched: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    loading: dict[str, str] = {}
    running: dict[str, tuple[str, str]] = {}
    for record in log:
        event = record.event
        if isinstance(event, RequestDispatched):
            running[event.request_id] = (event.node_id, event.model)
        elif (ended := getattr(event, "request_id", None)) in running and hasattr(event, "lease"):
            running.pop(str(ended))
        if isinstance(event, LoadFinished):
            assert loading.pop(event.node_id) == event.model
        if isinstance(event, LoadPlanned):
            assert event.node_id not in loading, "one load a node at a time"
            loading[event.node_id] = event.model
            for model in (event.model, *event.leaving):
                touched[event.node_id, model].append(record.recorded_at)
            for model in event.leaving:
                assert (event.node_id, model) not in running.values(), "it is in use"
    for times in touched.values():
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert all(gap >= REST_S * US for gap in gaps)
