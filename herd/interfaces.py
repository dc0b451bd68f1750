"""The addresses of this machine."""

import contextlib
import ipaddress
import socket
from typing import TypeAlias

import psutil

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def own_addresses() -> tuple[str, ...]:
    """Return every address but loopback of the interfaces that are up; IPv4 first.

    Link-local IPv6 addresses are left out: they mean nothing without the interface's name, and
    that differs from machine to machine.
    """
    up = {name for name, found in psutil.net_if_stats().items() if found.isup}
    found: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = []
    for name, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            if name not in up or address.family not in {socket.AF_INET, socket.AF_INET6}:
                continue
            with contextlib.suppress(ValueError):
                parsed = ipaddress.ip_address(address.address)
                if not parsed.is_loopback and not (parsed.version == 6 and parsed.is_link_local):  # noqa: PLR2004 (IPv6)
                    found.append(parsed)
    return tuple(str(address) for address in sorted(found, key=lambda address: address.version))


def own_networks() -> tuple[Network, ...]:
    """Return the networks that the interfaces which are up are on."""
    up = {name for name, found in psutil.net_if_stats().items() if found.isup}
    found: dict[Network, None] = {}
    for name, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            if (
                name in up
                and address.netmask
                and address.family in {socket.AF_INET, socket.AF_INET6}
            ):
                with contextlib.suppress(ValueError):
                    found[_network(address.address, address.netmask)] = None
    return tuple(found)


def _network(address: str, netmask: str) -> Network:
    plain = ipaddress.ip_address(address.partition("%")[0])
    if plain.version == 4:  # noqa: PLR2004 (IPv4)
        return ipaddress.ip_network(f"{plain}/{netmask}", strict=False)
    bits = int(ipaddress.IPv6Address(netmask)).bit_count()
    return ipaddress.ip_network(f"{plain}/{bits}", strict=False)


def address_towards(host: str, port: int) -> str:
    """Return this machine's address on the way to another one; empty if there is no way.

    Nothing is sent: connecting a UDP socket only asks the routing table.
    """
    try:
        family, kind, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as way:
            way.connect(target)
            return str(way.getsockname()[0])
    except (OSError, UnicodeError):  # the latter for what can be no name: `a..b`
        return ""


def card_of(address: str) -> str:
    """Return the hardware address of the interface that has an address; empty if it has none."""
    for addresses in psutil.net_if_addrs().values():
        if any(each.address.partition("%")[0] == address for each in addresses):
            return next((each.address for each in addresses if each.family == psutil.AF_LINK), "")
    return ""


def broadcasts() -> tuple[str, ...]:
    """Return the broadcast addresses (IPv4) of the networks that this machine is on."""
    up = {name for name, found in psutil.net_if_stats().items() if found.isup}
    found: dict[str, None] = {}
    for name, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            if name in up and address.family == socket.AF_INET and address.broadcast:
                found[address.broadcast] = None
    return tuple(found)
