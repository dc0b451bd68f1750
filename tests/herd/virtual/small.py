"""Small worlds: the demo's three machines, and some traffic."""

from collections.abc import Iterator

from events import ConfigurationLoaded, NodeConfigured, NodeId, NodeProbed, Recorded
from herd.simulator.hardware import NodeSpec
from herd.simulator.physics import Machine
from herd.simulator.profiles import mini, studio, tower
from herd.virtual.script import Happening, Line
from herd.virtual.traffic import Share, traffic
from herd.virtual.world import World

START_US = 1_760_000_000_000_000
BEGIN_US = START_US + 1_000_000
SPECS = (studio(), tower(), mini())
MIX = (Share(5, "llama3.2:3b"), Share(3, "qwen2.5:7b"))


def fleet(policy: str = "resident-first", specs: tuple[NodeSpec, ...] = SPECS) -> Iterator[Line]:
    """The fleet as control learns of it."""
    urls = {spec.name: f"http://{spec.name}:11434" for spec in specs}
    settings = ConfigurationLoaded(settings={"policy": policy, "nodes": " ".join(urls.values())})
    yield Happening(at_us=START_US, fact=settings)
    for spec in specs:
        name = NodeId(spec.name)
        told = NodeConfigured(node_id=name, url=urls[spec.name], slots=spec.facts.slots)
        found = NodeProbed(
            node_id=name,
            reachable=True,
            facts=spec.facts,
            resident=(),
            models=tuple(model.facts for model in spec.models),
        )
        yield Happening(at_us=START_US, fact=told)
        yield Happening(at_us=START_US, fact=found)


def played(*lines: Line, specs: tuple[NodeSpec, ...] = SPECS) -> tuple[World, list[Recorded]]:
    """A world after a script, and its log."""
    log: list[Recorded] = []
    machines = {NodeId(spec.name): Machine(spec) for spec in specs}
    world = World(machines, start_us=START_US, observe=log.append)
    world.run(lines)
    return world, log


def busy(
    policy: str = "resident-first", *, count: int = 300, per_s: float = 2.0
) -> tuple[World, list[Recorded]]:
    """A world after so many requests, in bursts."""
    asked = traffic(MIX, count=count, per_s=per_s, start_us=BEGIN_US, seed=3, burstiness=2)
    return played(*fleet(policy), *asked)
