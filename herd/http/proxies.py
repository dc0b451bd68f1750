"""Whose request it is, where a proxy that is trusted brings it.

Rules
1. What `X-Forwarded-For` and `Forwarded` say counts only from `FLEET_TRUSTED_PROXIES`: from anybody
   else it is a client's own story.
2. They are read from the right, since each proxy adds whom it heard: the first who is no trusted
   proxy is the client. What stands to the left of that one, he may have written himself.
3. A hop that is no address (`unknown`, `unix:`, a name, nonsense), and two headers that name
   different clients, make a client of whom nothing is known: a stranger, never a local peer. A
   proxy that sets one of the two and passes the other on would else let its clients choose.
4. A proxy that says nothing of its client stands for it.

Formats: `X-Forwarded-For` as proxies write it (addresses with commas, IPv6 with or without
brackets, some with a port); `Forwarded` of RFC 7239.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, TypeAlias

from herd.http.exchange import Exchange
from herd.interfaces import Network

UNKNOWN: Final = "an address that its proxy does not tell"
"""In place of an address; is none, so it is in no network."""

Address: TypeAlias = IPv4Address | IPv6Address

_LISTED: Final = b"x-forwarded-for"
_FORWARDED: Final = b"forwarded"
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR: Final = re.compile(rf'\s*({_WORD})=([^\s;,"]+|"(?:[^"\\]|\\.)*")\s*([;,]|$)')
_PORT: Final = re.compile(r"\[(?P<six>[^\]]*)\](?::\d{1,5})?|(?P<four>[\d.]+):\d{1,5}")
_MOST_HOPS: Final = 32
"""Looked at from the right; who is farther away is a stranger."""


class Proxies:
    """The proxies that are trusted."""

    def __init__(self, networks: Iterable[Network]) -> None:
        """Know their networks; without any, every peer is its own client."""
        self._networks = tuple(networks)

    def __bool__(self) -> bool:
        """Whether there is one."""
        return bool(self._networks)

    def client(self, exchange: Exchange) -> str:
        """Return the address of the client: its own, what its proxies say, or `UNKNOWN`."""
        peer = exchange.peer
        if not self._networks or not self._trusts(_read(peer)):
            return peer
        listed: list[str] = []
        forwarded: list[str] = []
        for name, value in exchange.request.headers:
            if len(name) == len(_LISTED) and name.lower() == _LISTED:
                listed.append(value.decode("latin-1"))
            elif len(name) == len(_FORWARDED) and name.lower() == _FORWARDED:
                forwarded.append(value.decode("latin-1"))
        told: set[str] = set()
        if listed:
            told.add(self._first_stranger(",".join(listed).split(","), peer))
        if forwarded:
            told.add(self._first_stranger(_hops(",".join(forwarded)), peer))
        return told.pop() if len(told) == 1 else UNKNOWN if told else peer

    def _first_stranger(self, hops: list[str], peer: str) -> str:
        """Return who is no trusted proxy, from the right; the leftmost if all are."""
        client = peer
        for hop in hops[: -_MOST_HOPS - 1 : -1]:
            address = _read(hop)
            if address is None:
                return UNKNOWN
            client = str(address)
            if not self._trusts(address):
                return client
        return client if len(hops) <= _MOST_HOPS else UNKNOWN

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(
            address.version == network.version and address in network for network in self._networks
        )


def _read(text: str) -> Address | None:
    """Return an address as a proxy writes it, or as a socket has it; None if it is none."""
    plain = text.strip()
    if found := _PORT.fullmatch(plain):
        plain = found["six"] or found["four"] or ""
    try:
        address = ip_address(plain.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _hops(text: str) -> list[str]:
    """Return who is named by each element of `Forwarded`; nothing for one that names nobody."""
    hops = [""]
    at = 0
    while at < len(text):
        found = _PAIR.match(text, at)
        if found is None:
            return [""]
        name, value, end = found.groups()
        if name.lower() == "for":
            hops[-1] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value[:1] == '"' else value
        if end == ",":
            hops.append("")
        at = found.end()
    return hops
