"""What the nodes of a view speak: Ollama's whole API, or only `/v1` routes; and of which models.

A request by one of Ollama's own routes goes to either, if it can be translated. Whether it can is
looked at only where it matters: where a node without those routes has the model.
"""

from collections.abc import Iterable

from herd.dialects.asking import Node
from herd.dialects.errors import UntranslatableError
from herd.dialects.names import key
from herd.dialects.plain import plain
from herd.http.translations import TRANSLATIONS
from herd.link.messages import NodeView, View


class Spoken:
    """Who speaks what."""

    __slots__ = ("_native", "_nodes", "_takers", "_translated")

    def __init__(self) -> None:
        """Know of no node."""
        self._nodes: dict[str, Node] = {}
        """By their addresses."""
        self._native: set[str] = set()
        """Models on the other nodes, by their keys: each make spells its own."""
        self._takers: dict[str, set[str]] = {}
        """Addresses of the nodes that take requests, by the keys of their models."""
        self._translated: set[str] = set()
        """Models on those without, if requests are translated for them; by their keys."""

    def look(self, view: View) -> None:
        """Know the fleet."""
        others = [node for node in view.nodes if node.facts.dialect != "ollama"]
        self._nodes = {
            node.url: Node(node.facts.dialect == "ollama", node.models) for node in view.nodes
        }
        self._takers = {}
        for node in view.nodes:
            if node.answers and not node.draining and not node.paused:
                for name in _models([node]):
                    self._takers.setdefault(name, set()).add(node.url)
        translates = view.settings.get("translate_ollama", False)
        self._translated = _models(others) if translates else set()
        self._native = _models(node for node in view.nodes if node.facts.dialect == "ollama")

    def node(self, url: str) -> Node:
        """Return what is known of the node there."""
        return self._nodes.get(url) or Node()

    def why_native(self, path: str, body: bytes, model: str) -> str:
        """Return why only an Ollama can serve a request, as far as another node has its model."""
        translation = TRANSLATIONS.get(path) if self._translated else None
        if translation is None or not translation.native or key(model) not in self._translated:
            return ""
        try:
            translation.question(plain(body), Node(ollama=False))
        except UntranslatableError as error:
            return error.what
        return ""

    def takers(self, model: str) -> set[str]:
        """Return the addresses of the nodes that take requests for a model."""
        return self._takers.get(key(model), set())

    def native(self, model: str) -> bool:
        """Whether any Ollama has the model."""
        return key(model) in self._native


def _models(nodes: Iterable[NodeView]) -> set[str]:
    found = list(nodes)
    on_disk = {key(model.name) for node in found for model in node.models}
    return on_disk | {key(model.name) for node in found for model in node.resident}
