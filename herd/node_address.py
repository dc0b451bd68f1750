"""How a node is named: `URL`, `URL,slots=N`, `URL,name=NAME`."""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import quote, unquote, urlsplit

import msgspec

from events import Origin
from herd.errors import HerdError
from herd.interfaces import own_addresses

OLLAMA_PORT = 11434
NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class NodeAddress(msgspec.Struct, frozen=True):
    """A node that was named, not found."""

    url: str
    """Scheme, host and port, nothing more; or a Unix socket, `http+unix://%2Fpath`."""
    slots: int = 0
    """Requests it serves at once per model; 0 means learn it."""
    name: str = ""
    """What to call it; empty means after its address."""
    origin: Origin = "flag"
    insecure: bool = False
    """Whether its certificate is taken unseen (`https://` only)."""


def parse_node(text: str, *, named: str = "--node") -> NodeAddress:
    """Read `URL`, `URL,slots=N`, `URL,name=NAME`; scheme and port may be left out."""
    address, *options = text.strip().split(",")
    slots, name, insecure = 0, "", False
    for option in options:
        key, _, value = (part.strip() for part in option.partition("="))
        if key == "slots" and value.isdecimal() and int(value) > 0:
            slots = int(value)
        elif key == "name" and NODE_NAME.fullmatch(value):
            name = value
        elif option.strip() == "insecure" and address.startswith("https://"):
            insecure = True
        else:
            raise HerdError(
                f"{named} {text}: {option!r} is no option",
                "write URL,slots=N or URL,name=NAME; https://…,insecure takes any certificate",
            )
    url = _socket_url(address, named) or normalised_url(address, named=named)
    return NodeAddress(url, slots, name, insecure=insecure)


def parse_nodes(texts: Iterable[str], *, named: str = "--node") -> tuple[NodeAddress, ...]:
    """Read several; the same URL twice is an error, since the two may disagree."""
    nodes = tuple(parse_node(text, named=named) for text in texts)
    urls = [node.url for node in nodes]
    for url in urls:
        if urls.count(url) > 1:
            raise HerdError(f"{named}: {url} is named twice")
    return nodes


def refuse_itself(nodes: Iterable[NodeAddress], port: int) -> None:
    """Raise where a balancer at this port would be its own node: requests went round for ever."""
    here = {"localhost", "127.0.0.1", "::1", *own_addresses()}
    for node in nodes:
        parts = urlsplit(node.url)
        if parts.scheme != "http+unix" and parts.port == port and parts.hostname in here:
            raise HerdError(
                f"--node {node.url}: this is the balancer itself",
                "name an Ollama: http://HOST:11434",
            )


def normalised_url(text: str, *, named: str) -> str:
    """Return `scheme://host:port` of a node's address as people write it."""
    wrong = HerdError(f"{named} {text}: no address of a node", "write http://host:11434")
    address = bracketed(text.strip())
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        port = parts.port
    except ValueError as error:
        raise wrong from error
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in {"http", "https"} or not parts.hostname or extra:
        raise wrong
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port is None:
        port = 443 if parts.scheme == "https" else OLLAMA_PORT
    return f"{parts.scheme}://{host}:{port}"


def bracketed(address: str) -> str:
    """Return an address as it stands in a URL: a bare one of IPv6 is put into brackets."""
    try:
        return f"[{address}]" if ip_address(address).version == 6 else address  # noqa: PLR2004 (IPv6)
    except ValueError:
        return address


def _socket_url(text: str, named: str) -> str:
    """Return `http+unix://%2Fpath` of a node at a Unix socket; nothing of another."""
    scheme, found, rest = text.strip().partition("://")
    if not found or scheme != "http+unix":
        return ""
    path = unquote(rest)
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise HerdError(
            f"{named} {text}: no path of a socket", "write http+unix:///path/of/ollama.sock"
        )
    return f"http+unix://{quote(path, safe='')}"


def written(node: NodeAddress) -> str:
    """Return what `parse_node` reads as this node."""
    slots = f",slots={node.slots}" if node.slots else ""
    name = f",name={node.name}" if node.name else ""
    return f"{node.url}{slots}{name}{',insecure' if node.insecure else ''}"
