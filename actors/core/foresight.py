"""What a model in a node's memory saves those who will ask for it, in stretch.

Without this a model stays where the first who asked for it found room: one request alone does not
pay for a load on a faster node, but those who come within `HORIZON_S` may. Counted is the time of a
mean request on the best other node that has the model, less its time here, both beside the models
that work there now. Where no other node has it, what it costs to bring it back counts (`missing`).
"""

from actors.core.kept import Known
from actors.core.missing import HORIZON_S
from actors.core.standing import facts_of, fastest_s, own_s
from actors.core.state import State

OTHERS = 0.6
"""The weight of what others lose, in place of that in `soonest`."""
AHEAD = 0.3
"""The weight of what those save who will ask: they may come elsewhere, or not at all."""


def of_load(state: State, known: Known, model: str, leaving: list[str]) -> float:
    """Return what a load is worth to those who will ask: for it, and for what has to go."""
    saved = _saved(state, known, model)
    for victim in leaving:
        saved -= _saved(state, known, victim)
    return AHEAD * saved


def _saved(state: State, known: Known, model: str) -> float:
    best_s = 0.0
    for other_s, name in fastest_s(state, model):
        if name != known.node.node_id:
            best_s = other_s
            break
    if not best_s:
        return 0.0
    facts = facts_of(state, model)
    saved_s = max(0.0, best_s - own_s(state, known, model))
    return facts.rate * HORIZON_S * saved_s / facts.alone_s
