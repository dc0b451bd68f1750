"""Who may ask for what. So far: what changes the fleet is asked from here, or with the admin token.

A peer on loopback counts as this machine only if it asked for this machine by name and nobody
forwarded it: a reverse proxy beside herd must not open these routes to its own clients, nor a page
in a browser that was led here by a rebound name. A page that herd itself has sent may ask. A proxy
that speaks HTTP/1.1, says this machine's name and nothing of its client cannot be told apart: let
it send `X-Forwarded-For`.
"""

import hmac
from ipaddress import ip_address
from typing import Final

from herd.http.exchange import Exchange, Request
from herd.http.routes import Handler

TOKEN_HEADER: Final = b"x-herd-admin-token"

_FORWARDED: Final = (b"forwarded", b"x-forwarded-", b"x-real-ip", b"cf-", b"tailscale-")
_HERE: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_BEARER: Final = b"bearer "

_CLOSED: Final = (
    "this changes the fleet: ask from the balancer's own machine, or send its admin token "
    "(`Authorization: Bearer TOKEN` or `X-Herd-Admin-Token: TOKEN`); `herd where` names the file "
    "that holds it"
)
_WRONG: Final = (
    "this is not the admin token of this balancer: `herd where` names the file that holds it"
)


class Guard:
    """Lets those through who may change the fleet."""

    def __init__(self, token: str = "") -> None:
        """Know the admin token; without one only this machine may."""
        self.token = token

    def admin(self, handler: Handler) -> Handler:
        """Return a handler that refuses everybody else, in the shape of the family asked."""

        def guarded(exchange: Exchange) -> None:
            if from_here(exchange) or self.knows(exchange.request):
                handler(exchange)
            elif _shown(exchange.request):
                _refuse(exchange, 403, _WRONG)
            else:
                _refuse(exchange, 401, _CLOSED)

        return guarded

    def knows(self, request: Request) -> bool:
        """Whether a request shows the admin token."""
        return self.is_token(_shown(request))

    def is_token(self, shown: bytes) -> bool:
        """Whether it is the admin token."""
        return bool(self.token) and hmac.compare_digest(shown, self.token.encode())


def from_here(exchange: Exchange) -> bool:
    """Whether a request comes from this machine itself."""
    if exchange.request.old or not _loopback(exchange.peer) or forwarded(exchange.request):
        return False  # HTTP/1.0 is what nginx speaks to whom it forwards, by default
    host, origin = "", ""
    for name, value in exchange.request.headers:
        lowered = name.lower()
        if lowered == b"host":
            host = value.decode("latin-1").strip().lower()
        elif lowered == b"origin":
            origin = value.decode("latin-1").strip().lower()
    return _without_port(host) in _HERE and origin in {"", f"http://{host}", f"https://{host}"}


def forwarded(request: Request) -> bool:
    """Whether a request came through a proxy that says so, trusted or not."""
    return any(name.lower().startswith(_FORWARDED) for name, _ in request.headers)


def _shown(request: Request) -> bytes:
    """Return the token that a request shows, or nothing."""
    if token := request.header(TOKEN_HEADER).strip():
        return token
    given = request.header(b"authorization").strip()
    return given[len(_BEARER) :].strip() if given[: len(_BEARER)].lower() == _BEARER else b""


def _refuse(exchange: Exchange, status: int, text: str) -> None:
    again = status == 401  # noqa: PLR2004 (it may come again with a token)
    exchange.refuse(status, text, ((b"WWW-Authenticate", b"Bearer"),) if again else ())


def _loopback(peer: str) -> bool:
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host
