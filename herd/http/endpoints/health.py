"""`/dashboard/api/health` and `/dashboard/api/recommendations`: what is not well, and what to do.

Both judge one picture: what control shows now, and what the log tells. Of a long log that takes a
while to ask: what it told a moment ago is judged then, and the next one to ask gets the newer.
"""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias, TypeVar, cast

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
from herd.tasks import spawn

HEALTH: Final = "/dashboard/api/health"
RECOMMENDATIONS: Final = "/dashboard/api/recommendations"
DAY_S: Final = 86_400
HOUR_S: Final = 3_600
STEP_S: Final = 5
"""The window moves by so much: who asks in between asks logd for the same."""
US: Final = 1_000_000

ENOUGH_S: Final = 0.07
"""How long an answer waits for what is newer than what the log told before."""
KEPT_S: Final = 30.0
"""What is older is not judged any more."""

T = TypeVar("T", bound=msgspec.Struct)

Told: TypeAlias = tuple[list[Row], list[Row], list[Row], list[Row], list[Row]]
"""The rows of each question, as `_ask` asks them."""


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
        self._told: Told | None = None
        self._told_at_s = 0.0
        self._asking: asyncio.Task[Told | LogdAwayError] | None = None

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
        troubles, work, contexts, state, span = await self._rows()
        return Picture(
            view=self._control.view,
            version=self._version,
            troubles=_rows(troubles, Trouble),
            work=_rows(work, Work),
            contexts=_rows(contexts, Context),
            log=self._log(state[0], cast("float | None", span[0]["last_at_s"])),
        )

    async def _rows(self) -> Told:
        """Return what the log tells: as of now if that is soon there, else as it did before."""
        loop = asyncio.get_running_loop()
        if self._asking is None:
            self._asking = spawn(self._ask(), name="health")
        asking, before = self._asking, self._told
        if before is None or loop.time() - self._told_at_s > KEPT_S:
            found = await asyncio.shield(asking)
        else:
            done, _ = await asyncio.wait((asking,), timeout=ENOUGH_S)
            found = asking.result() if done else before
        if isinstance(found, LogdAwayError):
            raise found
        return found

    async def _ask(self) -> Told | LogdAwayError:
        now_s = int(wall_s()) // STEP_S * STEP_S
        day = {"from_us": (now_s - DAY_S) * US}
        spans = day | {"recent_us": (now_s - HOUR_S) * US}
        ask = self._history.rows
        try:
            told = await asyncio.gather(
                ask("health_troubles", spans),
                ask("health_work", spans),
                ask("health_contexts", day),
                ask("log_health"),
                ask("health_log"),
            )
        except LogdAwayError as error:
            self._told = None  # that it is away is the news
            return error
        finally:
            self._asking = None
        self._told, self._told_at_s = told, asyncio.get_running_loop().time()
        return told

    def _log(self, state: Row, last_at_s: float | None) -> LogState:
        busy = any(
            slot.in_flight for node in self._control.view.nodes for slot in node.slots.values()
        )
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
