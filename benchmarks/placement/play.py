"""One run in virtual time: a fleet, a workload and a policy, and the figures that came of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from actors.core.placement import Policy
from actors.core.policies import place
from actors.core.state import US
from benchmarks.placement.workload import best_s
from events import (
    ConfigurationLoaded,
    LoadFinished,
    NodeConfigured,
    NodeFacts,
    NodeId,
    NodeProbed,
    Recorded,
)
from herd.simulator.hardware import NodeSpec
from herd.simulator.physics import Machine
from herd.virtual.script import Arrival, Happening, Line, Outcome
from herd.virtual.world import World

START_US = 1_760_000_000_000_000
BEGIN_US = START_US + US
DEADLINE_S, DEADLINE_SLOWDOWN = 10.0, 5.0
"""A usual deadline: the larger of ten seconds and five times the least that it can take."""


class Figures(msgspec.Struct):
    """What came of one run."""

    slowdown: float
    slowdown_p95: float
    goodput: float
    wait_p50_s: float
    ttft_p50_s: float
    ttft_p95_s: float
    ttft_p99_s: float
    cold: float
    failed: float
    worst_model: float
    """The mean slowdown of the model that fares worst, over that of all."""
    longest_wait_s: float
    planned: float = 0.0
    """Loads that were planned, beside the cold ones."""
    evictions: float = 0.0
    """Models that were seen to be gone from a node's memory."""
    cut: float = 0.0
    """Of those that failed: after their answer had begun, so that no other node could be asked."""


class _Counted:
    """What the log says of loads that no request waited for, and of models that went."""

    def __init__(self, also: Callable[[Recorded], None] | None) -> None:
        self._also = also
        self.planned = self.evictions = 0
        self._resident: dict[NodeId, frozenset[str]] = {}

    def observe(self, record: Recorded) -> None:
        """Take one record."""
        event = record.event
        if self._also is not None:
            self._also(record)
        if isinstance(event, LoadFinished):
            self.planned += not event.error
        elif isinstance(event, NodeProbed) and event.resident is not None:
            now = frozenset(model.name for model in event.resident)
            self.evictions += len(self._resident.get(event.node_id, frozenset()) - now)
            self._resident[event.node_id] = now


def fleet(
    specs: Sequence[NodeSpec],
    policy: str,
    slots: int | None = None,
    *,
    told: bool = True,
    more: Mapping[str, bool | int | float | str] | None = None,
) -> Iterator[Line]:
    """Yield the facts by which control learns of a fleet; `told`: its nodes tell their machines.

    `more` are further settings.
    """
    urls = {spec.name: f"http://{spec.name}:11434" for spec in specs}
    settings = ConfigurationLoaded(
        settings={
            "policy": policy,
            "nodes": " ".join(urls.values()),
            "queue_timeout_s": 100_000.0,
            "max_queue": 100_000,
            "max_queue_total": 100_000,
            **(more or {}),
        }
    )
    yield Happening(at_us=START_US, fact=settings)
    for spec in specs:
        name = NodeId(spec.name)
        flag = NodeConfigured(
            node_id=name, url=urls[spec.name], slots=spec.facts.slots if slots is None else slots
        )
        found = NodeProbed(
            node_id=name,
            reachable=True,
            facts=spec.facts if told else NodeFacts(version=spec.facts.version),
            resident=(),
            models=tuple(model.facts for model in spec.models),
        )
        yield Happening(at_us=START_US, fact=flag)
        yield Happening(at_us=START_US, fact=found)


def play(
    specs: Sequence[NodeSpec],
    asked: Sequence[Arrival],
    policy: str,
    *,
    slots: int | None = None,
    by: Policy = place,
    told: bool = True,
    more: Mapping[str, bool | int | float | str] | None = None,
    faults: Sequence[Happening] = (),
    also: Callable[[Recorded], None] | None = None,
) -> Figures:
    """Play a workload to a fleet, cold at the start; `slots`: told to herd in place of the own.

    `also` is given every record.
    """
    machines = {NodeId(spec.name): Machine(spec) for spec in specs}
    counted = _Counted(also)
    world = World(machines, start_us=START_US, policy=by, observe=counted.observe)
    lines: list[Line] = [*fleet(specs, policy, slots, told=told, more=more), *asked, *faults]
    lines.sort(key=lambda line: line.at_us)
    world.run(lines, settle_s=1e6)
    found = figures(specs, asked, world.outcomes)
    found.cut = sum(each.how == "failed" and each.ttft_s > 0 for each in world.outcomes)
    found.planned, found.evictions = counted.planned, counted.evictions
    return found


def figures(
    specs: Sequence[NodeSpec], asked: Sequence[Arrival], outcomes: Sequence[Outcome]
) -> Figures:
    """Return what came of it; a request that failed counts as never done."""
    least_s = {each.request.request_id: best_s(specs, each) for each in asked}
    done = {each.request_id: each for each in outcomes if each.how == "completed"}
    slow = {name: done[name].total_s / least_s[name] for name in done}
    met = sum(
        each.total_s <= max(DEADLINE_S, DEADLINE_SLOWDOWN * least_s[name])
        for name, each in done.items()
    )
    ordered = sorted(slow.values())
    first = sorted(each.ttft_s for each in done.values())
    mean = sum(ordered) / len(ordered)
    models = {each.model for each in done.values()}
    by_model = [
        [slow[name] for name, each in done.items() if each.model == model] for model in models
    ]
    return Figures(
        slowdown=mean,
        slowdown_p95=_at(ordered, 0.95),
        goodput=met / len(asked),
        wait_p50_s=_at(sorted(each.wait_s for each in done.values()), 0.5),
        ttft_p50_s=_at(first, 0.5),
        ttft_p95_s=_at(first, 0.95),
        ttft_p99_s=_at(first, 0.99),
        cold=sum(each.cold for each in done.values()),
        failed=len(asked) - len(done),
        worst_model=max(sum(each) / len(each) for each in by_model) / mean,
        longest_wait_s=max(each.wait_s for each in done.values()),
    )


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
