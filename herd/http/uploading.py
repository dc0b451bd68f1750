"""An upload on its way to one node, and the node's answer.

Rules
1. As for every order (`herd.http.passing`), one node and one try: what a node has taken of a body
   is nowhere else.
2. An answer that comes before all was sent is the answer: what the client goes on sending is
   thrown away, and its connection closed.
3. A node that takes nothing for `SEND_TIMEOUT_S` has failed: its client is not read meanwhile.
"""

from typing import Final

from herd.http import wire
from herd.http.exchange import Exchange
from herd.http.passing import Passing
from herd.http.upload import Upload
from herd.http.upstream import Pool

SEND_TIMEOUT_S: Final = 60.0
LOOK_S: Final = 1.0


class Uploading(Passing):
    """An upload under way."""

    __slots__ = ("_look", "_moved_s", "_sent_bytes", "_upload")

    def __init__(
        self, exchange: Exchange, upload: Upload, pool: Pool, path: bytes, node: bytes
    ) -> None:
        """Connect to the node, and ask the client for the body."""
        self._upload = upload
        head = wire.upload_head(pool.prefix + path, pool.host, upload.length)
        super().__init__(exchange, Nobody(), pool, (head, upload), node)
        self._sent_bytes = 0
        self._moved_s = self._touched_s
        self._look = self._loop.call_later(LOOK_S, self._measure)

    def lost(self, error: str) -> None:
        """Say how far it was."""
        if not self._upload.ended:
            error = f"{error}, after {self._upload.size_bytes} bytes of the upload"
        super().lost(error)

    # Inside

    def _end(self, error: str) -> None:
        self._look.cancel()
        self._upload.close()
        super()._end(error)

    def _measure(self) -> None:
        """Give a node up that takes nothing more."""
        now_s, upload = self._loop.time(), self._upload
        if not upload.held or upload.size_bytes != self._sent_bytes:
            self._sent_bytes, self._moved_s = upload.size_bytes, now_s
        elif now_s - self._moved_s >= SEND_TIMEOUT_S:
            self._give_up(f"it took nothing for {SEND_TIMEOUT_S:g} s")
            return
        if not upload.ended:
            self._look = self._loop.call_later(LOOK_S, self._measure)


class Nobody:
    """Blobs are no facts: what is made of them is."""

    def heard(self, status: int, body: bytes) -> None:
        """Look at nothing."""

    def ended(self, error: str) -> None:
        """Note nothing."""

    async def settled(self) -> None:
        """Wait for nothing."""
