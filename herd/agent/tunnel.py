"""The relay: how a balancer uses an Ollama that listens on loopback only, without an open port.

Rules
1. The agent dials out, to its balancer alone, and signs. It keeps as many connections open as the
   balancer's fronts want unused; each that a front begins to use is replaced.
2. One that is used is joined with a fresh connection to this Ollama: byte for byte, no word of
   either is read. The end of the one is the end of the other.
3. A front that has enough turns one away; the next try may meet another front.
4. Relayed is what the balancer cannot reach: it is on another machine, and Ollama answers on
   loopback but not at this machine's address.
"""

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from herd.agent.facts import is_loopback
from herd.agent.keypair import Keypair
from herd.http import tls
from herd.http.client import FetchError, Target, fetch, reason
from herd.http.splice import splice
from herd.http.tunnels import ENOUGH, PATH, UPGRADE, WANTED
from herd.platform import keep_alive
from herd.tasks import spawn

CONNECT_S: Final = 5.0
LOOK_S: Final = 0.5
"""For this machine to answer itself."""
MOST: Final = 1_024
"""Connections to the balancer, used and unused."""
AT_ONCE: Final = 4
CROWDED_S: Final = 0.01
"""After a front had enough; grows up to `MOST_CROWDED_S` while none wants one."""
MOST_CROWDED_S: Final = 1.0
FAILED_S: Final = 0.25
MOST_FAILED_S: Final = 5.0
_READ_BYTES: Final = 1 << 20
_SWITCHED: Final = 101
_CHALLENGED: Final = 401
_UNKNOWN: Final = (404, 405)


class _Challenge(msgspec.Struct):
    challenge: str = ""
    error: str = ""


class _Line(asyncio.Protocol):
    """A connection to the balancer, until it is used."""

    def __init__(self, tunnel: "Tunnel", transport: asyncio.Transport) -> None:
        self._tunnel = tunnel
        self.transport = transport
        self.first = b""

    def data_received(self, data: bytes) -> None:
        used, self.first = bool(self.first), self.first + data
        if not used:
            self.transport.pause_reading()
            self._tunnel.used(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._tunnel.lost(self)


class Tunnel:
    """The connections that one agent keeps open to its balancer."""

    def __init__(
        self,
        node_id: str,
        ollama_url: str,
        keys: Keypair | None,
        say: Callable[[str], None],
        *,
        wanted: bool | None,
    ) -> None:
        """Relay where it is needed, or, if that is said, always or never."""
        self._body = msgspec.json.encode({"node_id": node_id})
        self._ollama_url = ollama_url
        self._ollama = Target(ollama_url) if ollama_url else None
        self._keys = keys
        self._say = say
        self._choice = wanted
        self.relays = False
        """Whether the balancer gets to this Ollama by the agent."""
        self._looked: tuple[str, bool] | None = None
        self._router = ""
        self._wanted = 1
        self.unused: set[_Line] = set()
        self.connections: set[asyncio.Transport] = set()
        self._dialling = 0
        self._pause_s = CROWDED_S
        self._failed_s = FAILED_S
        self._complaint = ""
        self._timer: asyncio.TimerHandle | None = None

    async def look(self, own_address: str, *, reachable: bool) -> None:
        """See whether the balancer can reach this Ollama, when something of that has changed."""
        if self._looked == (own_address, reachable) or not reachable:
            return
        self._looked = (own_address, reachable)
        hidden = self._choice is True or await self._is_hidden(own_address)
        was, self.relays = self.relays, hidden and self._choice is not False and bool(self._keys)
        if self.relays and not was:
            self._say("the agent relays for this Ollama: nobody else on the network can reach it")
        elif hidden and not self.relays:
            self._say(
                "the balancer cannot reach this Ollama: it listens on loopback only, not on "
                f"{own_address}; start it with OLLAMA_HOST=0.0.0.0, or have the agent relay"
            )

    def follow(self, router: str) -> None:
        """Relay for the balancer there, if this is needed, and for no other."""
        router = router if self.relays else ""
        if router == self._router:
            return
        if self._router:
            self.close()
        self._router, self._wanted = router, 1
        self._pause_s, self._failed_s = CROWDED_S, FAILED_S
        self._top_up()

    def pause(self) -> None:
        """Open no more, and end those that nobody uses; what runs on the others goes on."""
        self._router = ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for line in tuple(self.unused):
            line.transport.abort()

    def close(self) -> None:
        """End all connections."""
        self.pause()
        for transport in tuple(self.connections):
            transport.abort()

    async def _is_hidden(self, own: str) -> bool:
        here = urlsplit(self._ollama_url)
        if not is_loopback(here.hostname or "") or not own or is_loopback(own):
            return False  # it is at another machine, or the balancer is here, too
        shown = f"[{own}]" if ":" in own else own
        try:
            await fetch("HEAD", f"{here.scheme}://{shown}:{here.port}/", timeout_s=LOOK_S)
        except FetchError:
            return True
        return False

    # What the lines tell

    def used(self, line: _Line) -> None:
        """Join a connection with Ollama, and open another in its place."""
        self.unused.discard(line)
        spawn(self._join(line), name="relay")
        self._top_up()

    def lost(self, line: _Line) -> None:
        """Open another in its place."""
        self.connections.discard(line.transport)
        if line in self.unused:
            self.unused.remove(line)
            self._later(self._failed_s)

    # Inside

    def _top_up(self) -> None:
        if self._timer is not None:
            return
        while (
            self._router
            and self._dialling < AT_ONCE
            and len(self.unused) + self._dialling < self._wanted
            and len(self.connections) + self._dialling < MOST
        ):
            self._dialling += 1
            spawn(self._dial(self._router), name="dial the balancer")

    def _later(self, pause_s: float) -> None:
        if self._timer is None and self._router:
            self._timer = asyncio.get_running_loop().call_later(pause_s, self._try_again)

    def _try_again(self) -> None:
        self._timer = None
        self._top_up()

    async def _dial(self, router: str) -> None:
        pause_s = 0.0
        try:
            async with asyncio.timeout(CONNECT_S):
                status = await self._opened(router)
        except (FetchError, OSError, TimeoutError, ValueError, RecursionError) as error:
            pause_s = self._fails(reason(error) if isinstance(error, OSError) else str(error))
        else:
            if status == _SWITCHED:
                self._pause_s, self._failed_s, self._complaint = CROWDED_S, FAILED_S, ""
            elif status == ENOUGH:
                pause_s, self._pause_s = self._pause_s, min(MOST_CROWDED_S, self._pause_s * 1.5)
            elif status in _UNKNOWN:
                self._fails("it is older and knows no relay; start Ollama with OLLAMA_HOST=0.0.0.0")
                pause_s = MOST_FAILED_S
        self._dialling -= 1
        if router == self._router:
            if pause_s:
                self._later(pause_s)
            else:
                self._top_up()

    def _fails(self, why: str) -> float:
        pause_s, self._failed_s = self._failed_s, min(MOST_FAILED_S, self._failed_s * 2)
        if pause_s >= MOST_FAILED_S and why != self._complaint:
            self._complaint = why
            self._say(f"no connection to relay on to {self._router}: {why}")
        return pause_s

    async def _opened(self, router: str) -> int:
        """Open a connection; return what the balancer answered to it. Raises what went wrong."""
        target, keys = Target(router), self._keys
        if keys is None:
            raise ValueError("an agent without a key cannot relay")
        reader = asyncio.StreamReader(_READ_BYTES)
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: asyncio.StreamReaderProtocol(reader),
            target.host,
            target.port,
            ssl=tls.context(target.host, target.port) if target.secure else None,
        )
        kept = False
        try:
            keep_alive(transport)
            transport.write(_request(target, self._body))
            answer = await _answer(reader)
            if answer.status == _CHALLENGED:
                challenge = msgspec.json.decode(answer.rest, type=_Challenge).challenge
                signed = keys.relay_headers(challenge, self._body)
                transport.write(_request(target, self._body, *signed))
                answer = await _answer(reader)
            self._wanted = answer.wanted or self._wanted
            if answer.status == _SWITCHED and router == self._router:
                kept = True
                self._keep(transport, answer.rest)
            elif answer.status not in {_SWITCHED, ENOUGH, *_UNKNOWN}:
                said = msgspec.json.decode(answer.rest, type=_Challenge).error
                raise ValueError(said or f"it answers {answer.status}")
            return answer.status
        finally:
            if not kept:
                transport.abort()

    def _keep(self, transport: asyncio.Transport, first: bytes) -> None:
        if transport.is_closing():
            raise ConnectionResetError("connection closed")
        line = _Line(self, transport)
        self.connections.add(transport)
        self.unused.add(line)
        transport.set_protocol(line)
        transport.set_write_buffer_limits()
        if first:
            line.data_received(first)

    async def _join(self, line: _Line) -> None:
        """Have Ollama answer what comes on a connection."""
        target, asking = self._ollama, line.transport
        if target is None:
            return
        try:
            async with asyncio.timeout(CONNECT_S):
                asked, _ = await asyncio.get_running_loop().create_connection(
                    asyncio.Protocol,
                    target.host,
                    target.port,
                    ssl=tls.context(target.host, target.port) if target.secure else None,
                )
        except (OSError, TimeoutError) as error:
            text = f"no Ollama at {self._ollama_url}: {reason(error)}"
            body = msgspec.json.encode({"error": text})
            head = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\n"
            asking.write(
                head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
            )
            asking.close()
            return
        if asking.is_closing():
            asked.abort()
            return
        splice(asking, asked, line.first, lambda: self.connections.discard(asking))


class _Answer(msgspec.Struct):
    status: int
    wanted: int
    rest: bytes
    """The body; of a connection that was taken, what the balancer has sent on it since."""


def _request(target: Target, body: bytes, *headers: tuple[bytes, bytes]) -> bytes:
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    return (
        b"POST %b HTTP/1.1\r\nHost: %b\r\nConnection: Upgrade\r\nUpgrade: %b\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n%b\r\n%b"
        % (PATH.encode(), target.authority.encode(), UPGRADE, len(body), lines, body)
    )


async def _answer(reader: asyncio.StreamReader) -> _Answer:
    """Read one answer, and nothing behind it. Raises `OSError` and `ValueError`."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await _more(reader, data)
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    found = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in lines)
    }
    status = int(first[len(b"HTTP/1.1 ") :][:3])
    length = 0 if status == _SWITCHED else int(found.get(b"content-length", b"0"))
    while len(rest) < length:
        rest += await _more(reader, rest)
    return _Answer(status, int(found.get(WANTED.lower(), b"0")), rest)


async def _more(reader: asyncio.StreamReader, so_far: bytes) -> bytes:
    data = await reader.read(_READ_BYTES)
    if not data or len(so_far) > _READ_BYTES:
        raise ConnectionResetError("the connection was closed")
    return data
