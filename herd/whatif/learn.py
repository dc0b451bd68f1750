"""The machines as a log lets know them: what a re-run takes for the real ones.

What a node was seen to do with a model is fitted. What it was never seen to do is *extrapolated*:
from the same model on other nodes, by how much slower this one was with models that both served;
else from other models here, in proportion to their sizes; else from nodes elsewhere, by the speed
of their memory, where that is known. `Machines.speeds` says which is which.
"""

from collections.abc import Callable, Iterable, Mapping
from math import exp, fsum, log

import msgspec

from events import ModelFacts, NodeFacts, NodeId
from herd.simulator.hardware import (
    OVERHEAD_BYTES,
    STEP_TOKENS,
    UNBOUNDED,
    Measured,
    NodeSpec,
    SimulatedModel,
)
from herd.whatif.evidence import Evidence
from herd.whatif.fit import Speed, fitted
from herd.whatif.loads import Loads, loads
from herd.whatif.observe import by_node, stretches
from herd.whatif.seen import Seen
from herd.whatif.slots import at_once
from herd.whatif.tune import factors

LEAST_STRETCHES = 4
"""Fewer observations of a model on a node say nothing."""
TUNED = 2
"""Times that the machines are put to the test."""
KEEP_ALIVE_S = 300.0
"""Of an Ollama that nobody told otherwise."""

Pair = tuple[NodeId, str]


class Machines(msgspec.Struct, frozen=True):
    """All nodes that a log knows, as far as it knows them."""

    specs: dict[NodeId, NodeSpec]
    speeds: dict[Pair, Speed]
    """Of each model on each node; `observed` is 0 where it was extrapolated."""
    loads: Loads
    limits: dict[Pair, int]
    """Slots that a machine has, as told or seen."""


def learn(
    evidence: Evidence, progress: Callable[[list[NodeId]], Iterable[NodeId]] = iter
) -> Machines:
    """Learn all there is to know; `progress` passes the nodes on, several times."""
    limits = _limits(evidence)
    known: dict[Pair, Speed] = {}
    runs = by_node(evidence.runs)
    for node_id in progress(sorted(runs)):
        here = {model: slots for (node, model), slots in limits.items() if node == node_id}
        for model, seen in sorted(stretches(runs[node_id], here).items()):
            speed = fitted(seen) if len(seen) >= LEAST_STRETCHES else None
            if speed is not None:
                known[node_id, model] = speed
    sizes = _sizes(evidence)
    took = loads(evidence.runs, known, sizes)
    for _ in range(TUNED):
        for node_id in progress(sorted(runs)):
            if (seen_node := evidence.nodes.get(node_id)) is None:
                continue
            spec = _spec(evidence, seen_node, known, took, limits)
            played = [run for run in runs[node_id] if run.model in spec.measured]
            for model, factor in factors(spec, seen_node.at_first or (), played).items():
                known[node_id, model] = known[node_id, model].corrected(factor)
    memory = {each.node_id: each.facts.bandwidth_bytes_per_s for each in evidence.nodes.values()}
    speeds = {
        pair: known.get(pair) or extrapolated(pair, known, sizes, memory)
        for pair in sorted(limits)
        if known
    }
    specs = {
        node_id: _spec(evidence, seen, speeds, took, limits)
        for node_id, seen in sorted(evidence.nodes.items())
    }
    return Machines(specs, speeds, took, limits)


def extrapolated(
    pair: Pair,
    known: Mapping[Pair, Speed],
    sizes: Mapping[str, int],
    memory_bytes_per_s: Mapping[NodeId, int],
) -> Speed:
    """Return what a model's speed on a node may be; there must be some speed that is known."""
    node_id, model = pair
    elsewhere = {node: each for (node, name), each in known.items() if name == model}
    here = {name: each for (node, name), each in known.items() if node == node_id}
    related = {node: _ratios(node_id, node, known) for node in elsewhere}
    guesses = [elsewhere[node].slower(*ratios) for node, ratios in related.items() if ratios]
    if not guesses and here:
        guesses = [_resized(each, name, model, sizes) for name, each in here.items()]
    if not guesses:
        guesses = [
            _resized(each, name, model, sizes, _ratio(node_id, node, memory_bytes_per_s))
            for (node, name), each in known.items()
            if name == model or not elsewhere
        ]
    return _middle(guesses)


def _ratio(here: NodeId, there: NodeId, memory_bytes_per_s: Mapping[NodeId, int]) -> float:
    mine, theirs = memory_bytes_per_s.get(here, 0), memory_bytes_per_s.get(there, 0)
    return theirs / mine if mine and theirs else 1.0


def _ratios(
    node_id: NodeId, other: NodeId, known: Mapping[Pair, Speed]
) -> tuple[float, float] | None:
    """Return how much longer reading and computing take here than there, by common models."""
    both = [
        (speed, there)
        for (node, model), speed in known.items()
        if node == node_id and (there := known.get((other, model))) is not None
    ]
    if not both:
        return None
    reading = _mean(speed.step_s(1, 0) / there.step_s(1, 0) for speed, there in both)
    computing = _mean(
        speed.step_s(STEP_TOKENS, 0) / there.step_s(STEP_TOKENS, 0) for speed, there in both
    )
    return reading, computing


def _resized(
    speed: Speed, name: str, model: str, sizes: Mapping[str, int], ratio: float = 1.0
) -> Speed:
    """Return the speed of a model of another size: all its work is in proportion to the weights."""
    size, other = sizes.get(model, 0), sizes.get(name, 0)
    ratio *= size / other if size and other else 1.0
    return speed.slower(ratio, ratio)


def _middle(speeds: Iterable[Speed]) -> Speed:
    each = list(speeds)
    return Speed(
        _mean(speed.weights_s for speed in each),
        _mean(speed.token_s for speed in each),
        _mean(speed.fixed_s for speed in each),
        _mean(speed.cached_token_s for speed in each),
    )


def _mean(values: Iterable[float]) -> float:
    """Return the geometric mean."""
    logs = [log(max(1e-30, value)) for value in values]
    return exp(fsum(logs) / len(logs))


def _limits(evidence: Evidence) -> dict[Pair, int]:
    """Return the slots of each model on each node that has it, or has run it.

    Where nobody told, they are the most that any model was seen to use there: an Ollama has one
    number for all.
    """
    seen = at_once(evidence.runs)
    ran = {(run.node_id, run.model) for run in evidence.runs}
    pairs = ran | {
        (node.node_id, model) for node in evidence.nodes.values() for model in node.models
    }
    embeds = _embeds(evidence)
    most: dict[NodeId, int] = {}
    for (node_id, _), slots in [*seen.items(), *evidence.proven.items()]:
        most[node_id] = max(slots, most.get(node_id, 1))
    limits: dict[Pair, int] = {}
    for node_id, model in sorted(pairs):
        node = evidence.nodes.get(node_id)
        told = 0 if node is None else node.slots
        limits[node_id, model] = told or most.get(node_id, 1)
        if model in embeds and node is not None and node.loads:
            limits[node_id, model] = 1
    return limits


def _embeds(evidence: Evidence) -> set[str]:
    """Return the models that never make an answer: an Ollama runs these one by one."""
    told = {
        model.name
        for node in evidence.nodes.values()
        for model in node.models.values()
        if "embedding" in model.capabilities
    }
    silent = {run.model for run in evidence.runs if run.whole}
    return told | (silent - {run.model for run in evidence.runs if run.completion_tokens})


def _sizes(evidence: Evidence) -> dict[str, int]:
    """Return the size of each model in bytes: of its file, else of what it took in memory."""
    sizes: dict[str, int] = {}
    for (_, model), size in sorted(evidence.sizes.items()):
        sizes[model] = max(size, sizes.get(model, 0))
    for _, node in sorted(evidence.nodes.items()):
        sizes |= {
            model.name: model.size_bytes for model in node.models.values() if model.size_bytes
        }
    return sizes


def _spec(
    evidence: Evidence,
    seen: Seen,
    speeds: Mapping[Pair, Speed],
    took: Loads,
    limits: Mapping[Pair, int],
) -> NodeSpec:
    models = [model for node, model in limits if node == seen.node_id]
    sizes = {model: _memory(evidence, seen.node_id, model, took.sizes) for model in models}
    together = max(evidence.together.get(seen.node_id, 0), max(sizes.values(), default=0))
    facts: NodeFacts = msgspec.structs.replace(
        seen.facts, vram_bytes=seen.facts.vram_bytes or together
    )
    if not seen.loads:
        facts = msgspec.structs.replace(facts, max_loaded_models=UNBOUNDED)
    return NodeSpec(
        name=seen.node_id,
        facts=facts,
        models=tuple(_model(seen, model, took.sizes) for model in models),
        offload_bytes=max(seen.facts.memory_bytes, 4 * together),
        context_tokens=seen.context_tokens,
        keep_alive_s=(seen.keep_alive_s or KEEP_ALIVE_S) if seen.loads else -1.0,
        measured={
            model: Measured(
                weights_s=speed.weights_s,
                token_s=speed.token_s,
                fixed_s=speed.fixed_s,
                cached_token_s=speed.cached_token_s,
                load_s=took.lasts_s(seen.node_id, model) if seen.loads else 0.0,
                slots=limits[seen.node_id, model],
                resident_bytes=size,
            )
            for model, size in sizes.items()
            if (speed := speeds.get((seen.node_id, model))) is not None
        },
    )


def _model(seen: Seen, model: str, sizes: Mapping[str, int]) -> SimulatedModel:
    facts = seen.models.get(model) or ModelFacts(name=model, size_bytes=sizes.get(model, 0))
    return SimulatedModel(
        facts=msgspec.structs.replace(facts, name=model),
        architecture=facts.family,
        parameters=0,
    )


def _memory(evidence: Evidence, node_id: NodeId, model: str, sizes: Mapping[str, int]) -> int:
    """Return what a model takes in memory: as seen here, else elsewhere, else by its size."""
    if (size := evidence.sizes.get((node_id, model))) is not None:
        return size
    elsewhere = [size for (_, name), size in evidence.sizes.items() if name == model]
    return max(elsewhere, default=sizes.get(model, 0) + OVERHEAD_BYTES)
