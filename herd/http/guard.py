"""Who may ask for what. So far: what changes the fleet may be asked from this machine only.

A peer on loopback counts as this machine only if it asked for this machine by name and nobody
forwarded it: a reverse proxy beside herd must not open these routes to its own clients, nor a page
in a browser that was led here by a rebound name.
"""

from ipaddress import ip_address
from typing import Final

from herd.http.exchange import Exchange

_FORWARDED: Final = (b"forwarded", b"x-forwarded-", b"x-real-ip", b"cf-", b"tailscale-")
_HERE: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


def from_here(exchange: Exchange) -> bool:
    """Whether a request comes from this machine itself."""
    if not _loopback(exchange.peer):
        return False
    host = ""
    for name, value in exchange.request.headers:
        lowered = name.lower()
        if lowered.startswith(_FORWARDED) or lowered == b"origin":
            return False
        if lowered == b"host":
            host = value.decode("latin-1").strip().lower()
    return _without_port(host) in _HERE


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
