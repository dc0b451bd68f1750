"""Who may come in at all: local peers, who ask for this machine by a name of its own.

Rules
1. Local is loopback, what RFC 1918, RFC 4193 and RFC 6598 keep for private networks (the last is
   what Tailscale has), link-local, every network that this machine is on, and
   `FLEET_TRUSTED_NETWORKS`. An IPv4 address in IPv6's clothes is that IPv4 address. Behind one of
   `FLEET_TRUSTED_PROXIES` it is the client's address that counts, from here on, for everything.
2. A Host that a public name server could know is not ours: a page of that name would reach herd
   with the reader's own address (DNS rebinding). Addresses, names without a dot, the suffixes of
   private networks and `FLEET_ALLOWED_HOSTS` are.
3. A page may ask only if it is herd's own, of this machine, of an app, or in `FLEET_CORS_ORIGINS`.
   Others may not change anything, and their browser keeps from them what they read.
"""

import socket
from collections.abc import Callable, Iterable
from ipaddress import (
    IPv4Address,
    IPv6Address,
    ip_address,
    ip_network,
)
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from herd.config import Settings
from herd.errors import HerdError
from herd.http import wire
from herd.http.exchange import Exchange
from herd.http.proxies import UNKNOWN, Proxies
from herd.interfaces import Network, own_networks

PRIVATE: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fe80::/10",
        "fc00::/7",
    )
)
SUFFIXES: Final = (
    ".localhost",
    ".local",
    ".lan",
    ".internal",
    ".home.arpa",
    ".home",
    ".localdomain",
    ".intranet",
    ".corp",
    ".svc",
    ".fritz.box",
    ".ts.net",
)
"""Of names that public name servers give to nobody, or only to their owners."""
APPS: Final = frozenset({"app", "file", "tauri", "vscode-webview", "vscode-file"})
"""Schemes of pages that are part of an application, as Ollama lets them."""
ALLOWED_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
PREFLIGHT_S: Final = b"600"
READ_AGAIN_S: Final = 30.0
"""This machine's networks change (DHCP, IPv6 prefixes): they are read again for a stranger."""

_UNTOLD: Final = (
    "the proxy in front of this herd does not say clearly who asks: let it set `X-Forwarded-For` "
    "to its client's address, and drop `Forwarded`; or show an API key (`herd key add`)"
)
_FORBIDDEN, _NO_CONTENT = 403, 204
_READS: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_KEPT: Final = 4_096


class Gate:
    """Looks at every request before its route is found; what it learned of a name it remembers."""

    def __init__(self, settings: Settings, names: Iterable[str] = ()) -> None:
        """`names`: of this machine, beside those that it has told its resolver."""
        self._peers = _Peers((*PRIVATE, *trusted_networks(settings)))
        self._proxies = Proxies(trusted_proxies(settings))
        own = {socket.gethostname().lower(), *(name.lower() for name in names)}
        self._hosts = _Hosts(own | {word.lower() for word in words(settings.allowed_hosts)})
        self.lets_stranger: Callable[[Exchange], bool] = _nobody
        """Whether a peer of another network may go on all the same."""
        self._origins = frozenset(word.lower() for word in words(settings.cors_origins))

    def lets(self, exchange: Exchange) -> bool:
        """Whether a request may go on; one that may not is answered."""
        request = exchange.request
        if self._proxies:
            exchange.peer = self._proxies.client(exchange)
        stranger = exchange.peer and not self._peers[exchange.peer]
        if stranger and not self.lets_stranger(exchange):
            _refuse(
                exchange,
                _UNTOLD
                if exchange.peer == UNKNOWN
                else f"{exchange.peer} is not in this network: add its network to "
                "FLEET_TRUSTED_NETWORKS if it may use this herd, or let it show an API key "
                "(`herd key add`)",
            )
            return False
        if request.host and not self._hosts[request.host]:
            _refuse(
                exchange,
                "this is no name of this machine: add it to FLEET_ALLOWED_HOSTS if it is",
            )
            return False
        if request.noted:
            for name, value in request.noted:
                if len(name) == len(b"origin") and name.lower() == b"origin":
                    return self._lets_page(exchange, value)
        return True

    def _lets_page(self, exchange: Exchange, origin: bytes) -> bool:
        request = exchange.request
        if not self._knows(origin, request.host):
            if request.method in _READS:
                return True
            _refuse(
                exchange,
                "a page of another site may not ask this: add its origin to FLEET_CORS_ORIGINS "
                "if it may",
            )
            return False
        shown = wire.header_value(origin.decode("latin-1"))
        exchange.lines = b"Access-Control-Allow-Origin: %b\r\nVary: Origin\r\n" % shown
        wanted = request.header(b"access-control-request-method")
        if request.method != b"OPTIONS" or not wanted:
            return True
        asked = wire.header_value(
            request.header(b"access-control-request-headers").decode("latin-1")
        )
        headers = [
            (b"Access-Control-Allow-Methods", ALLOWED_METHODS),
            (b"Access-Control-Max-Age", PREFLIGHT_S),
        ]
        if asked:
            headers.append((b"Access-Control-Allow-Headers", asked))
        exchange.respond(_NO_CONTENT, headers, b"")
        return False

    def _knows(self, origin: bytes, host: bytes) -> bool:
        text = origin.decode("latin-1").lower()
        if "*" in self._origins or text in self._origins:
            return True
        scheme, _, place = text.partition("://")
        if scheme in APPS:
            return True
        return scheme in {"http", "https"} and (
            place == host.decode("latin-1").lower() or _name(place) in {"localhost", *_LOOPBACK}
        )


_LOOPBACK: Final = ("127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 (an origin, not an address)


def words(text: str) -> tuple[str, ...]:
    """Return the words of a setting: separated by spaces or commas."""
    return tuple(text.replace(",", " ").split())


def trusted_networks(settings: Settings) -> tuple[Network, ...]:
    """Return the networks that the setting names, or raise naming the one that is none."""
    return _networks(settings.trusted_networks, "FLEET_TRUSTED_NETWORKS")


def trusted_proxies(settings: Settings) -> tuple[Network, ...]:
    """Return the proxies that the setting names, or raise naming the one that is none."""
    found = _networks(settings.trusted_proxies, "FLEET_TRUSTED_PROXIES")
    if any(not network.prefixlen for network in found):
        raise HerdError(
            "FLEET_TRUSTED_PROXIES: everybody could call himself whoever he likes",
            "name the proxies, like 127.0.0.1 192.168.1.2",
        )
    return found


def _networks(text: str, named: str) -> tuple[Network, ...]:
    found: list[Network] = []
    for word in words(text):
        try:
            found.append(ip_network(word, strict=False))
        except ValueError as error:
            raise HerdError(
                f"{named}: {word!r} is no network", "write it like 203.0.113.0/24"
            ) from error
    return tuple(found)


class _Peers(dict[str, bool]):
    """Whether an address is local."""

    def __init__(self, networks: Iterable[Network]) -> None:
        super().__init__()
        self._networks = tuple(networks)
        self._own = own_networks()
        self._read_s = monotonic()

    def __missing__(self, peer: str) -> bool:
        try:
            address = ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        plain = getattr(address, "ipv4_mapped", None) or address
        local = self._is_local(plain)
        if not local and monotonic() - self._read_s >= READ_AGAIN_S:
            self._own, self._read_s = own_networks(), monotonic()
            local = self._is_local(plain)
        if local and len(self) < _KEPT:  # a stranger's network may become ours
            self[peer] = local
        return local

    def _is_local(self, address: IPv4Address | IPv6Address) -> bool:
        return any(
            address.version == each.version and address in each
            for each in (*self._networks, *self._own)
        )


class _Hosts(dict[bytes, bool]):
    """Whether a Host is a name of this machine."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self._names = frozenset(names)

    def __missing__(self, host: bytes) -> bool:
        name = _name(host.decode("latin-1").lower()).removesuffix(".")
        own = self._is_own(name)
        if len(self) < _KEPT:
            self[host] = own
        return own

    def _is_own(self, name: str) -> bool:
        if not name or name in self._names or "*" in self._names:
            return bool(name)
        if "." not in name or name == "host.docker.internal" or name.endswith(SUFFIXES):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


def _name(host: str) -> str:
    """Return a Host without its port, and an IPv6 address without its brackets."""
    try:
        return urlsplit(f"//{host.strip()}").hostname or ""
    except ValueError:
        return ""


def _nobody(_exchange: Exchange) -> bool:
    return False


def _refuse(exchange: Exchange, text: str) -> None:
    exchange.refuse(_FORBIDDEN, text)
