"""An answer passed on as it comes, for orders that are no inference: progress, line by line.

Rules
1. One node, one try: what pulls or makes a model is not sent twice.
2. The slower side sets the pace, and a client that leaves ends it at the node.
3. An answer that breaks off ends with an error line, and never cleanly.
4. Exactly one word to `ended`: nothing for a whole answer, else who ended it, or why it broke off.
5. The last word of an order that was carried out waits for the watcher to be `settled`: clients
   go on when they have read `success`, before the answer has ended.
"""

import asyncio
from typing import Final, Protocol

from herd.dialects.lines import one_line
from herd.http import problems
from herd.http.exchange import Exchange
from herd.http.upload import Upload
from herd.http.upstream import Pool
from herd.http.ways import Carrier
from herd.tasks import spawn

LEFT: Final = "the client left"
SILENT_S: Final = 3_600.0
"""How long a node may say nothing: without a stream it says nothing until it is done."""
SUCCESS: Final = b'"success"'
KEPT_BYTES: Final = 64 * 1024
"""The longest last word that is held back."""


class Watcher(Protocol):
    """Who wants to know how it goes."""

    def heard(self, status: int, body: bytes) -> None:
        """Look at a piece of the answer."""
        ...

    def ended(self, error: str) -> None:
        """Know that it is over; `error` is empty where the whole answer was passed on."""
        ...

    async def settled(self) -> None:
        """Return once others can see what was done."""
        ...


class Passing:
    """A request on its way to one node and back."""

    __slots__ = (
        "_connection",
        "_dialing",
        "_exchange",
        "_kept",
        "_lines",
        "_loop",
        "_over",
        "_silence",
        "_touched_s",
        "_watcher",
    )

    def __init__(
        self,
        exchange: Exchange,
        watcher: Watcher,
        pool: Pool,
        asked: tuple[bytes, bytes | Upload],
        node: bytes,
    ) -> None:
        """Send the request: head and body; `node` is what the answer's headers call the node."""
        self._exchange = exchange
        self._watcher = watcher
        self._lines = b"X-Fleet-Node: %b\r\n" % node
        self._kept = b""
        self._over = False
        self._connection: Carrier | None = None
        self._loop = asyncio.get_running_loop()
        self._touched_s = self._loop.time()
        self._silence = self._loop.call_later(SILENT_S, self._listen)
        exchange.on_gone = self._gone
        self._dialing = pool.dial(*asked, self)

    # What the pool and the connection tell

    def connected(self, connection: Carrier) -> None:
        """Wait for the answer."""
        if self._over:
            connection.abort()
            return
        self._connection = connection

    def unreachable(self, error: str) -> None:
        """Say that the node is not there."""
        if not self._over:
            self._refuse(error)

    def heard(self, body: bytes, *, ended: bool) -> None:
        """Pass a piece on."""
        connection, exchange = self._connection, self._exchange
        if self._over or connection is None:
            return
        self._touched_s = self._loop.time()
        self._watcher.heard(connection.status, body)
        if ended:
            head = (connection.status, connection.length, connection.lines() + self._lines)
            self._end("")
            spawn(self._finish(head, self._kept + body), name="settle")
        elif not (body := self._but_the_last_word(body)):
            return
        elif not exchange.started:
            exchange.on_blocked, exchange.on_writable = connection.pause, connection.resume
            lines = connection.lines() + self._lines
            exchange.start(connection.status, (), connection.length, body, lines)
            if exchange.blocked:
                connection.pause()
        else:
            exchange.write(body)

    def lost(self, error: str) -> None:
        """Tell the client that nothing more comes."""
        if self._over:
            return
        if not self._exchange.started:
            self._refuse(error)
            return
        self._end(error)
        self._exchange.cut(self._kept + one_line({"error": f"node failed: {error}"}) + b"\n")

    def failed(self) -> None:
        """End it: the log has why."""
        if not self._over:
            self._end("internal error")
        self._exchange.fail()

    # Inside

    def _but_the_last_word(self, body: bytes) -> bytes:
        """Return what may be passed on at once; keep the line that says `success`."""
        body = self._kept + body
        found = body.rfind(SUCCESS)
        begins = body.rfind(b"\n", 0, found) + 1 if found >= 0 else body.rfind(b"\n") + 1
        if len(body) - begins > KEPT_BYTES:
            begins = len(body)
        self._kept = body[begins:]
        return body[:begins]

    async def _finish(self, head: tuple[int, int | None, bytes], last: bytes) -> None:
        """Send what is left, which may be all of it."""
        exchange = self._exchange
        try:
            try:
                await self._watcher.settled()
            finally:
                if not exchange.started:
                    status, length, lines = head
                    exchange.start(status, (), length, b"", lines)
                exchange.finish(last)
        except BaseException:
            exchange.fail()
            raise

    def _listen(self) -> None:
        silent_s = self._loop.time() - self._touched_s
        if silent_s < SILENT_S:
            self._silence = self._loop.call_later(SILENT_S - silent_s, self._listen)
            return
        self._give_up(f"it said nothing for {SILENT_S:g} s")

    def _give_up(self, error: str) -> None:
        connection = self._connection
        self.lost(error)
        if connection is not None:
            connection.abort()

    def _gone(self) -> None:
        connection = self._connection
        self._end(LEFT)
        if connection is None:
            self._dialing.cancel()
        else:
            connection.abort()

    def _refuse(self, error: str) -> None:
        self._end(error)
        body = problems.body("ollama", 502, f"node failed: {error}")
        self._exchange.respond(502, (problems.JSON_UTF8,), body, self._lines)

    def _end(self, error: str) -> None:
        self._over = True
        self._connection = None
        self._silence.cancel()
        exchange = self._exchange
        exchange.on_gone = exchange.on_blocked = exchange.on_writable = None
        self._watcher.ended(error)
