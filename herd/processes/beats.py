"""The sign of life of a child: a word to the supervisor again and again, from where its work is.

It comes from the loop that does the work, so one that turns in a circle gives none. It is never
waited for: a supervisor that is stopped takes no words, and then one is as good as many.
"""

import asyncio
import os
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from struct import pack
from typing import Final

from herd import platform

BEAT: Final = b"lives"
LONGEST_PAUSE_S: Final = 5.0
PAUSES: Final = 18
"""That may pass without a sign: a few that are late mean nothing."""

_FRAMED: Final = pack("!i", len(BEAT)) + BEAT
"""As `Connection.send_bytes` writes it: short enough that a pipe takes all of it or nothing."""


def pause_s(stuck_after_s: float) -> float:
    """Return how often a child gives a sign, and how often somebody looks for one."""
    return min(LONGEST_PAUSE_S, stuck_after_s / PAUSES)


class Beats:
    """Says of its process that it works."""

    def __init__(self, ready: Connection, stuck_after_s: float) -> None:
        """Use the pipe on which it was said to be ready; 0 says nothing, as Windows does."""
        self._pipe = ready
        self._pause_s = pause_s(stuck_after_s)
        self._due_s = 0.0
        self._says = stuck_after_s > 0 and platform.HAS_UNIX_SOCKETS
        if self._says:
            platform.never_block(ready)

    def say(self) -> None:
        """Give a sign, unless one was given just now."""
        now_s = time.monotonic()
        if self._says and now_s >= self._due_s:
            self._due_s = now_s + self._pause_s
            with suppress(OSError):  # nobody reads, or it is full of signs
                os.write(self._pipe.fileno(), _FRAMED)

    def on_loop(self) -> None:
        """Give signs for as long as the running loop turns."""
        if self._says:
            self._due_s = 0.0
            self.say()
            asyncio.get_running_loop().call_later(self._pause_s, self.on_loop)
