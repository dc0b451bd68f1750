"""A request to a node that lacks its route, by way of a route that the node has.

Rules
1. A node is asked on the route of the same name first, byte for byte. If it says that it knows no
   such route, the same request goes to it translated; what was found out is kept for `KNOWN_S`.
   That a server has none of Ollama's own routes is known beforehand.
2. A node that has the route is asked as any other: its answer does not come through here.
3. For the attempt this is a connection like any other, that gives the answer in the words of the
   client's API: so the relay's rules hold for translated answers too.
4. What the translation had to leave out is named in `X-Herd-Left-Out`.
5. A stream is translated as it comes. An answer in one piece is kept until it is whole, up to
   `WHOLE_BYTES`.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from herd import clock
from herd.dialects import refused
from herd.dialects.asking import Asking
from herd.dialects.errors import GarbledError, UntranslatableError
from herd.dialects.plain import plain
from herd.http import problems, recast, wire
from herd.http.exchange import Request
from herd.http.translations import SSE, Stream, Translation
from herd.http.unpacking import unpacked
from herd.http.upstream import Pool
from herd.http.ways import Carrier, Receiver, Way

KNOWN_S: Final = 600.0
"""A node may be updated meanwhile."""
WHOLE_BYTES: Final = 32 * 1024 * 1024
REFUSAL_BYTES: Final = 64 * 1024
_OK: Final = 200
_NO_ROUTE: Final = (404, 405)
_LACKED: Final = b'{"error":"Unexpected endpoint'
"""How LM Studio answers on a route that it lacks: with a good status."""
_LAST_LINE: Final = b"\n\n"
"""The end of a stream ends its last event: some servers send one line break behind `[DONE]`."""
_NODE_ERROR: Final = 500
_BAD_REQUEST: Final = 400


class Crossing:
    """The way of one attempt: what asks for it, what hears the node, what the attempt reads."""

    __slots__ = (
        "_began_s",
        "_body",
        "_connection",
        "_dialing",
        "_kept",
        "_left_out",
        "_length",
        "_model",
        "_now_s",
        "_passes",
        "_path",
        "_plain",
        "_pool",
        "_receiver",
        "_refusal",
        "_request",
        "_size_bytes",
        "_stream",
        "_translation",
        "_wall_s",
    )

    def __init__(  # noqa: PLR0913, PLR0917 (whom, what, in which words)
        self,
        pool: Pool,
        path: bytes,
        translation: Translation,
        request: Request,
        model: str,
        now_s: Callable[[], float],
    ) -> None:
        """Know the node, and what is asked of it; `model` is what the answer calls the model."""
        self._pool = pool
        self._path = path.partition(b"?")[0]
        self._translation = translation
        self._request = request
        self._model = model
        self._now_s = now_s
        self._plain = self._known() is not False
        """Whether it is asked byte for byte."""
        self._body = b""
        self._began_s = self._wall_s = 0.0
        self._kept: list[bytes] = []
        self._passes = False
        """An answer of the client's own route, known as one."""
        self._size_bytes = 0
        self._length: int | None = None
        """Of an answer that was translated in one piece."""
        self._stream: Stream | None = None
        self._left_out: tuple[str, ...] = ()
        self._refusal = ""
        """Why the request cannot be said in the node's words."""
        self._receiver: Receiver | None = None
        self._connection: Carrier | None = None
        self._dialing: asyncio.Task[None] | None = None

    def way(self) -> Way:
        """Return how to ask: by the node's connections alone, if it has the route."""
        return self if self._known() is not True else self._pool

    # What the attempt asks for

    def ask(self, head: bytes, body: bytes, receiver: Receiver) -> asyncio.Task[None] | None:
        """Send the request, in whichever words."""
        return self._send(head, body, receiver, self._pool.ask)

    def dial(self, head: bytes, body: bytes, receiver: Receiver) -> asyncio.Task[None] | None:
        """Send it on a new connection."""
        return self._send(head, body, receiver, self._pool.dial)

    # What the attempt reads

    @property
    def status(self) -> int:
        """The node's status; 400 for what cannot be translated."""
        if self._refusal:
            return _BAD_REQUEST
        return 0 if self._connection is None else self._connection.status

    @property
    def content_type(self) -> bytes:
        """The type of what the client gets: streams stay streams, the rest is JSON."""
        connection = self._connection
        if connection is not None and self._plain:
            return connection.content_type
        if self._stream is not None:
            return self._translation.streamed
        return problems.content_type(self._translation.family)[1]

    @property
    def coding(self) -> bytes:
        """Of what is passed on as it is; what is translated has none any more."""
        connection = self._connection
        if connection is None or not (self._plain or connection.status >= _NODE_ERROR):
            return b""
        return connection.coding

    @property
    def length(self) -> int | None:
        """As announced; of what is translated, known once it is whole."""
        if self._plain:
            return None if self._connection is None else self._connection.length
        return self._length

    @property
    def reused(self) -> bool:
        """The connection carried a request before."""
        return self._connection is not None and self._connection.reused

    @property
    def silent(self) -> bool:
        """No byte of the answer has come."""
        return self._connection is None or self._connection.silent

    def lines(self) -> bytes:
        """Return the headers that travel on, in whole lines."""
        lines = b"" if self._connection is None else self._connection.lines()
        if self._plain:
            return lines
        return recast.told(lines, self.content_type, self._left_out)

    def pause(self) -> None:
        """Read no more for now."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Read on."""
        if self._connection is not None:
            self._connection.resume()

    def abort(self) -> None:
        """Give up at once."""
        self._receiver = None
        if self._dialing is not None:
            self._dialing.cancel()
        if self._connection is not None:
            self._connection.abort()

    # What the node's connection tells

    def connected(self, connection: Carrier) -> None:
        """Wait for the answer."""
        self._dialing = None
        self._connection = connection
        if self._receiver is None:
            connection.abort()
        else:
            self._receiver.connected(self)

    def unreachable(self, error: str) -> None:
        """Pass it on."""
        self._dialing = None
        if self._receiver is not None:
            self._receiver.unreachable(error)

    def heard(self, body: bytes, *, ended: bool) -> None:
        """Say it in the client's words, or ask again in the node's."""
        receiver, status = self._receiver, self.status
        if receiver is None:
            return
        if status >= _NODE_ERROR:
            receiver.heard(body, ended=ended)
        elif not self._plain:
            self._translate(receiver, body, ended=ended)
        elif self._may_lack(status, body):
            self._sound(receiver, body, ended=ended)
        else:
            if status == _OK and not self._passes:
                self._note(has=True)
            self._passes = True
            kept, self._kept = self._kept, []
            receiver.heard(b"".join((*kept, body)), ended=ended)

    def lost(self, error: str) -> None:
        """Pass it on."""
        if self._receiver is not None:
            self._receiver.lost(error)

    def failed(self) -> None:
        """Pass it on."""
        if self._receiver is not None:
            self._receiver.failed()

    # Inside

    def _send(
        self,
        head: bytes,
        body: bytes,
        receiver: Receiver,
        send: Callable[[bytes, bytes, Receiver], asyncio.Task[None] | None],
    ) -> asyncio.Task[None] | None:
        self._receiver = receiver
        self._kept, self._size_bytes, self._length = [], 0, None
        self._passes = False
        self._stream = None
        self._body = body
        if not self._plain:
            self._body = body = plain(body)
            try:
                question = self._translation.question(body, self._pool.known)
            except UntranslatableError as error:
                self._refusal = error.what
                asyncio.get_running_loop().call_soon(self._refuse)
                return None
            body, self._left_out = question.body, question.left_out
            target = self._pool.prefix + self._translation.target
            headers, hops = recast.asked(self._request.headers), wire.hops(self._request.connection)
            head = wire.request_head(target, self._pool.host, headers, hops, len(body))
            self._began_s, self._wall_s = self._now_s(), clock.wall_s()
        self._dialing = send(head, body, self)
        return self._dialing

    def _known(self) -> bool | None:
        """Return whether the node has the route; None while nobody knows."""
        if self._translation.native:
            return self._pool.known.ollama
        has, until_s = self._pool.routes.get(self._path, (False, 0.0))
        return has if self._now_s() < until_s else None

    def _note(self, *, has: bool) -> None:
        self._pool.routes[self._path] = (has, self._now_s() + KNOWN_S)

    def _refuse(self) -> None:
        """Tell the client, without a word to the node."""
        if (receiver := self._receiver) is not None:
            receiver.connected(self)
            text = f"this node has no {self._path.decode()}, and herd cannot translate: "
            body = self._error(_BAD_REQUEST, text + self._refusal)
            self._length = len(body)
            receiver.heard(body, ended=True)

    def _may_lack(self, status: int, body: bytes) -> bool:
        """Whether an answer may yet say that there is no such route, however it comes."""
        if status in _NO_ROUTE or self._passes:
            return not self._passes
        return _LACKED.startswith(_beginning((*self._kept, body)))

    def _sound(self, receiver: Receiver, body: bytes, *, ended: bool) -> None:
        """Find out whether it is the route that the node does not know, or the model."""
        if not self._keep(receiver, body, REFUSAL_BYTES) or not ended:
            return
        lacks = self.status in _NO_ROUTE or _beginning(self._kept) == _LACKED
        if not lacks or b"model" in (self._said(REFUSAL_BYTES) or b"").lower():
            receiver.heard(b"".join(self._kept), ended=True)
            return
        self._note(has=False)
        self._plain = False
        self._connection = None
        self._send(b"", self._body, receiver, self._pool.ask)

    def _translate(self, receiver: Receiver, body: bytes, *, ended: bool) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            if _streams(connection):
                if self._stream is None:
                    self._stream = self._translation.stream(self._asking())
                told = self._stream.feed(body + _LAST_LINE if ended else body)
            elif self._keep(receiver, body, WHOLE_BYTES) and ended:
                told = self._whole(connection.status, self._said(WHOLE_BYTES))
                self._length = len(told)
            else:
                return
        except GarbledError as error:
            self._fail(receiver, error.what, ended=ended)
        except RecursionError:
            self._fail(receiver, "an answer that nests too deep", ended=ended)
        else:
            if told or ended:
                receiver.heard(told, ended=ended)

    def _said(self, most_bytes: int) -> bytes | None:
        """Return what the answer says that was kept; None if it cannot be read."""
        coding = b"" if self._connection is None else self._connection.coding
        return unpacked(coding, b"".join(self._kept), most_bytes)

    def _whole(self, status: int, body: bytes | None) -> bytes:
        if status == _OK:
            if body is None:
                raise GarbledError("an answer in a coding that cannot be read")
            return self._translation.whole(body, self._asking())
        body = body or b""
        text = refused.words(body) or f"the node answered {status}"
        said = body.lower()
        if status in _NO_ROUTE and b"not found" in said and b"model" not in said:
            text = f"this node has no {self._translation.target.decode()}"
        return self._error(status, text)

    def _error(self, status: int, text: str) -> bytes:
        return problems.body(self._translation.family, status, text, self._request.id)

    def _asking(self) -> Asking:
        return Asking(self._model, self._body, self._began_s, self._wall_s, self._now_s)

    def _keep(self, receiver: Receiver, body: bytes, limit_bytes: int) -> bool:
        self._kept.append(body)
        self._size_bytes += len(body)
        if self._size_bytes <= limit_bytes:
            return True
        self._fail(receiver, "an answer that is too large to translate", ended=False)
        return False

    def _fail(self, receiver: Receiver, error: str, *, ended: bool) -> None:
        """End it; a connection whose answer has ended is back in its pool, and no longer ours."""
        if not ended:
            self.abort()
        self._receiver = None
        receiver.lost(error)


def _beginning(pieces: Iterable[bytes]) -> bytes:
    return b"".join(pieces).lstrip()[: len(_LACKED)]


def _streams(connection: Carrier) -> bool:
    """Whether an answer is a stream that can be read as it comes."""
    events = connection.content_type.lower().startswith(SSE)
    return events and connection.status == _OK and not connection.coding
