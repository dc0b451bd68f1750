"""How long an answer will be, by the last ones to requests of its size.

What applications send comes from a few templates: answers to requests of one size are much alike,
and often they are of two or three lengths with nothing between. A multiple of what is usual
(`lengths`) blurs that, since what is usual is itself no more than a guess. So the last answers to
requests of a size are kept in tokens, those of the whole fleet, of each model, and of each
application of a model: the fewer there are of the last two, the more the wider ones count. Models
may differ in all that they say, and then a multiple is nearer: of the three the one is believed
that was nearer of late, of each model by itself (follow the leader; Cesa-Bianchi & Lugosi,
"Prediction, Learning, and Games", 2006).

Who is to expect a time wants the mean; who is told one wants to be near it most often. Where
lengths come in heaps these differ, so there are both: the mean, and the mean of the middle half
(the midmean; Tukey, "Exploratory Data Analysis", 1977). And where they are alike, who is told a
range wants a narrow one: so it is made of the least and the most that was seen.
"""

from math import fsum
from typing import TypeVar

from actors.core.estimates import answer_tokens, demand
from actors.core.learning import UNKNOWN, Answers, Demand, Length, OfModel
from actors.core.lengths import size_class
from actors.core.state import Request, State

LAST = 16
"""Answers that are kept of each size."""
WIDER_COUNT = 4.0
"""As many of its own count as much as the wider ones."""
ENOUGH = 8
"""Answers that tell how far apart they are: all but one at each end."""
MOST_KEPT = 512
"""Sizes of models; those that were answered last stay."""
MOST_APPS = 8
"""Applications of each."""
MEMORY = 16.0
"""Answers of a model after which it is known what is nearer."""

T = TypeVar("T")


def recall(state: State, request: Request) -> None:
    """Note how long the answer to a request will be, for the model in whose line it is."""
    request.length = recalled(state, request) if state.settings.lengths_by_last else UNKNOWN


def recalled(state: State, request: Request) -> Length:
    """Return what the answer to a request is thought to be; `UNKNOWN` where a multiple is nearer.

    Its `length_ratio` is known.
    """
    all_models, own = _two(state, request)
    asked = demand(state, request.model)
    if not all_models.mean or asked.far[0] < min(asked.far[1:]):
        return UNKNOWN
    return own if asked.far[2] < asked.far[1] else all_models


def answered(state: State, asked: Demand, request: Request, tokens: int) -> None:
    """Learn from an answer, before it counts in what is usual.

    Nothing is learned from one that its client cut short: nobody knows how long it would be.
    """
    if not request.body_bytes or not tokens or 0 < request.most_tokens <= tokens:
        return
    all_models, own = _two(state, request)
    if all_models.mean:
        multiple = answer_tokens(asked, request.app) * request.length_ratio
        for at, said in enumerate((multiple, all_models.mean, own.mean)):
            far = _far(min(said, request.most_tokens or said), tokens)
            asked.far[at] += (far - asked.far[at]) / MEMORY
    size = size_class(request.body_bytes)
    _add(state.answers.setdefault(size, Answers()), tokens)
    name = _name(size, request.model)
    of_model = state.own_answers.pop(name, None) or OfModel()
    _make_room(state.own_answers, MOST_KEPT)
    state.own_answers[name] = of_model
    _add(of_model.all, tokens)
    of_app = of_model.apps.pop(request.app, None) or Answers()
    _make_room(of_model.apps, MOST_APPS)
    of_model.apps[request.app] = of_app
    _add(of_app, tokens)


def _name(size: int, model: str) -> str:
    return f"{size} {model}"


def _make_room(kept: dict[str, T], most: int) -> None:
    while len(kept) >= most:
        del kept[next(iter(kept))]


def _add(answers: Answers, tokens: int) -> None:
    answers.tokens = [*answers.tokens[1 - LAST :], tokens]
    answers.length = _of(answers.tokens)


def _two(state: State, request: Request) -> tuple[Length, Length]:
    """Return the length by the answers of all models, and by those of its own."""
    size = size_class(request.body_bytes) if request.body_bytes else 0
    widest = state.answers.get(size)
    if widest is None:
        return UNKNOWN, UNKNOWN
    of_model = state.own_answers.get(_name(size, request.model))
    if of_model is None:
        return widest.length, widest.length
    own = _narrowed(widest.length, of_model.all)
    of_app = of_model.apps.get(request.app)
    return widest.length, own if of_app is None else _narrowed(own, of_app)


def _narrowed(wide: Length, answers: Answers) -> Length:
    """Return what fewer answers say, as far as they are enough."""
    n, said = len(answers.tokens), answers.length
    mean = (n * said.mean + WIDER_COUNT * wide.mean) / (n + WIDER_COUNT)
    middle = (n * said.middle + WIDER_COUNT * wide.middle) / (n + WIDER_COUNT)
    ends = said if n >= ENOUGH else wide
    return Length(mean, middle, min(middle, ends.least), max(middle, ends.most))


def _of(last: list[int]) -> Length:
    ordered, n = sorted(last), len(last)
    middle = ordered[n // 4 : n - n // 4]
    out = 1 if n >= ENOUGH else 0  # one at each end may lie anywhere
    mean, midmean = fsum(last) / n, fsum(middle) / len(middle)
    return Length(mean, midmean, float(ordered[out]), float(ordered[-1 - out]))


def _far(said: float, tokens: int) -> float:
    """Return how far two lengths are apart: 0 if they are equal, towards 1."""
    return abs(said - tokens) / max(said, tokens)
