"""How many answers of a model a node was seen to make at once."""

from collections import defaultdict
from collections.abc import Iterable

from events import NodeId
from herd.whatif.evidence import Run

STAND_US = 50_000
"""Answers that overlap by less may only be reported late."""


def at_once(runs: Iterable[Run]) -> dict[tuple[NodeId, str], int]:
    """Return, by node and model, the most streams that had begun at one time."""
    changes: dict[tuple[NodeId, str], list[tuple[int, int]]] = defaultdict(list)
    for run in runs:
        if run.stream and run.first_us and run.ended_us > run.first_us + STAND_US:
            pair = changes[run.node_id, run.model]
            pair += [(run.first_us + STAND_US, 1), (run.ended_us, -1)]
    return {pair: _most(sorted(each)) for pair, each in changes.items()}


def sent_at_once(begun_us: Iterable[tuple[int, int]]) -> int:
    """Return the most of these spans (from, to) that cover one instant."""
    changes: list[tuple[int, int]] = []
    for from_us, to_us in begun_us:
        changes += [(from_us, 1), (to_us, -1)]
    return _most(sorted(changes))


def _most(changes: list[tuple[int, int]]) -> int:
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most
