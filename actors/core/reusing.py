"""What an answer tells of a cache: how much of its prompt was taken in, as far as one can know.

Some servers say how many tokens they had cached, some count the whole prompt, some only what they
took in. Where herd expected a part to be cached, a count that is nearer to that of the whole prompt
is taken for the whole one: it then says nothing of the speed, but the time until the first byte
tells how much of the hope came true.
"""

from typing import NamedTuple

from actors.core.estimates import prompt_tokens
from actors.core.learning import FEW, Demand, Speed
from actors.core.state import Request
from events import RequestCompleted

LEAST_HOPED = 0.05
"""A smaller part of a prompt, cached or not, changes nothing."""
LEAST_CACHED_TOKENS = 64
"""Fewer save no time that could be seen."""
_LEAST_S = 1e-6


class Prompt(NamedTuple):
    """The prompt of one answer, in tokens."""

    taken_in: float
    whole: bool
    """The reported count is of the whole prompt."""
    reckoned: bool = False
    """What was taken in is not known, only reckoned."""


def prompt_of(asked: Demand, speed: Speed, request: Request, event: RequestCompleted) -> Prompt:
    """Return what is known of a prompt from its answer and what was hoped for."""
    if event.cached_tokens:
        return Prompt(max(0, event.prompt_tokens - event.cached_tokens), whole=True)
    hoped = request.hoped_share
    share = hoped * speed.reuse.value if speed.reuse.count else hoped
    if hoped < LEAST_HOPED:
        return Prompt(event.prompt_tokens, whole=True)
    expected = prompt_tokens(asked, request)
    if asked.body_bytes.count and event.prompt_tokens < expected * (1.0 - hoped / 2):
        return Prompt(event.prompt_tokens, whole=False)
    return Prompt(event.prompt_tokens * (1.0 - share), whole=True, reckoned=True)


def came_true(speed: Speed, request: Request, event: RequestCompleted, whole_s: float) -> None:
    """Learn from the time until the first byte, against that of the whole prompt."""
    if speed.token.count < FEW or request.hoped_share * event.prompt_tokens < LEAST_CACHED_TOKENS:
        return
    saved = 1.0 - (event.ttft_s - event.load_s) / max(_LEAST_S, whole_s)
    speed.reuse.add(min(1.0, max(0.0, saved / request.hoped_share)))
