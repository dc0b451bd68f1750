"""Pulls that control decided: carried out, ended when control says so, and told of as facts."""

import asyncio
from typing import Any

import msgspec

from events import (
    CONTROL,
    Event,
    ModelDeleted,
    NodeId,
    PullEnded,
    PullProgressed,
    PullStarted,
    Recorded,
    Source,
)
from herd.control.pulls import Pulls
from herd.simulator import profiles
from herd.simulator.node import SimulatedNode
from tests.conftest import Run
from tests.herd.simulator.talk import simulated, until

TINY = "smollm2:135m"
ADA = NodeId("ada")
STARTED = PullStarted(pull_id="auto-1", model=TINY, node_id=ADA, automatic=True, by="request")


def record(event: Event, src: Source = CONTROL) -> Recorded:
    return Recorded(1, 0, event, src)


class Scene:
    """One node, and what control is told and asked to look at."""

    def __init__(self, url: str) -> None:
        self.facts: list[Event] = []
        self.looked: list[NodeId] = []
        self.pulls = Pulls(self.facts.append, lambda _: url, self.looked.append)

    async def ended(self) -> PullEnded:
        await until(lambda: any(isinstance(fact, PullEnded) for fact in self.facts))
        [found] = [fact for fact in self.facts if isinstance(fact, PullEnded)]
        return found


def has(node: SimulatedNode) -> bool:
    return any(model.facts.name == TINY for model in node.shelf.models)


def test_it_is_carried_out_and_told_of(on_each_loop: Run[Any]) -> None:
    async def play() -> None:
        async with simulated() as node:
            scene = Scene(node.url)
            scene.pulls.recorded(record(STARTED))
            ended = await scene.ended()
            assert (ended.pull_id, ended.outcome, ended.node_id) == ("auto-1", "done", ADA)
            assert ended.total_bytes > profiles.SMOLLM.facts.size_bytes
            assert isinstance(scene.facts[0], PullProgressed), "its begin control itself has told"
            assert has(node)
            scene.pulls.recorded(record(ended))
            assert scene.looked == [ADA]
            await scene.pulls.close()

    on_each_loop(play())


def test_those_of_fronts_are_left_alone(on_each_loop: Run[Any]) -> None:
    async def play() -> None:
        async with simulated() as node:
            scene = Scene(node.url)
            scene.pulls.recorded(record(STARTED, Source("f1-aaaaaa")))
            by_hand = msgspec.structs.replace(STARTED, automatic=False)
            scene.pulls.recorded(record(by_hand))
            await asyncio.sleep(0.05)
            assert scene.facts == []
            scene.pulls.recorded(record(ModelDeleted(node_id=ADA, model=TINY)))
            assert scene.looked == [ADA]

    on_each_loop(play())


def test_an_end_that_control_decides_ends_it_at_the_node_without_another_word(
    on_each_loop: Run[Any],
) -> None:
    async def play() -> None:
        async with simulated(time_scale=0.1) as node:
            scene = Scene(node.url)
            scene.pulls.recorded(record(STARTED))
            await until(lambda: scene.facts)
            shelf: Any = node.shelf
            assert shelf._downloads
            end = PullEnded(pull_id="auto-1", model=TINY, node_id=ADA, outcome="too_large")
            scene.pulls.recorded(record(end))
            await until(lambda: not shelf._downloads)
            assert all(isinstance(fact, PullProgressed) for fact in scene.facts)

    on_each_loop(play())


def test_closing_stops_what_is_under_way(on_each_loop: Run[Any]) -> None:
    async def play() -> None:
        async with simulated(time_scale=0.1) as node:
            scene = Scene(node.url)
            scene.pulls.recorded(record(STARTED))
            await until(lambda: scene.facts)
            await scene.pulls.close()
            shelf: Any = node.shelf
            await until(lambda: not shelf._downloads)

    on_each_loop(play())


def test_a_node_that_is_not_there_is_an_outcome(on_each_loop: Run[Any]) -> None:
    async def play() -> None:
        for url in ("http://127.0.0.1:1", ""):
            scene = Scene(url)
            scene.pulls.recorded(record(STARTED))
            ended = await scene.ended()
            assert ended.outcome == "failed"
            assert ended.error

    on_each_loop(play())
