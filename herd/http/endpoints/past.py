"""The fleet as it was after any event: `/dashboard/api/past?seq=N`; without N, from where to where.

`herd.replay.looking` looks back; what it found is kept, since the past does not change.
"""

from typing import Any, Final

from herd.http.exchange import Exchange
from herd.http.history import History, answer_later
from herd.http.lookback import Lookback
from herd.http.parameters import ParameterError, Parameters
from herd.http.routes import Methods

PATH: Final = "/dashboard/api/past"
MOST_KEPT: Final = 32


class Past:
    """Tells of the past."""

    def __init__(self, history: History, lookback: Lookback) -> None:
        """Ask the history how far the log goes, and look back into it."""
        self._history = history
        self._lookback = lookback
        self._kept: dict[int, dict[str, Any]] = {}

    def routes(self) -> dict[str, Methods]:
        """Return what answers the path."""
        return {PATH: {b"GET": self._look}}

    def _look(self, exchange: Exchange) -> None:
        answer_later(exchange, self._found(Parameters(exchange.request.query)))

    async def _found(self, given: Parameters) -> dict[str, object]:
        [span] = await self._history.rows("log_span")
        first, last = _int(span["first_seq"]), _int(span["last_seq"])
        bounds: dict[str, object] = {"first_seq": first, "last_seq": last}
        seq = given.whole("seq", 0, least=0, most=last)
        if not seq:
            return bounds
        if seq < first:
            raise ParameterError(f"seq must be a whole number from {first} to {last}")
        found = self._kept.get(seq) or await self._looked(seq)
        if "error" in found:
            raise ParameterError(f"seq must be one that can be seen again: {found['error']}")
        return bounds | found

    async def _looked(self, seq: int) -> dict[str, Any]:
        longer = f"herd replay --at {seq}"
        found = await self._lookback.found("herd.replay.looking", str(seq), longer)
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[seq] = found
        return found


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
