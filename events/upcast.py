"""Stored events of older versions, brought up to date when they are read; never rewritten.

A step takes the raw JSON object of version N of one kind and returns version N+1. Its name says
both: `request_queued_v1_to_v2`. Lines of each released version are kept in `tests/golden/`.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

Step: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

STEPS: Mapping[tuple[str, int], Step] = {}
"""(kind, version it starts from) -> step."""


def upcast(
    kind: str, version: int, line: bytes, steps: Mapping[tuple[str, int], Step] = STEPS
) -> bytes | None:
    """Return the line in its newest version, or None if it is that already."""
    if (kind, version) not in steps:
        return None
    raw: dict[str, Any] = msgspec.json.decode(line)
    while (step := steps.get((kind, version))) is not None:
        raw = step(raw)
        version += 1
    return msgspec.json.encode({**raw, "v": version})


def newest(kind: str, steps: Mapping[tuple[str, int], Step] = STEPS) -> int:
    """Return the version of a kind that this code writes: one more than its last step starts at."""
    return max((version + 1 for (stepped, version) in steps if stepped == kind), default=1)
