"""How long the answers to requests of a size are, beside what is usual.

Applications send requests of their own sizes and want answers of their own lengths: a title of a
chat, a summary of a document, a line of code. So the size of a body tells of the length of its
answer, often more than the model and the application do. It is learned for the whole fleet, for
each half of a power of two, as a multiple of what is usual for the model and the application: a
power mean of what was seen, with the exponent 1/4, so that one very long answer does not count for
many. Its roots are square roots, which every machine computes alike, to the last bit (IEEE 754).
"""

from math import sqrt

from actors.core.estimates import answer_tokens, demand
from actors.core.learning import Mean
from actors.core.state import Request, State

USUAL_COUNT = 4.0
"""So many usual answers count beside those that were seen to requests of a size."""
MOST = 8.0
"""Times what is usual: an answer never counts for more."""


def size_class(body_bytes: int) -> int:
    """Return a size in halves of powers of two: sizes of one class differ by less than 42 %."""
    return (body_bytes * body_bytes).bit_length()


def ratio(state: State, body_bytes: int) -> float:
    """Return how many times as long as usual the answer to a request of a size is."""
    seen = state.sizes.get(size_class(body_bytes))
    if seen is None:
        return 1.0
    root = (seen.count * seen.value + USUAL_COUNT) / (seen.count + USUAL_COUNT)
    return root * root * root * root


def answered(state: State, request: Request, tokens: int) -> None:
    """Learn from an answer, before it counts in what is usual.

    Nothing is learned from the first one of a model, of which nobody knows what is usual, nor from
    embeddings, which have no tokens.
    """
    asked = demand(state, request.model)
    usual = answer_tokens(asked, request.app)
    if not request.body_bytes or not tokens or not usual or not asked.answer_tokens.count:
        return
    seen = state.sizes.setdefault(size_class(request.body_bytes), Mean())
    seen.add(sqrt(sqrt(min(MOST, tokens / usual))))
