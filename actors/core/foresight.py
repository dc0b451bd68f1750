"""What a model in a node's memory saves those who will ask for it, in stretch.

Without this a model stays where the first who asked for it found room: one request alone does not
pay for a load on a faster node, but those who come within `HORIZON_S` may. Counted is the time of a
mean request on the best other node that has the model, less its time here, both beside the models
that work there now. Where no other node has it, what it costs to bring it back counts (`missing`).
"""

from actors.core.facts import own_s
from actors.core.kept import Facts, Known
from actors.core.missing import HORIZON_S

OTHERS = 0.6
"""The weight of what others lose, in place of `soonest.OTHERS`."""
AHEAD = 0.3
"""The weight of what those save who will ask: they may come elsewhere, or not at all."""


def saved(known: Known, facts: Facts) -> float:
    """Return what a model in a node's memory saves those who will ask."""
    best_s = facts.first_s if known.node.node_id != facts.first else facts.second_s
    saved_s = best_s - own_s(known, facts)
    return facts.rate * HORIZON_S * saved_s / facts.alone_s if saved_s > 0 else 0.0


def most_saved(facts: Facts) -> float:
    """Return the most that it could save on any node."""
    return facts.rate * HORIZON_S * max(facts.first_s, facts.second_s) / facts.alone_s
