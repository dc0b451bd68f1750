"""What a model in a node's memory saves those who will ask for it, in stretch.

Without this a model stays where the first who asked for it found room: one request alone does not
pay for a load on a faster node, but those who come within `HORIZON_S` may. Counted is the time of a
mean request on the best other node that has the model, less its time here, both beside the models
that work there now. Where no other node has it, what it costs to bring it back counts (`missing`).
"""

from actors.core.kept import Facts, Known
from actors.core.missing import HORIZON_S
from actors.core.standing import fastest_of, own_s
from actors.core.state import State

OTHERS = 0.6
"""The weight of what others lose, in place of `soonest.OTHERS`."""
AHEAD = 0.3
"""The weight of what those save who will ask: they may come elsewhere, or not at all."""


def saved(state: State, known: Known, model: str, facts: Facts) -> float:
    """Return what a model in a node's memory saves those who will ask; `facts` are the model's."""
    best_s = 0.0
    for other_s, name in fastest_of(state, model, facts).best:
        if name != known.node.node_id:
            best_s = other_s
            break
    if not best_s:
        return 0.0
    saved_s = max(0.0, best_s - own_s(state, known, model, facts))
    return facts.rate * HORIZON_S * saved_s / facts.alone_s
