"""Who a node is: its name in the fleet."""

import re
import socket

LONGEST = 64
_ALLOWED = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST}}}")


def checked_node_id(name: str) -> str:
    """Return the name if it can stand in a header, a path and a page as it is."""
    if not _ALLOWED.fullmatch(name):
        raise ValueError(f"a node id has 1 to {LONGEST} letters, digits, '.', '_', '-': {name!r}")
    return name


def default_node_id(hostname: str | None = None) -> str:
    """Return this machine's name up to the first dot, with what is not allowed made a dash."""
    name = (socket.gethostname() if hostname is None else hostname).partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:LONGEST] or "node"
