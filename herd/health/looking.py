"""What is asked of the log to judge health, and how the answers become a picture.

The page asks logd, a test asks the database: the same questions, of the last day and hour to the
whole ten minutes, and the same answers make the same picture.
"""

import shutil
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from herd.health.picture import Context, LogState, Picture, Trouble, Work
from herd.journal.tail import Position, waiting_since_us
from herd.link.messages import View
from herd.paths import DataDir

DAY_S: Final = 86_400
HOUR_S: Final = 3_600
STEP_S: Final = 600
"""logd has counted by so much: a window begins with the whole of it."""
US: Final = 1_000_000

Rows: TypeAlias = Sequence[Mapping[str, Any]]
T = TypeVar("T", bound=msgspec.Struct)


def questions(now_s: float) -> dict[str, dict[str, int]]:
    """Return the named queries with what each is asked; `now_s` is seconds since the epoch."""
    now = int(now_s) // STEP_S * STEP_S
    day = {"from_us": (now - DAY_S) * US}
    spans = day | {"recent_us": (now - HOUR_S) * US}
    return {
        "health_troubles": spans,
        "health_work": spans,
        "health_contexts": day,
        "log_health": {},
    }


def picture_of(
    view: View,
    answers: Mapping[str, Rows],
    now_s: float,
    *,
    version: str = "",
    data_dir: DataDir | None = None,
) -> Picture:
    """Return what the checks look at, of the answers by the names of their questions."""
    state = answers["log_health"][0]
    last_at_s = now_s if state["last_at_s"] is None else float(state["last_at_s"])
    return Picture(
        view=view,
        version=version,
        troubles=_structs(answers["health_troubles"], Trouble),
        work=_structs(answers["health_work"], Work),
        contexts=_structs(answers["health_contexts"], Context),
        log=LogState(
            missing_events=state["missing_events"] or 0,
            quarantined_lines=state["quarantined_lines"] or 0,
            lag_s=_lag_s(state, now_s, data_dir),
            ahead_s=max(0.0, last_at_s - now_s),
            free_bytes=free_bytes(data_dir),
        ),
    )


def free_bytes(data_dir: DataDir | None) -> int | None:
    """Return the room on the disk of the log; None if there is no log."""
    if data_dir is None or not data_dir.root.exists():
        return None
    return shutil.disk_usage(data_dir.root).free


def _lag_s(state: Mapping[str, Any], now_s: float, data_dir: DataDir | None) -> float:
    """Return the age of the oldest line of the journal that was not taken in; 0 if all were."""
    if data_dir is None or state["first_seq"] is None:
        return 0.0
    position = Position(state["first_seq"], state["offset_bytes"])
    since_us = waiting_since_us(data_dir.journal, position)
    return 0.0 if since_us is None else max(0.0, now_s - since_us / US)


def _structs(rows: Rows, kind: type[T]) -> tuple[T, ...]:
    return tuple(msgspec.convert(row, kind) for row in rows)
