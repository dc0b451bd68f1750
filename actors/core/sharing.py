"""Shares over several models: what an application gets of one counts in the lines of the others.

Each application has a counter of the work that it was sent while others waited (the virtual token
counter of Sheng et al., "Fairness in serving large language models", 2024). A token counts as long
as it takes its model alone on the best node: else who asks small models would get no large one.

* When a request is sent, those of its application step back in every other line in which others
  wait too: by the time which that line needs for as much work.
* Who comes to a line of others steps back by what it has had more than the least of them.
* An application that waited nowhere counts from then on as the least of those that wait.

A request steps back `MOST_S` in all, at most: so nobody starves, and what was long ago counts no
more. Only the order within lines changes: a slot that can be used never stays free.
"""

from actors.core.estimates import (
    TOKENS_A_STEP,
    answer_tokens,
    demand,
    expected_tokens,
    means,
    prompt_tokens,
)
from actors.core.predicting import freed_per_s
from actors.core.state import US, Line, Request, State, Used

MOST_S = 300.0
"""As far as a batch lets others pass, by default."""
LEAST_PORTION = 0.1
"""Of a mean request: no request counts as shorter where others are weighed against it..."""
MOST_PORTION = 32.0
"""...and none as longer."""
MOST_KEPT = 64
"""Applications whose counters are kept, though they wait for nothing: the last ones."""


def came(state: State, line: Line, request: Request) -> int:
    """Count an application in that comes to a line; return how far back it has to begin, in us."""
    if not state.settings.shares_over_models:
        return 0
    app = request.app
    waiting = {share.app: 0 for other in state.lines.values() for share in other.shares}
    if app not in waiting and waiting:
        least = min(_work_us(state, other) for other in waiting)
        if least > _work_us(state, app):
            _count(state, app, least)
    others = [share.app for share in line.shares if share.app != app]
    if not others or len(others) < len(line.shares):
        return 0
    more_us = _work_us(state, app) - min(_work_us(state, other) for other in others)
    return min(int(MOST_S * US), _in_line_us(state, request, more_us)) if more_us > 0 else 0


def sent(state: State, request: Request) -> None:
    """Count what an application is sent, and let its other requests step back."""
    if not state.settings.shares_over_models or not state.waiting:
        return
    app = request.app
    if not any(share.app != app for line in state.lines.values() for share in line.shares):
        return
    work_us = _cost_us(state, request)
    _count(state, app, _work_us(state, app) + work_us)
    for model, line in state.lines.items():
        mine = [share for share in line.shares if share.app == app]
        if work_us and model != request.model and mine and len(line.shares) > 1:
            _step_back(state, line, app, work_us)


def stepped_back_us(state: State, line: Line, app: str) -> int:
    """Return how far the requests of an application have stepped back in a line."""
    return max((each.back_us for each in _own(state, line, app)), default=0)


def _own(state: State, line: Line, app: str) -> list[Request]:
    return [it for name in line.waiting if (it := state.requests[name]).app == app]


def _step_back(state: State, line: Line, app: str, work_us: int) -> None:
    own = _own(state, line, app)
    back_us = _in_line_us(state, own[0], work_us)
    moved_us = 0
    for request in own:
        moved_us = min(back_us, int(MOST_S * US) - request.back_us)
        request.back_us += moved_us
        request.start_us += moved_us
        request.rank_us += moved_us
        line.waiting[request.request_id] = request.rank_us
    for share in line.shares:
        if share.app == app:
            share.next_us += moved_us if state.settings.rules else back_us
    ranked = [(rank, state.requests[name].seq, name) for name, rank in line.waiting.items()]
    ranked.sort()
    line.waiting = {name: rank for rank, _, name in ranked}


def _cost_us(state: State, request: Request) -> int:
    """Return the time that a request takes alone on the best node."""
    return int(US * demand(state, request.model).alone_s * portion(state, request))


def portion(state: State, request: Request) -> float:
    """Return the work of a request, in that of a mean one of its model."""
    asked = demand(state, request.model)
    mean = asked.prompt_tokens.value / TOKENS_A_STEP + answer_tokens(asked)
    answer = expected_tokens(asked, request)
    work = prompt_tokens(asked, request) / TOKENS_A_STEP + answer
    return work / mean if mean else 1.0


def own_portion(state: State, request: Request) -> float:
    """Return the same to weigh others against, between `LEAST_PORTION` and `MOST_PORTION`.

    With the setting `running_by_length` also where answers are told, and prompts never are.
    """
    asked = demand(state, request.model)
    if not state.settings.running_by_length:
        return max(LEAST_PORTION, portion(state, request))
    if asked.prompt_tokens.count or not asked.answer_tokens.count:
        return min(MOST_PORTION, max(LEAST_PORTION, portion(state, request)))
    prompt, answer = means(asked)
    work = prompt_tokens(asked, request) / TOKENS_A_STEP + expected_tokens(asked, request)
    return min(MOST_PORTION, max(LEAST_PORTION, work / (prompt / TOKENS_A_STEP + answer)))


def _in_line_us(state: State, request: Request, work_us: int) -> int:
    """Return the time in which the line of a request gets so much work done."""
    per_s, alone_s = freed_per_s(state, request), demand(state, request.model).alone_s
    return int(work_us / (alone_s * per_s)) if per_s and alone_s else 0


def _work_us(state: State, app: str) -> int:
    return next((used.work_us for used in state.used if used.app == app), 0)


def _count(state: State, app: str, work_us: int) -> None:
    kept = [used for used in state.used if used.app != app]
    state.used = [*kept[-MOST_KEPT + 1 :], Used(app, work_us)]
