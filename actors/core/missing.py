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
    late = lateness(rate, load_s(node, model), alone_s(state, model))
    return wanted(rate) * late / (1 + 2 * others)


def wanted(rate: float) -> float:
    """Return how likely a model is to be missed that is asked for so often a second."""
    return rate * HORIZON_S / (1.0 + rate * HORIZON_S)


def lateness(rate: float, again_s: float, lasts_s: float) -> float:
    """Return what those who ask for it lose then, by its times of a load and alone."""
    return again_s / lasts_s * (1.0 + rate * again_s)
