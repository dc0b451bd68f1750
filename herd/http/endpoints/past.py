"""The fleet as it was after any event: `/dashboard/api/past?seq=N`; without N, from where to where.

A process of its own looks back (`herd.replay.looking`), one at a time for each front, within
`LOOKS_WITHIN_S`; what it found is kept, since the past does not change.
"""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any, Final

import msgspec

from herd.http.exchange import Exchange
from herd.http.history import History, answer_later
from herd.http.parameters import ParameterError, Parameters
from herd.http.routes import Methods
from herd.logd.wire import LogdAwayError

PATH: Final = "/dashboard/api/past"
LOOKS_WITHIN_S: Final = 15.0
ROOM_WITHIN_S: Final = 10.0
MOST_KEPT: Final = 32


class Past:
    """Looks back."""

    def __init__(self, history: History, directory: Path | None) -> None:
        """Look into the log of this data directory; without one there is no past."""
        self._history = history
        self._directory = directory
        self._one = asyncio.Semaphore(1)
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
        if self._directory is None:
            raise LogdAwayError("this herd keeps no log that could be asked")
        try:
            await asyncio.wait_for(self._one.acquire(), ROOM_WITHIN_S)
        except TimeoutError:
            raise LogdAwayError("somebody else looks back", "try again in a moment") from None
        try:
            found = await _asked(self._directory, seq)
        finally:
            self._one.release()
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[seq] = found
        return found


async def _asked(directory: Path, seq: int) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "herd.replay.looking", str(directory), str(seq)), stdout=PIPE
    )
    try:
        async with asyncio.timeout(LOOKS_WITHIN_S):
            said, _ = await process.communicate()
    except TimeoutError:
        text = f"looking back took longer than {LOOKS_WITHIN_S:g} s"
        raise LogdAwayError(text, f"`herd replay --at {seq}` has more time") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        found: dict[str, Any] = msgspec.json.decode(said)
    except msgspec.DecodeError:
        text = f"looking back ended with {process.returncode}"
        raise LogdAwayError(text, "the log file says why") from None
    return found


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
