"""Who may look at the fleet from another machine, once there are API keys.

Rules
1. While nobody needs a key, whoever may come in may look. Once there is a key, from another machine
   only those who show the admin token, or came by a link of `herd dashboard`. API keys ask models,
   and show nothing of the fleet.
2. A link holds for five minutes and counts once, at whichever front: its nonce becomes a file, and
   only one can make it.
3. Who came by a link, or gave the token, has a cookie for thirty days. It shows; what changes the
   fleet still needs the token. It is sent to no path that a node gets to see.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from herd import session
from herd.clock import wall_s
from herd.http.endpoints.assets import PAGE
from herd.http.exchange import Exchange, Request
from herd.http.guard import Guard, from_here
from herd.http.keyring import Keyring
from herd.http.lobby import Lobby
from herd.http.parameters import ParameterError, Parameters
from herd.http.problems import JSON_UTF8, TEXT_UTF8
from herd.http.routes import Handler, Methods
from herd.http.wire import Header

LINK: Final = "/dashboard/login"
PATH: Final = "/dashboard/api/login"
SHOWN: Final = ("/dashboard/api/", "/fleet/")
METRICS: Final = "/metrics"
COOKIE: Final = "herd_session"

_PLACES: Final = ("/dashboard", "/fleet")
"""Where the cookie is sent."""
_READS: Final = (b"GET", b"HEAD")
_UNAUTHORIZED, _FORBIDDEN, _SEE_OTHER = 401, 403, 303
_SECRET: Final[tuple[Header, ...]] = (
    (b"Cache-Control", b"no-store"),
    (b"Referrer-Policy", b"no-referrer"),
)
_CLOSED: Final = (
    "this fleet has API keys, so who looks at it from another machine signs in: `herd dashboard` "
    "on the balancer's machine makes a link; a program sends the admin token "
    "(`Authorization: Bearer TOKEN`)"
)
_SPENT: Final = (
    b"This link was used already, or is older than five minutes.\n"
    b"`herd dashboard` on the balancer's machine makes another.\n"
)


class Login:
    """Knows who signed in."""

    def __init__(  # noqa: PLR0913 (what it asks, by name)
        self,
        guard: Guard,
        keyring: Keyring,
        lobby: Lobby,
        spent: Path | None,
        *,
        secure: bool,
        now: Callable[[], float] = wall_s,
    ) -> None:
        """Keep the nonces of links that were used in the folder `spent`; without one take none."""
        self._guard = guard
        self._keyring = keyring
        self._lobby = lobby
        self._spent = spent
        self._secure = secure
        self._now = now

    def routes(self) -> dict[str, Methods]:
        """Return what signs a browser in."""
        return {LINK: {b"GET": self._come}, PATH: {b"POST": self._give}}

    def guards(self, path: str, methods: Methods) -> Methods:
        """Return what answers a path of the fleet's only to those who may look."""
        if not path.startswith(SHOWN) and path != METRICS:
            return methods
        return {
            method: self._shows(handler) if method in _READS else handler
            for method, handler in methods.items()
        }

    def lets(self, exchange: Exchange) -> bool:
        """Whether who asks may look now."""
        return self._keyring.closed is False or self._knows(exchange)

    def _shows(self, handler: Handler) -> Handler:
        def shown(exchange: Exchange) -> None:
            if self.lets(exchange):
                handler(exchange)
            elif self._keyring.closed is None:
                self._lobby.hold(exchange, shown)
            else:
                exchange.refuse(_UNAUTHORIZED, _CLOSED, ((b"WWW-Authenticate", b"Bearer"),))

        return shown

    def _knows(self, exchange: Exchange) -> bool:
        request = exchange.request
        return from_here(exchange) or self._guard.knows(request) or self._signed_in(request)

    def _come(self, exchange: Exchange) -> None:
        """Take a link, and lead on to the page."""
        now_s, said = self._now(), ""
        with contextlib.suppress(ParameterError):
            said = Parameters(exchange.request.query).text("code")
        nonce = session.nonce_of(self._guard.token, session.LINK, said, now_s)
        if nonce and self._spend(nonce, now_s):
            headers = (*_SECRET, *self._cookies(now_s), (b"Location", PAGE.encode()))
            exchange.respond(_SEE_OTHER, headers, b"")
        else:
            exchange.respond(_FORBIDDEN, (TEXT_UTF8, *_SECRET), _SPENT)

    def _give(self, exchange: Exchange) -> None:
        """Take the admin token, from the page's own form."""
        if self._guard.knows(exchange.request):
            headers = (JSON_UTF8, *_SECRET, *self._cookies(self._now()))
            exchange.respond(200, headers, msgspec.json.encode({"status": "ok"}))
        else:
            text = "this is not the admin token of this balancer: `herd where` names its file"
            exchange.respond(
                _UNAUTHORIZED,
                (JSON_UTF8, *_SECRET, (b"WWW-Authenticate", b"Bearer")),
                msgspec.json.encode({"error": text}),
            )

    def _signed_in(self, request: Request) -> bool:
        token, now_s = self._guard.token, self._now()
        return any(
            session.nonce_of(token, session.SESSION, said, now_s) for said in _cookies(request)
        )

    def _cookies(self, now_s: float) -> list[Header]:
        until_s = int(now_s) + session.SESSION_S
        said = session.word(self._guard.token, session.SESSION, until_s)
        terms = f"Max-Age={session.SESSION_S}; HttpOnly; SameSite=Strict" + (
            "; Secure" if self._secure else ""
        )
        return [
            (b"Set-Cookie", f"{COOKIE}={said}; Path={place}; {terms}".encode()) for place in _PLACES
        ]

    def _spend(self, nonce: str, now_s: float) -> bool:
        """Whether this is the first time; what cannot be written down does not count."""
        if self._spent is None:
            return False
        try:
            self._spent.mkdir(mode=0o700, exist_ok=True)
            for old in self._spent.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if old.stat().st_mtime < now_s - 2 * session.LINK_S:
                        old.unlink()
            (self._spent / nonce).touch(exist_ok=False)
            os.utime(self._spent / nonce, (now_s, now_s))
        except OSError:
            return False
        return True


def _cookies(request: Request) -> list[str]:
    """Return what a browser sends of ours."""
    found = [
        value.decode("latin-1") for name, value in request.headers if name.lower() == b"cookie"
    ]
    pairs = [pair.strip().partition("=") for line in found for pair in line.split(";")]
    return [value for name, _, value in pairs if name == COOKIE]
