"""Figures of what was measured, pure."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from events import MeasuredModel, MeasuredNode, NodeId
from herd.bench.choosing import Choice, Node, Status

_GIB = 1024**3


class Sample(msgspec.Struct, frozen=True, gc=False):
    """One request to its end."""

    model: str
    node_id: str = ""
    failed: bool = False
    latency_s: float = 0.0
    ttft_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    began_s: float = 0.0
    """On any clock that all of a run share."""


class Peaks:
    """The most requests that were seen at work on each node."""

    def __init__(self) -> None:
        """Begin with none."""
        self._most: dict[str, int] = {}

    def look(self, status: Status) -> None:
        """See the fleet as it is now."""
        now: dict[str, int] = {}
        for queue in status.queues.values():
            now[queue.node_id] = now.get(queue.node_id, 0) + queue.in_flight
        for node_id, count in now.items():
            self._most[node_id] = max(count, self._most.get(node_id, 0))

    def of(self, node_id: str) -> int:
        """Return a node's."""
        return self._most.get(node_id, 0)


def percentile(values: Sequence[float], percent: int) -> float | None:
    """Return the nearest rank; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return round(ordered[max(0, -(-len(ordered) * percent // 100) - 1)], 4)


def by_model(
    samples: Sequence[Sample], choices: Iterable[Choice], slots: Callable[[str], int]
) -> tuple[MeasuredModel, ...]:
    """Return what each model gave, in the order of the choices."""
    rows: list[MeasuredModel] = []
    for choice in choices:
        mine = [sample for sample in samples if sample.model == choice.model]
        good = [sample for sample in mine if not sample.failed]
        rows.append(
            MeasuredModel(
                model=choice.model,
                model_type=choice.model_type,
                size_bytes=choice.size_bytes,
                slots=slots(choice.model),
                requests=len(good),
                failed=len(mine) - len(good),
                prompt_tokens=sum(sample.prompt_tokens for sample in good),
                completion_tokens=sum(sample.completion_tokens for sample in good),
                latency_s=_mean([sample.latency_s for sample in good]),
                ttft_s=_mean([sample.ttft_s for sample in good]),
                took_s=_took_s(mine),
            )
        )
    return tuple(rows)


def by_node(
    samples: Sequence[Sample], nodes: Iterable[Node], peaks: Peaks
) -> tuple[MeasuredNode, ...]:
    """Return what each node gave, also those that were given nothing to do."""
    rows: list[MeasuredNode] = []
    for node in nodes:
        mine = [s for s in samples if s.node_id == node.node_id]
        good = [sample for sample in mine if not sample.failed]
        rows.append(
            MeasuredNode(
                node_id=NodeId(node.node_id),
                cores=node.hardware.cores_physical or 0,
                memory_bytes=round((node.hardware.memory_total_gb or 0.0) * _GIB),
                requests=len(good),
                completion_tokens=sum(sample.completion_tokens for sample in good),
                active_peak=peaks.of(node.node_id),
                took_s=_took_s(mine),
            )
        )
    return tuple(rows)


def _took_s(samples: Sequence[Sample]) -> float:
    """Return the time from the first send to the last end."""
    began_s = min((sample.began_s for sample in samples), default=0.0)
    ended_s = max((sample.began_s + sample.latency_s for sample in samples), default=0.0)
    return round(ended_s - began_s, 3)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0
