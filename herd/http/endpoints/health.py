"""`/dashboard/api/health` and `/dashboard/api/recommendations`: what is not well, and what to do.

Both judge one picture: what control shows now, and what the log tells of the last day and hour.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from herd.clock import wall_s
from herd.health import advice
from herd.health.looking import free_bytes, picture_of, questions
from herd.health.picture import LogState, Picture
from herd.health.report import report
from herd.http.exchange import Exchange
from herd.http.history import History, answer_later
from herd.http.routes import Methods
from herd.link.client import Control
from herd.logd.wire import LogdAwayError
from herd.paths import DataDir

HEALTH: Final = "/dashboard/api/health"
RECOMMENDATIONS: Final = "/dashboard/api/recommendations"


class HealthPage:
    """Asks, and judges."""

    def __init__(
        self, control: Control, history: History, data_dir: DataDir | None, version: str
    ) -> None:
        """Judge control's view and the history; `data_dir` has the log."""
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
            log = LogState(away=True, free_bytes=free_bytes(self._data_dir))
            picture = Picture(view=self._control.view, version=self._version, log=log)
        return report(picture, wall_s())

    async def _made(self, make: Callable[[Picture, float], dict[str, object]]) -> dict[str, object]:
        return make(await self.picture(), wall_s())

    async def picture(self) -> Picture:
        """Return what the checks look at. Raises `LogdAwayError`."""
        now_s = wall_s()
        asked = questions(now_s)
        told = await asyncio.gather(*(self._history.rows(*each) for each in asked.items()))
        return picture_of(
            self._control.view,
            dict(zip(asked, told, strict=True)),
            now_s,
            version=self._version,
            data_dir=self._data_dir,
        )
