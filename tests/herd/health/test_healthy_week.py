"""A week of a healthy fleet, in virtual time: not one check says that anything is wrong.

People work by day, few ask by night; models are loaded, leave when nobody asks, and make room for
one another. Now and then somebody does not wait for the end of an answer.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import cast

import msgspec
import pytest

from actors.core.state import US
from events import ConfigurationLoaded, NodeId, NodeProbed
from herd.config import Settings
from herd.simulator.hardware import NodeSpec
from herd.simulator.physics import Machine
from herd.simulator.profiles import LLAMA_3B, QWEN_7B
from herd.virtual.script import NEVER, Arrival, Happening, Line
from herd.virtual.traffic import Share, traffic
from herd.virtual.world import World
from tests.herd.health.watch import HOUR_US, Watch
from tests.herd.logd.rig import data_dir, store
from tests.herd.virtual.small import SPECS, START_US, fleet

HOURS = 7 * 24
LOOKS_EVERY = 4
PER_HOUR = (4,) * 7 + (30, 80) + (150,) * 4 + (90,) + (150,) * 4 + (60, 40, 40, 30, 20, 10)
"""Requests in each hour of a day."""
MIX = (
    Share(6, "llama3.2:3b"),
    Share(3, "qwen2.5:7b"),
    Share(1, "llama3.3:70b"),
)


def asked(hour: int) -> Iterator[Arrival]:
    """The requests of an hour; a few do not wait for the end."""
    chance = Random(hour)  # noqa: S311 (traffic, not secrets)
    count = PER_HOUR[hour % 24]
    start_us = START_US + hour * HOUR_US + US
    for each in traffic(MIX, count=count, per_s=count / 3_500, start_us=start_us, seed=hour):
        if each.at_us < START_US + (hour + 1) * HOUR_US:
            patience_s = chance.uniform(1, 9) if chance.random() < 0.03 else NEVER
            yield msgspec.structs.replace(each, patience_s=patience_s)


def probed(hour: int, specs: tuple[NodeSpec, ...]) -> Iterator[Happening]:
    """What control sees of the nodes, once a minute: the world puts in what is in memory."""
    for minute in range(60):
        for spec in specs:
            fact = NodeProbed(node_id=NodeId(spec.name), reachable=True, resident=())
            yield Happening(at_us=START_US + hour * HOUR_US + minute * 60 * US + US, fact=fact)


def begun(specs: tuple[NodeSpec, ...]) -> Iterator[Line]:
    """The settings as `herd run` has them, and the fleet."""
    loaded, *known = fleet("soonest", specs)
    assert isinstance(loaded, Happening)
    assert isinstance(loaded.fact, ConfigurationLoaded)
    settings = Settings().flat() | loaded.fact.settings
    yield Happening(at_us=START_US, fact=ConfigurationLoaded(settings=settings))
    yield from known


def week() -> Iterator[Line]:
    yield from begun(SPECS)
    for hour in range(HOURS):
        lines: list[Line] = [*asked(hour), *probed(hour, SPECS)]
        yield from sorted(lines, key=lambda line: line.at_us)


def watched(
    path: Path, specs: tuple[NodeSpec, ...], script: Iterator[Line], every_hours: int
) -> tuple[Watch, World]:
    """Play a script, and look at it every so many hours."""
    directory = data_dir(path)
    with store(directory) as connection:
        watch = Watch(directory, connection, every_hours)
        watch.begin()
        machines = {NodeId(spec.name): Machine(spec) for spec in specs}
        world = World(machines, start_us=START_US, state=watch.state, observe=watch)
        world.run(script)
        watch.journal.close()
    return watch, world


@pytest.mark.long
def test_no_check_fires_in_a_week_of_work(tmp_path: Path) -> None:
    watch, world = watched(tmp_path, SPECS, week(), LOOKS_EVERY)
    ends = Counter(each.how for each in world.outcomes)
    assert set(ends) == {"completed", "cancelled"}
    assert ends["completed"] > 9_000
    assert ends["cancelled"] > 20
    assert sum(each.cold for each in world.outcomes) > 20
    assert watch.looks >= HOURS // LOOKS_EVERY - 1
    assert watch.told == []


def one_after_the_other(spec: NodeSpec, gap_s: int) -> Iterator[Line]:
    """Three hours in which two models are asked for in turn."""
    yield from begun((spec,))
    for hour in range(3):
        lines: list[Line] = list(probed(hour, (spec,)))
        for number in range(3_600 // gap_s):
            start_us = START_US + hour * HOUR_US + (number * gap_s + 5) * US
            model = spec.models[number % 2].facts.name
            lines += traffic([Share(1, model)], count=1, per_s=1e3, start_us=start_us, seed=number)
        yield from sorted(lines, key=lambda line: line.at_us)


def small(vram_gib: int) -> NodeSpec:
    spec = next(each for each in SPECS if each.name == "tower")
    facts = msgspec.structs.replace(spec.facts, slots=1, vram_bytes=vram_gib << 30)
    return msgspec.structs.replace(spec, name="small", facts=facts, models=(LLAMA_3B, QWEN_7B))


def test_two_models_that_do_not_fit_together_are_told_of(tmp_path: Path) -> None:
    watch, world = watched(tmp_path, (small(7),), one_after_the_other(small(7), 120), 1)
    assert sum(each.cold for each in world.outcomes) > 60
    first = next(found for _, found in watch.told if found.check_id == "model_thrashing")
    models = cast("dict[str, int]", first.data["models"])
    assert set(models) == {"llama3.2:3b", "qwen2.5:7b"}
    assert min(models.values()) > 10
    assert first.seqs


def test_models_that_left_by_themselves_are_not(tmp_path: Path) -> None:
    watch, world = watched(tmp_path, (small(24),), one_after_the_other(small(24), 400), 1)
    assert sum(each.cold for each in world.outcomes) > 20
    assert [found for _, found in watch.told if found.severity != "info"] == []
