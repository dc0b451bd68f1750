"""What a model in a node's memory saves those who will ask for it, in stretch.

Without this a model stays where the first who asked for it found room: one request alone does not
pay for a load on a faster node, but those who come within `HORIZON_S` may. Counted is the time of a
mean request on the best other node that has the model, less its time here, both beside the models
that work there now. Where no other node has it, what it costs to bring it back counts (`missing`).
"""

from actors.core.estimates import alone_s, demand, mean_s
from actors.core.missing import HORIZON_S
from actors.core.observing import working
from actors.core.state import Node, State
from events import NodeId

OTHERS = 0.6
"""The weight of what others lose, in place of that in `soonest`."""
AHEAD = 0.3
"""The weight of what those save who will ask: they may come elsewhere, or not at all."""


class Foresight:
    """One look ahead, for one question: what was found of a model is kept."""

    def __init__(self, state: State) -> None:
        """Look at nothing yet."""
        self._state = state
        self._fastest: dict[str, list[tuple[float, NodeId]]] = {}

    def of_load(self, node: Node, model: str, leaving: list[str]) -> float:
        """Return what a load is worth to those who will ask: for it, and for what has to go."""
        saved = self._saved(node, model)
        for victim in leaving:
            saved -= self._saved(node, victim)
        return AHEAD * saved

    def _saved(self, node: Node, model: str) -> float:
        fastest = self._fastest.get(model)
        if fastest is None:
            fastest = self._fastest[model] = self._look(model)
        best_s = 0.0
        for other_s, name in fastest:
            if name != node.node_id:
                best_s = other_s
                break
        if not best_s:
            return 0.0
        state, asked = self._state, demand(self._state, model)
        own_s = mean_s(asked, node, model, 1, max(1, working(node) + (model not in node.resident)))
        saved_s = max(0.0, best_s - own_s)
        return asked.rate(state.recorded_at) * HORIZON_S * saved_s / alone_s(state, model)

    def _look(self, model: str) -> list[tuple[float, NodeId]]:
        """Return the times on the two fastest of the nodes that have a model in memory."""
        asked = demand(self._state, model)
        found: list[tuple[float, NodeId]] = []
        for node in self._state.nodes.values():
            if model in node.resident and node.online:
                node_s = mean_s(asked, node, model, 1, max(1, working(node)))
                found.append((node_s, node.node_id))
        found.sort()
        return found[:2]
