"""What the bodies of requests take of the memory: of those being read, those that wait and run.

Rules
1. A body counts from its first piece until its request is answered or its client has gone; what is
   opened from a compressed one counts as what it has become.
2. A large body that would take more than is left is refused, with 503: who sends it comes again.
   A quarter on top is for small ones, so that pictures do not keep everybody else out.
"""

import logging
from typing import Final, Protocol

SMALL_BYTES: Final = 64 * 1024
"""As large as most conversations are."""
BODIES_BYTES: Final = 512 * 1024 * 1024
FULL: Final = (
    "the requests under way take all the memory that bodies may have here "
    "(FLEET_BODIES_MAX_BYTES): ask again in a moment"
)

_log = logging.getLogger("herd.http.bodies")


class Bearer(Protocol):
    """A request, as far as its body goes."""

    held_bytes: int
    """What its body counts for."""


class Bodies:
    """The bodies of one process."""

    __slots__ = ("_full", "_most_bytes", "held_bytes")

    def __init__(self, most_bytes: int = BODIES_BYTES) -> None:
        """Hold nothing yet, and no more than that."""
        self._most_bytes = most_bytes
        self._full = False
        self.held_bytes = 0

    def take(self, request: Bearer, more_bytes: int) -> bool:
        """Count so much more of this request's body; False where there is no room for it."""
        held_bytes = self.held_bytes + more_bytes
        if held_bytes > self._most_bytes and not self._small(request, more_bytes, held_bytes):
            if not self._full:
                self._full = True
                _log.warning("bodies of requests take %d bytes: large ones are refused", held_bytes)
            return False
        self.held_bytes = held_bytes
        request.held_bytes += more_bytes
        return True

    def release(self, request: Bearer) -> None:
        """Count this request's body no longer."""
        self.held_bytes -= request.held_bytes
        request.held_bytes = 0
        if self._full and self.held_bytes < self._most_bytes // 2:
            self._full = False

    def _small(self, request: Bearer, more_bytes: int, held_bytes: int) -> bool:
        body_bytes = request.held_bytes + more_bytes
        return body_bytes <= SMALL_BYTES and held_bytes <= self._most_bytes * 5 // 4
