"""How Ollama is started again on a node, as far as it is known what the node runs on.

Of the system an agent tells only that a machine is one of Apple's. A node without an agent, or with
a processor that all systems run on, may be anything: then all are named.
"""

from typing import Final

from herd.health.picture import Picture
from herd.link.messages import NodeView

_APPLE: Final = "apple_silicon"
_MACOS: Final = (
    "quit Ollama in the menu bar and open it again, or `brew services restart ollama` where "
    "Homebrew runs it"
)
_ANY: Final = (
    "Linux: `sudo systemctl restart ollama`; macOS: quit Ollama in the menu bar and open it again; "
    "Windows: the same in the task bar"
)


def restart(picture: Picture, *node_ids: str) -> str:
    """Return "restart Ollama (...)" for some nodes, or for the server that is there instead."""
    nodes = [picture.node(node_id) for node_id in node_ids]
    if nodes and all(node is not None and node.facts.dialect != "ollama" for node in nodes):
        return "restart the server of its models"
    known = bool(nodes) and all(node is not None and _is_a_mac(node) for node in nodes)
    return f"restart Ollama ({_MACOS if known else _ANY})"


def _is_a_mac(node: NodeView) -> bool:
    return node.facts.arch == _APPLE or node.facts.chip.startswith("Apple ")
