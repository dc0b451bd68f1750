"""Two benchmarks side by side, pure: what changed, by how much, and whether for the better."""

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import msgspec

Run: TypeAlias = Mapping[str, object]
"""A run as `/dashboard/api/benchmarks` has it."""

FIGURES: Final = {
    "requests_per_sec": True,
    "tokens_per_sec": True,
    "ttft_p50_ms": False,
    "ttft_p95_ms": False,
    "ttft_p99_ms": False,
    "latency_p50_ms": False,
    "latency_p95_ms": False,
    "latency_p99_ms": False,
}
"""What is compared, and whether more of it is better."""
SAME_PCT: Final = 1.0
"""A smaller change is none."""


class _Model(msgspec.Struct):
    name: str


class _Node(msgspec.Struct):
    node_id: str


class _Fleet(msgspec.Struct):
    """The fleet that was measured."""

    models: list[_Model] = []
    nodes: list[_Node] = []


def compared(before: Run, after: Run) -> list[dict[str, object]]:
    """Return a row for each figure; `verdict` is better, worse, same or unknown."""
    return [
        {"figure": name, "before": before.get(name), "after": after.get(name)}
        | _change(before.get(name), after.get(name), more=more)
        for name, more in FIGURES.items()
    ]


def unlike(before: Run, after: Run) -> list[str]:
    """Return in words what makes two runs hard to compare; nothing where they are alike."""
    one, other = _fleet(before), _fleet(after)
    pairs = {
        "models": (_listed(m.name for m in one.models), _listed(m.name for m in other.models)),
        "nodes": (_listed(n.node_id for n in one.nodes), _listed(n.node_id for n in other.nodes)),
    }
    said = [f"other {what}: {was}; then {now}" for what, (was, now) in pairs.items() if was != now]
    if before.get("mode") != after.get("mode"):
        said.append(f"another mode: {before.get('mode')}; then {after.get('mode')}")
    return said


def _change(before: object, after: object, *, more: bool) -> dict[str, object]:
    if not isinstance(before, int | float) or not isinstance(after, int | float) or not before:
        return {"change_pct": None, "verdict": "unknown"}
    change = round(100 * (after - before) / before, 1)
    if abs(change) < SAME_PCT:
        return {"change_pct": change, "verdict": "same"}
    return {"change_pct": change, "verdict": "better" if (change > 0) is more else "worse"}


def _fleet(run: Run) -> _Fleet:
    return msgspec.convert(run.get("fleet_snapshot") or {}, _Fleet)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
