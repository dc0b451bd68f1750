"""`/dashboard/api/health` and `/dashboard/api/recommendations`: what is not well, and what to do.

Both judge one picture: what control shows now, and what the log tells of the last day and hour, to
the whole ten minutes.
"""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar, cast

import msgspec

from herd.clock import wall_s
from herd.health import advice
from herd.health.picture import Context, LogState, Picture, Trouble, Work
from herd.health.report import report
from herd.http.exchange import Exchange
from herd.http.history import History, Row, answer_later
from herd.http.routes import Methods
from herd.link.client import Control
from herd.logd.wire import LogdAwayError

HEALTH: Final = "/dashboard/api/health"
RECOMMENDATIONS: Final = "/dashboard/api/recommendations"
DAY_S: Final = 86_400
HOUR_S: Final = 3_600
STEP_S: Final = 600
"""logd has counted by so much: a window begins with the whole of it."""
US: Final = 1_000_000

T = TypeVar("T", bound=msgspec.Struct)


class HealthPage:
    """Asks, and judges."""

    def __init__(
        self, control: Control, history: History, data_dir: Path | None, version: str
    ) -> None:
        """Judge control's view and the history; `data_dir` is where the log is."""
        self._control = control
        self._history = history
        self._data_dir = data_dir
        self._version = version

    def routes(self) -> dict[str, Methods]:
        """Return what answers the paths."""
        return {HEALTH: {b"GET": self._health}, RECOMMENDATIONS: {b"GET": self._advise}}

    def _health(self, exchange: Exchange) -> None:
        answer_later(exchange, self._report())

    def _advise(self, exchange: Exchange) -> None:
        answer_later(exchange, self._made(advice.page))

    async def _report(self) -> dict[str, object]:
        """Judge without the log if it cannot be asked: that is then the worst of it."""
        try:
            picture = await self.picture()
        except LogdAwayError:
            log = LogState(away=True, free_bytes=self._free_bytes())
            picture = Picture(view=self._control.view, version=self._version, log=log)
        return report(picture, wall_s())

    async def _made(self, make: Callable[[Picture, float], dict[str, object]]) -> dict[str, object]:
        return make(await self.picture(), wall_s())

    async def picture(self) -> Picture:
        """Return what the checks look at. Raises `LogdAwayError`."""
        now_s = int(wall_s()) // STEP_S * STEP_S
        day = {"from_us": (now_s - DAY_S) * US}
        spans = day | {"recent_us": (now_s - HOUR_S) * US}
        ask = self._history.rows
        troubles, work, contexts, state = await asyncio.gather(
            ask("health_troubles", spans),
            ask("health_work", spans),
            ask("health_contexts", day),
            ask("log_health"),
        )
        return Picture(
            view=self._control.view,
            version=self._version,
            troubles=_rows(troubles, Trouble),
            work=_rows(work, Work),
            contexts=_rows(contexts, Context),
            log=self._log(state[0]),
        )

    def _log(self, state: Row) -> LogState:
        busy = any(
            slot.in_flight for node in self._control.view.nodes for slot in node.slots.values()
        )
        last_at_s = cast("float | None", state["last_at_s"])
        late_s = 0.0 if last_at_s is None else wall_s() - last_at_s
        return LogState(
            missing_events=cast("int", state["missing_events"] or 0),
            quarantined_lines=cast("int", state["quarantined_lines"] or 0),
            lag_s=late_s if busy and self._control.view.recording else 0.0,
            ahead_s=max(0.0, -late_s),
            free_bytes=self._free_bytes(),
        )

    def _free_bytes(self) -> int | None:
        if self._data_dir is None or not self._data_dir.exists():
            return None
        return shutil.disk_usage(self._data_dir).free


def _rows(rows: Sequence[Row], kind: type[T]) -> tuple[T, ...]:
    return tuple(msgspec.convert(row, kind) for row in rows)
