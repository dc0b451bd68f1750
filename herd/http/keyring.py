"""API keys at a front: who is served, and by which key.

Rules
1. While there is no key, nothing is looked at. Once there is one, whoever wants an answer of a model
   shows a key, from whichever machine: `Authorization: Bearer`, or `x-api-key` as Anthropic's
   clients send it. The admin token is as good.
2. A key is looked up by its SHA-256: how long that takes tells nothing of other keys. It goes no
   further than this: neither a node nor an event gets to see it.
3. What a key allows is not decided here but in control, where it is counted.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from herd.config import Settings
from herd.http import problems
from herd.http.exchange import Exchange, Request
from herd.http.guard import Guard
from herd.http.routes import Handler
from herd.link.messages import KeyView

AUTHORIZATION: Final = b"authorization"
API_KEY: Final = b"x-api-key"
_BEARER: Final = b"bearer "
_CARRIERS: Final = frozenset({AUTHORIZATION, API_KEY})
_UNAUTHORIZED: Final = 401

_MISSING: Final = (
    "an API key is needed here: send `Authorization: Bearer KEY` or `x-api-key: KEY`; "
    "`herd key add NAME` on the balancer's machine makes one"
)


def digest(key: bytes) -> str:
    """Return what herd keeps of a key."""
    return hashlib.sha256(key).hexdigest()


class Keyring:
    """The keys of now, and the routes that they open."""

    def __init__(self, settings: Settings, guard: Guard) -> None:
        """Begin without a key; `look` tells of those that there are."""
        self._keyless = settings.keyless
        self._public = settings.public_peers
        self._guard = guard
        self._by_digest: dict[str, KeyView] = {}
        self._needed = False
        self._paths: set[str] = set()
        self._prefixes: list[str] = []
        self.look(())

    def look(self, keys: Iterable[KeyView]) -> None:
        """Know these keys, and no others."""
        self._by_digest = {key.digest: key for key in keys}
        self._needed = bool(self._by_digest) or self._keyless == "never"

    def opens(self, path: str, handler: Handler) -> Handler:
        """Return what answers that path only to those who may; a prefix ends with a slash."""
        if path.endswith("/"):
            self._prefixes.append(path)
        else:
            self._paths.add(path)

        def checked(exchange: Exchange) -> None:
            if not self._needed or self._lets(exchange):
                handler(exchange)

        return checked

    def lets_stranger(self, exchange: Exchange) -> bool:
        """Whether a peer of another network may go on: with a key, to what keys open."""
        if not self._public or not self._by_digest:
            return False
        path = exchange.request.path
        opened = path in self._paths or any(path.startswith(each) for each in self._prefixes)
        return opened and self._found(exchange.request) is not None

    def _lets(self, exchange: Exchange) -> bool:
        request = exchange.request
        exchange.key = self._found(request)
        if exchange.key is None and not self._guard.knows(request):
            if self._keyless == "local":
                return True
            family = problems.family_of(request.target)
            headers = (problems.content_type(family), (b"WWW-Authenticate", b"Bearer"))
            body = problems.body(family, _UNAUTHORIZED, _said(request))
            exchange.respond(_UNAUTHORIZED, headers, body)
            return False
        request.headers = [
            header for header in request.headers if header[0].lower() not in _CARRIERS
        ]
        return True

    def _found(self, request: Request) -> KeyView | None:
        for shown in _shown(request):
            if (key := self._by_digest.get(digest(shown))) is not None:
                return key
        return None


def _shown(request: Request) -> Iterable[bytes]:
    if given := request.header(AUTHORIZATION):
        bearer = given[: len(_BEARER)].lower() == _BEARER
        yield (given[len(_BEARER) :] if bearer else given).strip()
    if given := request.header(API_KEY):
        yield given.strip()


def _said(request: Request) -> str:
    shown = request.header(AUTHORIZATION) or request.header(API_KEY)
    return problems.REFUSALS["key_unknown"] if shown else _MISSING
