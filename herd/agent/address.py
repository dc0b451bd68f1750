"""Where the balancer reaches a node, by what its heartbeat says and where that came from."""

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from herd.errors import HerdError
from herd.node_address import OLLAMA_PORT, normalised_url

_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")


def url_of(ollama_host: str, lan_ip: str, peer: str) -> str:
    """Return the node's address as seen from the balancer.

    A heartbeat from this machine may name any address. From elsewhere, loopback means the sender's
    own: then the node is where the heartbeat came from, at the same port.
    """
    scheme, host, port = _taken_apart(ollama_host)
    here = _is_here(peer)
    if host and (here or not _is_here(host)):
        return _joined(scheme, "localhost" if _is_anywhere(host) else host, port)
    found = "localhost" if here else peer or lan_ip
    if not found:
        raise ValueError("nothing says where its Ollama is: `ollama_host` is missing")
    return _joined(scheme, _plain(found), port)


def _taken_apart(address: str) -> tuple[str, str, int]:
    if not address:
        return "http", "", OLLAMA_PORT
    wrong = ValueError(f"`ollama_host` must be http://host:port, not {address!r}")
    try:
        parts = urlsplit(normalised_url(address, named="ollama_host"))
    except (HerdError, ValueError) as error:
        raise wrong from error
    host = parts.hostname or ""
    if not _HOST.fullmatch(host) or not address.isprintable():
        raise wrong
    return parts.scheme, _four_numbers(host), parts.port or OLLAMA_PORT


def _four_numbers(host: str) -> str:
    """Return an IPv4 address as it is written: resolvers know `127.1` and `0x7f000001` too."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host


def _is_here(host: str) -> bool:
    """Whether an address means the machine that says it: loopback, or all interfaces."""
    try:
        address = ipaddress.ip_address(_plain(host))
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _is_anywhere(host: str) -> bool:
    return _plain(host) in {"0.0.0.0", "::"}  # noqa: S104 (compared, not bound)


def _plain(address: str) -> str:
    """Return an address without brackets, and an IPv4 one out of its IPv6 wrapping."""
    bare = address.strip("[]")
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        return bare
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(parsed)


def _joined(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
