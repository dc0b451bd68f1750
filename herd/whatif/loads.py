"""How long the loads took that a log shows, and how long others would take."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import fsum

import msgspec

from actors.core.placement import LOAD_BYTES_PER_S
from actors.core.state import US
from events import NodeId
from herd.whatif.evidence import Run
from herd.whatif.fit import Speed
from herd.whatif.observe import NO_LOAD_S, by_node

FIXED_S = 0.5
"""What a load takes beside reading, where only one size was seen."""


class Loads(msgspec.Struct, frozen=True):
    """The loads of a log."""

    known: dict[tuple[NodeId, str], float]
    """Seconds, by node and model."""
    sizes: dict[str, int]
    """Bytes, by model."""

    def lasts_s(self, node_id: NodeId, model: str) -> float:
        """Return how long a load takes: as seen, else as its size and other loads let expect."""
        if (seen_s := self.known.get((node_id, model))) is not None:
            return seen_s
        here = self._seen(each for each in self.known if each[0] == node_id)
        fixed_s, byte_s = _line(here or self._seen(self.known))
        return fixed_s + byte_s * self.sizes.get(model, 0)

    def _seen(self, pairs: Iterable[tuple[NodeId, str]]) -> list[tuple[int, float]]:
        return [
            (self.sizes[model], self.known[node_id, model])
            for node_id, model in pairs
            if self.sizes.get(model)
        ]


def loads(
    runs: Iterable[Run], speeds: Mapping[tuple[NodeId, str], Speed], sizes: dict[str, int]
) -> Loads:
    """Return the loads: the lower quartile of each node and model, as many have to wait first."""
    seen: dict[tuple[NodeId, str], list[float]] = defaultdict(list)
    for node_id, here in by_node(runs).items():
        told = ((run, _took_s(run, speeds)) for run in here if run.cold and run.whole)
        spans = [
            (run.begun_us + round(took_s * US), run.begun_us, run.model)
            for run, took_s in told
            if took_s >= NO_LOAD_S
        ]
        loaded_us = 0
        for ready_us, begun_us, model in sorted(spans):
            # A node loads one model after the other.
            seen[node_id, model].append((ready_us - max(begun_us, loaded_us)) / US)
            loaded_us = ready_us
    return Loads({pair: sorted(times)[len(times) // 4] for pair, times in seen.items()}, sizes)


def _took_s(run: Run, speeds: Mapping[tuple[NodeId, str], Speed]) -> float:
    """Return how long a load took: as the node says, else what its prompt does not explain."""
    speed = speeds.get((run.node_id, run.model))
    if run.load_s or speed is None or not run.first_us:
        return run.load_s
    return (run.first_us - run.begun_us) / US - speed.prompt_s(run.prompt_tokens)


def _line(seen: list[tuple[int, float]]) -> tuple[float, float]:
    """Return the fixed part, and the seconds a byte, of loads of these sizes."""
    if not seen:
        return FIXED_S, 1.0 / LOAD_BYTES_PER_S
    mean_bytes = fsum(size for size, _ in seen) / len(seen)
    mean_s = fsum(took_s for _, took_s in seen) / len(seen)
    spread = fsum((size - mean_bytes) ** 2 for size, _ in seen)
    if spread:
        byte_s = fsum((size - mean_bytes) * (took_s - mean_s) for size, took_s in seen) / spread
        fixed_s = mean_s - byte_s * mean_bytes
        if byte_s > 0 and fixed_s >= 0:
            return fixed_s, byte_s
    fixed_s = min(FIXED_S, mean_s / 2)
    return fixed_s, (mean_s - fixed_s) / mean_bytes
