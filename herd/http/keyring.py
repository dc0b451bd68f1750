"""API keys at a front: who is served, and by which key.

Rules
1. While there is no key, nobody has to show one. Once there is one, whoever wants an answer of a
   model shows a key, from whichever machine: `Authorization: Bearer`, or `x-api-key` as Anthropic's
   clients send it. The admin token is as good.
2. A key is looked up by its SHA-256: how long that takes tells nothing of other keys. It goes no
   further than this: neither a node nor an event gets to see it. Nor do they see the admin token,
   which clients have as their key for what an admin may, also while there is no key.
3. A front that has never heard from control does not know whether there are keys, and serves
   nobody: whoever comes waits in the lobby.
4. What a key allows is not decided here but in control, where it is counted.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Final

from herd.config import Settings
from herd.http import problems
from herd.http.exchange import Exchange, Request
from herd.http.guard import Guard
from herd.http.lobby import Lobby
from herd.http.routes import Handler
from herd.http.wire import Header
from herd.link.messages import KeyView

_BEARER: Final = b"bearer "
_CARRIERS: Final = (b"authorization", b"x-api-key")
_LENGTHS: Final = (13, 9)
"""Of those names: what has another length need not be looked at."""
_UNAUTHORIZED: Final = 401

_MISSING: Final = (
    "an API key is needed here: send `Authorization: Bearer KEY` or `x-api-key: KEY`; "
    "`herd key add NAME` on the balancer's machine makes one"
)


def digest(key: bytes) -> str:
    """Return what herd keeps of a key."""
    return sha256(key).hexdigest()


class Keyring:
    """The keys of now, and the routes that they open."""

    def __init__(
        self, settings: Settings, guard: Guard, away: Callable[[], bool], lobby: Lobby
    ) -> None:
        """Begin without a key; `look` tells of those that there are. Control may be away."""
        self._away = away
        self._lobby = lobby
        self._keyless = settings.keyless
        self._public = settings.public_peers
        self._guard = guard
        self._by_digest: dict[bytes, KeyView] = {}
        self._needed = settings.keyless == "never"
        self._paths: set[str] = set()
        self._prefixes: list[str] = []
        self._told = False

    def look(self, keys: Iterable[KeyView]) -> None:
        """Know these keys, and no others."""
        self._by_digest = {bytes.fromhex(key.digest): key for key in keys}
        self._needed = bool(self._by_digest) or self._keyless == "never"
        if not self._told:
            self._told = True
            self._lobby.open()

    @property
    def closed(self) -> bool | None:
        """Whether something has to be shown at all; None while nobody knows."""
        if not self._told and self._away():
            return None
        return self._needed and self._keyless != "local"

    def opens(self, path: str, handler: Handler) -> Handler:
        """Return what answers that path only to those who may; a prefix ends with a slash."""
        if path.endswith("/"):
            self._prefixes.append(path)
        else:
            self._paths.add(path)

        def checked(exchange: Exchange) -> None:
            if not self._told and self._away():
                self._lobby.hold(exchange, checked)
            elif not self._needed or self._lets(exchange):
                self._withhold(exchange.request)
                handler(exchange)

        return checked

    def lets(self, path: str, exchange: Exchange) -> bool:
        """Whether who asks for a path may; if not, that is said. Whoever has to wait for it may."""
        if not self._opened(path) or not self._needed:
            return True
        carriers = _carriers(exchange.request)
        return self._knows(exchange, carriers, self._found(carriers))

    def lets_stranger(self, exchange: Exchange) -> bool:
        """Whether a peer of another network may go on: with a key, to what keys open."""
        if not self._public or not self._by_digest:
            return False
        opened = self._opened(exchange.request.path)
        return opened and self._found(_carriers(exchange.request)) is not None

    def _lets(self, exchange: Exchange) -> bool:
        request = exchange.request
        carriers = _carriers(request)
        key = exchange.key = self._found(carriers)
        if not self._knows(exchange, carriers, key):
            return False
        if key is not None or self._guard.knows(request):
            for carrier in carriers:
                request.headers.remove(carrier)
        return True

    def _knows(self, exchange: Exchange, carriers: list[Header], key: KeyView | None) -> bool:
        if key is not None or self._guard.knows(exchange.request) or self._keyless == "local":
            return True
        text = problems.REFUSALS["key_unknown"] if carriers else _MISSING
        exchange.refuse(_UNAUTHORIZED, text, ((b"WWW-Authenticate", b"Bearer"),))
        return False

    def _opened(self, path: str) -> bool:
        return path in self._paths or any(path.startswith(each) for each in self._prefixes)

    def _withhold(self, request: Request) -> None:
        for carrier in _carriers(request):
            if self._guard.is_token(_said(carrier)):
                request.headers.remove(carrier)

    def _found(self, carriers: Iterable[Header]) -> KeyView | None:
        for carrier in carriers:
            if (key := self._by_digest.get(sha256(_said(carrier)).digest())) is not None:
                return key
        return None


def _said(carrier: Header) -> bytes:
    """Return the key that a header shows."""
    given = carrier[1].strip()
    return given[len(_BEARER) :].strip() if given[: len(_BEARER)].lower() == _BEARER else given


def _carriers(request: Request) -> list[Header]:
    """Return the headers that may hold a key."""
    return [
        header
        for header in request.headers
        if len(header[0]) in _LENGTHS and header[0].lower() in _CARRIERS
    ]
