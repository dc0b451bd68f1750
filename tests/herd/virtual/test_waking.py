"""Nodes that sleep in virtual time: asleep until they are woken, and what those who wait see."""

from collections.abc import Iterator

import pytest

from actors.core.state import US, State
from actors.core.waking import WAKE_S
from events import (
    ConfigurationLoaded,
    HeartbeatReceived,
    Limits,
    NodeId,
    NodeSilent,
    Recorded,
    RequestReceived,
    WakePlanned,
)
from herd.control.restore import head_of_segment
from herd.replay.check import check
from herd.simulator.profiles import mini, studio
from herd.virtual.script import Arrival, Happening, Line, Outcome
from herd.virtual.world import World
from tests.actors.cast import rid
from tests.herd.virtual.small import BEGIN_US, START_US, played

MODEL = "llama3.2:3b"
SPECS = (mini(), studio())
MACS = ("3c:7c:3f:00:00:01",)


def at(after_s: float) -> int:
    return BEGIN_US + int(after_s * US)


def agents(*asleep: str, slots: int = 1) -> Iterator[Line]:
    """Two nodes with agents; those named fall asleep after a second."""
    settings = ConfigurationLoaded(settings={"wake_on_lan": True, "policy": "soonest"})
    yield Happening(at_us=START_US, fact=settings)
    for spec in SPECS:
        beat = HeartbeatReceived(
            node_id=NodeId(spec.name),
            url=f"http://{spec.name}:11434",
            facts=spec.facts,
            models=tuple(model.facts for model in spec.models),
            limits=Limits(macs=MACS, max_requests=slots),
        )
        yield Happening(at_us=START_US, fact=beat)
    for name in asleep:
        yield Happening(at_us=at(1.0), fact=NodeSilent(node_id=NodeId(name), silent_s=31.0))


def arrivals(*after_s: float, patience_s: float = float("inf")) -> Iterator[Arrival]:
    for number, each in enumerate(after_s):
        asked = RequestReceived(request_id=rid(f"r{number}"), model=MODEL)
        yield Arrival(
            at_us=at(each),
            request=asked,
            prompt_tokens=100,
            output_tokens=200,
            patience_s=patience_s,
        )


def outcome(world: World, number: int) -> Outcome:
    return next(each for each in world.outcomes if each.request_id == rid(f"r{number}"))


def woken(log: list[Recorded]) -> list[WakePlanned]:
    return [each.event for each in log if isinstance(each.event, WakePlanned)]


def test_a_request_waits_until_somebody_is_awake_and_no_other_has_to() -> None:
    world, log = played(*agents("mini", "studio"), *arrivals(10.0, 60.0), specs=SPECS)
    first, second = outcome(world, 0), outcome(world, 1)
    assert (first.how, second.how) == ("completed", "completed")
    assert first.wait_s == pytest.approx(WAKE_S, abs=0.5)
    assert second.wait_s < 1.0
    (plan,) = {each.node_id for each in woken(log)}
    assert plan == first.node_id == second.node_id
    assert world.state.nodes[plan].sleep.took.count == 1
    report = check([head_of_segment(State(), START_US), *_after_a_head(log)])
    assert report.divergences == []


def test_nobody_is_woken_for_a_short_line_and_a_long_one_is_shorter_for_it() -> None:
    known = tuple(float(each) * 20 for each in range(1, 11))  # enough to know the model
    _, calm = played(*agents("studio"), *arrivals(*known), specs=SPECS)
    assert woken(calm) == []
    burst = tuple(220.0 + each / 100 for each in range(30))
    helped, log = played(*agents("studio"), *arrivals(*known, *burst), specs=SPECS)
    assert {(each.node_id, each.reason) for each in woken(log)} == {("studio", "queue")}
    alone, none = played(
        *agents("studio"),
        Happening(at_us=at(2.0), fact=ConfigurationLoaded(settings={"wake_on_lan": False})),
        *arrivals(*known, *burst),
        specs=SPECS,
    )
    assert woken(none) == []
    assert _last_s(helped) < 0.7 * _last_s(alone)


def _last_s(world: World) -> float:
    return max(each.at_us / US + each.total_s for each in world.outcomes) - at(220.0) / US


def _after_a_head(log: list[Recorded]) -> Iterator[Recorded]:
    for each in log:
        cause = each.cause + 1 if each.cause else 0
        yield Recorded(each.seq + 1, each.recorded_at, each.event, each.src, each.n, cause)
