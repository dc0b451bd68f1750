"""A re-run: the machines as they were learned, a herd with its recorded state, and the script."""

from collections.abc import Callable, Iterable

import msgspec

from events import NodeId
from herd.simulator.hardware import NodeSpec
from herd.simulator.profiles import PROFILES
from herd.virtual.script import Line, Outcome
from herd.virtual.world import World
from herd.whatif.change import Change
from herd.whatif.evidence import Evidence
from herd.whatif.learn import Machines
from herd.whatif.preload import preloaded
from herd.whatif.story import script, start


def rerun(
    evidence: Evidence,
    learned: Machines,
    change: Change,
    progress: Callable[[list[Line]], Iterable[Line]] = iter,
    *,
    play: int = 0,
) -> list[Outcome]:
    """Return what becomes of the recorded requests; `progress` passes the script on."""
    specs = specs_of(learned, change)
    machines = {
        node_id: preloaded(spec, () if seen is None else seen.at_first or ())
        for node_id, spec in specs.items()
        for seen in [evidence.nodes.get(node_id)]
    }
    world = World(machines, start_us=evidence.start_us, state=start(evidence, change))
    world.run(progress(script(evidence, change, specs, play)))
    return world.outcomes


def specs_of(learned: Machines, change: Change) -> dict[NodeId, NodeSpec]:
    """Return the machines of the re-run: those that were learned, changed."""
    specs = {
        node_id: spec for node_id, spec in learned.specs.items() if node_id not in change.without
    }
    for node_id, like in change.added.items():
        known = learned.specs.get(NodeId(like))
        spec = PROFILES[like]() if known is None else known
        specs[node_id] = msgspec.structs.replace(spec, name=node_id)
    for node_id, slots in change.slots.items():
        if node_id in specs:
            specs[node_id] = _with_slots(specs[node_id], slots)
    return specs


def _with_slots(spec: NodeSpec, slots: int) -> NodeSpec:
    """Return a machine that serves so many at once, but for embeddings, which it does one by one.

    That more slots take more memory is left out: the log does not say how much.
    """
    embeds = {model.facts.name for model in spec.models if model.embeds}
    measured = {
        model: each if model in embeds else msgspec.structs.replace(each, slots=slots)
        for model, each in spec.measured.items()
    }
    facts = msgspec.structs.replace(spec.facts, slots=slots)
    return msgspec.structs.replace(spec, facts=facts, measured=measured)
