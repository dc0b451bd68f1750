"""Scenes of a fleet in virtual time: its machines at work, what goes wrong there, what Health says.

What is done to a machine is done while the script is read: world and script take turns.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from actors.core.placement import Policy
from actors.core.policies import place
from actors.core.state import US
from events import ConfigurationLoaded, Event, HeartbeatReceived, NodeId, Recorded
from herd.config import Settings
from herd.health.finding import Finding
from herd.simulator.hardware import NodeSpec
from herd.simulator.physics import Machine
from herd.virtual.script import Arrival, Happening, Line
from herd.virtual.traffic import traffic
from herd.virtual.world import World
from tests.herd.health.watch import HOUR_US, Watch
from tests.herd.logd.rig import data_dir, store
from tests.herd.virtual.small import MIX, SPECS, START_US

VERSION = Watch.version


class Scene:
    """A fleet whose nodes have agents, each heard of once a minute, and some traffic."""

    def __init__(
        self,
        *specs: NodeSpec,
        hours: int = 2,
        per_hour: int = 60,
        asks: "Ask" = lambda arrival: arrival,
        does: "Mapping[int, Deed] | None" = None,
        policy: Policy = place,
        **settings: str | float | bool,
    ) -> None:
        """`asks` changes what is asked, or leaves it out; `does` says what happens when."""
        self.specs = specs or SPECS
        self.machines = {NodeId(spec.name): Machine(spec) for spec in self.specs}
        self.silent: set[str] = set()
        """Nodes whose agents say nothing any more."""
        self.unwakeable: set[NodeId] = set()
        """Nodes that sleep on, whatever is sent to wake them."""
        self.said: dict[str, dict[str, Any]] = {}
        """What an agent says otherwise than its machine is."""
        self.watch: Watch
        self.kinds: dict[int, str] = {}
        """Of the events, by their numbers."""
        self.minute = 0
        self.look_after_s = 0.0
        self._hours = hours
        self._per_hour = per_hour
        self._asks = asks
        self._does = does or {}
        self._policy = policy
        self._settings = settings

    def plays(self, path: Path) -> dict[str, Finding]:
        """Return what Health says at the end, by the names of the checks."""
        directory = data_dir(path)
        with store(directory) as connection:
            self.watch = Watch(directory, connection)
            self.watch.begin()
            world = World(
                self.machines,
                start_us=START_US,
                state=self.watch.state,
                policy=self._policy,
                observe=self._observe,
            )
            world.unwakeable = self.unwakeable
            world.run(self._script())
            now_us = self.watch.state.recorded_at + int(self.look_after_s * US)
            found = self.watch.look(now_us)
            self.watch.journal.close()
        return {each.check_id: each for each in found}

    def machine(self, name: str) -> Machine:
        """Return a node's machine."""
        return self.machines[NodeId(name)]

    def _observe(self, record: Recorded) -> None:
        self.kinds[record.seq] = str(record.event.__struct_config__.tag)
        self.watch(record)

    def _script(self) -> Iterator[Line]:
        settings = Settings().flat() | self._settings
        yield Happening(at_us=START_US, fact=ConfigurationLoaded(settings=settings))
        asked = [each for hour in range(self._hours) for each in self._asked(hour)]
        for minute in range(self._hours * 60):
            at_us = START_US + minute * 60 * US
            while asked and asked[0].at_us < at_us:
                yield asked.pop(0)
            self.minute = minute
            if minute in self._does:
                for fact in self._does[minute](self) or ():
                    yield Happening(at_us=at_us, fact=fact)
            for spec in self.specs:
                if spec.name not in self.silent:
                    yield Happening(at_us=at_us, fact=self._beat(spec))
        yield from asked

    def _asked(self, hour: int) -> Iterator[Arrival]:
        per_s = self._per_hour / 3_500
        start_us = START_US + hour * HOUR_US + US
        found = traffic(MIX, count=self._per_hour, per_s=per_s, start_us=start_us, seed=hour)
        for each in map(self._asks, found):
            if each is not None and each.at_us < start_us + HOUR_US - US:
                yield each

    def _beat(self, spec: NodeSpec) -> HeartbeatReceived:
        """Return what an agent says of its node; the world puts in what is in its memory."""
        beat = HeartbeatReceived(
            node_id=NodeId(spec.name),
            url=f"http://{spec.name}:11434",
            facts=msgspec.structs.replace(spec.facts, agent_version=VERSION),
            models=tuple(model.facts for model in spec.models),
        )
        return msgspec.structs.replace(beat, **self.said.get(spec.name, {}))


Ask: TypeAlias = Callable[[Arrival], Arrival | None]
Deed: TypeAlias = Callable[[Scene], list[Event] | None]
"""Does something to a fleet, or names what happens."""
