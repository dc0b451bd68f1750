"""The log folded again for a page: by a process of its own, one at a time for each front.

It goes on within `LOOKS_WITHIN_S`, so that no page can keep the machine from its requests.
"""

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any, Final

import msgspec

from herd.logd.wire import LogdAwayError

LOOKS_WITHIN_S: Final = 15.0
ROOM_WITHIN_S: Final = 10.0


class Lookback:
    """Runs the modules of `herd.replay` that look back."""

    def __init__(self, directory: Path | None) -> None:
        """Look into the log of this data directory; without one there is no past."""
        self._directory = directory
        self.one = asyncio.Semaphore(1)
        """Held by whoever looks back."""

    async def found(self, module: str, argument: str, longer: str) -> dict[str, Any]:
        """Return the JSON object that `python -m module DATA_DIR argument` writes.

        `longer` is the command that has more time. Raises `LogdAwayError`.
        """
        if self._directory is None:
            raise LogdAwayError("this herd keeps no log that could be asked")
        try:
            await asyncio.wait_for(self.one.acquire(), ROOM_WITHIN_S)
        except TimeoutError:
            raise LogdAwayError("somebody else looks back", "try again in a moment") from None
        try:
            return await _asked(module, str(self._directory), argument, longer)
        finally:
            self.one.release()


async def _asked(module: str, directory: str, argument: str, longer: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module, directory, argument), stdout=PIPE
    )
    try:
        async with asyncio.timeout(LOOKS_WITHIN_S):
            said, _ = await process.communicate()
    except TimeoutError:
        text = f"looking back took longer than {LOOKS_WITHIN_S:g} s"
        raise LogdAwayError(text, f"`{longer}` has more time") from None
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
