"""What is said of a request when it is dispatched: when its answer begins, when it ends, how sure.

Made of the same estimates under every policy. The range is learned from the predictions before: of
each model, the bounds of actual over predicted time that one in twenty falls below, and one above.
Each miss moves a bound by a fifth, each hit back by a hundredth, so that in the long run nineteen
of twenty hold, whatever the estimates are worth (Gibbs & Candes, "Adaptive conformal inference
under distribution shift", 2021).
"""

from typing import NamedTuple

from actors.core.caching import cached_share
from actors.core.contexts import protected
from actors.core.estimates import (
    demand,
    is_coming,
    left_of_load_s,
    load_s,
    mean_s,
    middle_tokens,
    prompt_tokens,
    rates_s,
)
from actors.core.learning import Demand, shared
from actors.core.observing import working
from actors.core.owning import limit_of
from actors.core.placement import Choice, slots_of
from actors.core.standing import usable_seats
from actors.core.state import Node, Request, State

MISSED, HELD = 1.21, 0.99
"""ln(1.21) is nineteen times -ln(0.99): so a bound rests where one in twenty misses it."""
LEAST_S = 0.001
"""Nothing shorter is said, or compared."""
DIGITS = 3
ENOUGH = 8
"""Answers of a model before its waits are predicted: clients are refused by them."""


class Prediction(NamedTuple):
    """Seconds from the dispatch."""

    first_s: float
    whole_s: float
    least_s: float
    most_s: float


NOTHING = Prediction(0.0, 0.0, 0.0, 0.0)


def predict(state: State, request: Request, choice: Choice) -> Prediction:
    """Say when the answer of a request begins and ends on the node that was chosen."""
    node, model = choice.node, request.model
    asked = demand(state, model)
    beside = slots_of(node, model).in_flight
    models = working(node) + (not beside)
    loads = choice.cold or _reloads(state, request, node)
    share = 0.0 if loads else cached_share(node, request)
    token_s, step_s = rates_s(node, model)
    first_s = prompt_tokens(asked, request) * (1.0 - share) * token_s * models
    if loads:
        first_s += load_s(node, model)
    elif beside and is_coming(node, model):
        first_s += left_of_load_s(state, node, model)
    pace_s = step_s * shared(beside + 1, models)
    whole_s = max(LEAST_S, first_s + middle_tokens(asked, request) * pace_s)
    least_s, most_s = whole_s * asked.low, whole_s * asked.high
    if (length := request.length).mean:
        most = request.most_tokens or length.most
        least_s = (first_s + min(most, length.least) * pace_s) * asked.near_low
        most_s = (first_s + min(most, length.most) * pace_s) * asked.near_high
    return Prediction(*[round(each, DIGITS) for each in (first_s, whole_s, least_s, most_s)])


def _reloads(state: State, request: Request, node: Node) -> bool:
    """Whether a model in memory is loaded anew, for another context."""
    return bool(state.settings.rules) and protected(state, request, node).action == "reloads"


def wait_s(state: State, request: Request) -> float:
    """Say how long a request waits for a slot where its model is in memory; 0 if nobody knows."""
    per_s = freed_per_s(state, request)
    if not per_s:
        return 0.0
    place = list(state.lines[request.model].waiting).index(request.request_id)
    return round((place + 1) / per_s, DIGITS)


def line_s(state: State, model: str) -> float:
    """Say how long one who comes last to a line that there is would wait; 0 if nobody knows."""
    waiting = state.lines[model].waiting
    head = next(iter(waiting), None)
    per_s = 0.0 if head is None else freed_per_s(state, state.requests[head])
    return round((len(waiting) + 1) / per_s, DIGITS) if per_s else 0.0


def freed_per_s(state: State, request: Request) -> float:
    """Return how often a slot becomes free where a model is in memory; 0 if nobody knows.

    All slots of such nodes are taken to be at work. Nothing is said before some answers of the
    model were seen.
    """
    model = request.model
    asked = demand(state, model)
    if asked.answer_tokens.count < ENOUGH:
        return 0.0
    per_s = 0.0
    for seat in usable_seats(state, request):
        if seat.slots.in_flight:
            limit = limit_of(seat.node, seat.slots)
            lasts_s = mean_s(asked, seat.node, model, limit, seat.known.working)
            per_s += limit / max(LEAST_S, lasts_s)
    return per_s


def came_true(asked: Demand, request: Request, took_s: float) -> None:
    """Learn from a prediction and what came of it."""
    if request.predicted_s <= 0:
        return
    if request.length.mean:
        asked.near_high *= MISSED if took_s > request.predicted_most_s else HELD
        asked.near_high = max(1.0, asked.near_high)
        asked.near_low *= 1 / MISSED if took_s < request.predicted_least_s else 1 / HELD
        asked.near_low = min(1.0, asked.near_low)
        return
    ratio = max(LEAST_S, took_s) / request.predicted_s
    asked.high *= MISSED if ratio > asked.high else HELD
    asked.low *= 1 / MISSED if ratio < asked.low else 1 / HELD
    asked.low = min(asked.low, asked.high)
