"""What it costs, in stretch, that a model is gone from a node's memory."""

from actors.core.estimates import alone_s, demand, load_s
from actors.core.state import Node, State

HORIZON_S = 120.0
"""A model that is asked for within this time is missed."""


def miss(state: State, node: Node, model: str, others: int) -> float:
    """Return what it costs to bring a model back, as far as it will be wanted.

    `others` are the further nodes that have it in memory.
    """
    rate = demand(state, model).rate(state.recorded_at)
    return missed(rate, load_s(node, model), alone_s(state, model), others)


def missed(rate: float, again_s: float, lasts_s: float, others: int) -> float:
    """Return the same of a model asked for so often a second, by its times of a load and alone."""
    wanted = rate * HORIZON_S / (1.0 + rate * HORIZON_S)
    late = again_s / lasts_s * (1.0 + rate * again_s)
    return wanted * late / (1 + 2 * others)
