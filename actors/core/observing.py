"""Folds what every request tells of speeds and of demand into what is learned.

Of a prompt that was cached in part, only what was taken in tells of the speed (`reusing`).

An answer that was streamed has two parts, before and after its first byte; one that came in one
piece, whose first byte is as good as its last, is split as was to be expected: whatever its client
asked for, if it looks like that, and with the setting `streams_as_asked` also if it does not, where
no stream was asked for. A load that the node reports is taken out; where it reports none, what a
cold start took beyond the expected is the load.
"""

from typing import NamedTuple

from actors.core import lengths, recalling
from actors.core.estimates import demand, rates_s, reckoned_alone_s, weights_bytes
from actors.core.learning import Demand, Mean, shared
from actors.core.reusing import Prompt, came_true, prompt_of
from actors.core.slowing import Seen, noted
from actors.core.state import Node, Request, State
from events import ModelSubstituted, RequestCompleted, RequestQueued, RequestReceived

LEAST_PROMPT_TOKENS = 16
"""A shorter prompt tells of the node's overhead, not of its speed."""
LEAST_LOAD_S = 0.2
"""A shorter load was none: an Ollama reports some milliseconds for a model that is in memory."""
LEAST_STREAM_S = 0.001
LEAST_STREAM_SHARE = 0.01
"""What comes after the first byte in less time, or less of the whole time, came with it."""
_LEAST_S = 1e-6


def arrived(
    state: State, event: RequestReceived | RequestQueued | ModelSubstituted, now_us: int
) -> None:
    """Count a request, if its model is of the catalogue: clients can name any. Note its wait."""
    if isinstance(event, RequestQueued):
        if (request := state.requests.get(event.request_id)) is not None:
            request.predicted_wait_s = event.predicted_wait_s
        return
    model = event.to if isinstance(event, ModelSubstituted) else event.model
    if model in state.catalogue:
        _demand(state, model).arrived(now_us)


def sent(node: Node, request: Request, now_us: int, *, cold: bool) -> None:
    """Note what a request meets on its node."""
    speed = node.speed(request.model)
    speed.used_us = now_us
    if cold:
        speed.load_began_us = now_us
    request.models = working(node)


def working(node: Node) -> int:
    """Return how many models work on a node."""
    models = 0
    for slots in node.slots.values():
        if slots.in_flight:
            models += 1
    return models


def completed(
    state: State, node: Node, request: Request, event: RequestCompleted, now_us: int
) -> None:
    """Learn from a whole answer, while it still counts as in flight."""
    speed = node.speed(request.model)
    speed.used_us = speed.served_us = now_us
    if event.usage_source == "none":
        return
    prompt = prompt_of(demand(state, request.model), speed, request, event)
    if request.model in state.catalogue:
        known = _demand(state, request.model)
        if state.settings.lengths_by_last:
            recalling.answered(state, known, request, event.completion_tokens)
        if state.settings.lengths_by_size:
            lengths.answered(state, request, event.completion_tokens)
        _asked(known, request, event, prompt)
        if state.settings.lengths_by_app:
            known.answered(request.app, float(event.completion_tokens))
    slots = node.slots.get(request.model)
    n = (request.turn.n + (1 if slots is None else slots.in_flight)) / 2
    models = (request.models + max(1, working(node))) / 2
    streamed = _streamed(event) and (request.stream or not state.settings.streams_as_asked)
    seen = _learn(node, request, event, prompt, _Terms(n, models, streamed))
    noted(speed, event.completion_tokens, seen, state.settings.slow_times)
    if (asked := state.demands.get(request.model)) is not None:
        asked.alone_s = reckoned_alone_s(state, request.model)


class _Terms(NamedTuple):
    """What an answer shared its node with, and how it came."""

    n: float
    """Requests of its model, its own counted."""
    models: float
    streamed: bool


def _asked(asked: Demand, request: Request, event: RequestCompleted, prompt: Prompt) -> None:
    asked.answer_tokens.add(float(event.completion_tokens))
    if event.prompt_tokens and prompt.whole:  # a stream may tell of its answer alone
        asked.prompt_tokens.add(float(event.prompt_tokens))
        asked.body_bytes.add(float(request.body_bytes))


def _learn(
    node: Node,
    request: Request,
    event: RequestCompleted,
    prompt: Prompt,
    terms: _Terms,
) -> Seen | None:
    """Learn from an answer; return what it tells of the pace of answers, if it tells of that."""
    speed = node.speed(request.model)
    n, models, streamed = terms
    model = request.model
    size = weights_bytes(node, model)
    answer = max(0, event.completion_tokens - 1)
    token_s, step_s = rates_s(node, model)
    prefill_s = prompt.taken_in * token_s * models
    decode_s = answer * step_s * shared(n, models)
    first_s = event.ttft_s if streamed else event.service_s
    expected_s = prefill_s if streamed else prefill_s + decode_s
    if request.cold:
        load_s = event.load_s or first_s - expected_s
        if load_s >= LEAST_LOAD_S:
            speed.load.add(load_s)
            _pace(node.pace.load, load_s, size)
    elif prompt.reckoned:
        if streamed:
            whole_s = event.prompt_tokens * token_s * models
            came_true(speed, request, event, whole_s)
    elif prompt.taken_in >= LEAST_PROMPT_TOKENS:
        share = prefill_s / max(_LEAST_S, expected_s)
        seen_s = max(_LEAST_S, (first_s - event.load_s) * share) / prompt.taken_in / models
        speed.token.add(seen_s)
        _pace(node.pace.token, seen_s, size)
    if not answer or (request.cold and not streamed):
        return None
    share = 1.0 if streamed else decode_s / max(_LEAST_S, expected_s)
    left_s = event.service_s - event.ttft_s if streamed else event.service_s - event.load_s
    took_s = max(_LEAST_S, left_s * share) / answer
    seen_s = took_s / shared(n, models)
    speed.step.add(seen_s)
    _pace(node.pace.step, seen_s, size)
    return seen_s, took_s / (max(1.0, n) * models)


def _streamed(event: RequestCompleted) -> bool:
    after_s = event.service_s - event.ttft_s
    least_s = max(LEAST_STREAM_S, LEAST_STREAM_SHARE * event.service_s)
    return event.ttft_s > 0 and after_s >= least_s


def _pace(mean: Mean, seen_s: float, weights: int) -> None:
    if weights:
        mean.add(seen_s / weights)


def _demand(state: State, model: str) -> Demand:
    demand = state.demands.get(model)
    if demand is None:
        demand = state.demands[model] = Demand(low=state.settings.range_low)
    return demand
