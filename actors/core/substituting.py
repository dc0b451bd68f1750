"""Substituting: which other model serves a request, where the one it asks for had better not.

* An alias is what its name means: always.
* `fallback_models` of the body, in order, the asked model first: whenever no online node has the
  one for which it waits.
* A `claude-*` asked for at `/v1/messages` that no node has: the largest model in memory that can
  use tools and has the context.
* A model in memory, while the asked one is in none: of the same category, with all that the
  request uses, where its answer is predicted to begin at least `SAVED_S` sooner; that a smaller
  model writes faster is no reason. Those that the body names come first; of the others the one
  nearest in size, so that the least of what was asked for is lost, and none that is `MOST_APART`.
  Not where the asked one is wanted again within `HORIZON_S`: then a load serves more than one.
  Never for embeddings: vectors of two models do not compare.

All but aliases leave alone who said `X-Fleet-No-Fallback`. A move is an event; the place in line
is kept.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from actors.core import keying
from actors.core.aliases import meant
from actors.core.capable import can, category, facts_of
from actors.core.contexts import loaded_ctx
from actors.core.estimates import (
    demand,
    is_remote,
    load_s,
    prompt_tokens,
    rates_s,
    size_bytes,
)
from actors.core.missing import HORIZON_S
from actors.core.placement import slots_of, usable
from actors.core.state import Node, Request, State
from events import ModelSubstituted, Substitution

SAVED_S = 10.0
MOST_APART = 4.0
"""In size: what is ten times smaller is no like model."""
EMBEDDINGS = ("/api/embed", "/api/embeddings", "/v1/embeddings")
MESSAGES = "/v1/messages"
CLAUDE = "claude-"


def on_admission(state: State, request: Request) -> ModelSubstituted | None:
    """Return the move of a request that has just come into a line, if it had better move."""
    return (
        _aliased(state, request)
        or by_choice(state, request)
        or _for_claude(state, request)
        or _in_memory(state, request)
    )


def while_waiting(state: State) -> ModelSubstituted | None:
    """Return the next move of one that waits for a model which no online node has."""
    for line in state.lines.values():
        if line.choosing and line.held_native_since_us:
            for request_id in line.waiting:
                moved = by_choice(state, state.requests[request_id])
                if moved is not None:
                    return moved
    return None


def by_choice(state: State, request: Request) -> ModelSubstituted | None:
    """Return the move to the first of the models that its body names which can be served."""
    if not request.choices or state.servable(request.model, v1=request.v1):
        return None
    for model in request.choices:
        line = state.lines.get(model)
        room = line is None or len(line.waiting) < state.settings.max_queue
        if room and state.servable(model, v1=request.v1):
            return _moved(request, model, "fallback_models")
    return None


def back(state: State, request: Request) -> ModelSubstituted | None:
    """Return the move back to the model asked for, if no other node may serve the other one."""
    asked = request.came_as
    if request.reason not in {"vram", "anthropic"} or not asked or asked == request.model:
        return None
    serves = any(
        node.takes(asked, v1=request.v1) and node.node_id not in request.excluded
        for node in state.nodes.values()
    )
    return _moved(request, asked, "vram") if serves else None


def _aliased(state: State, request: Request) -> ModelSubstituted | None:
    aliases = state.settings.model_aliases
    if not aliases or request.came_as:
        return None
    to = meant(aliases, request.model, state.catalogue)
    return None if to == request.model else _moved(request, to, "alias")


def _for_claude(state: State, request: Request) -> ModelSubstituted | None:
    model = request.model
    if (
        not state.settings.anthropic_fallback
        or request.fixed
        or request.needs is None
        or request.route != MESSAGES
        or not model.lower().startswith(CLAUDE)
        or any(node.has(model) for node in state.nodes.values())
    ):
        return None
    best: tuple[int, str] | None = None
    for other, node in _residents(state, request):
        able = can(facts_of(state, other.model), ("tools", *request.needs))
        found = (-size_bytes(node, other.model), other.model)
        if able and (best is None or found < best):
            best = found
    return None if best is None else _moved(request, best[1], "anthropic")


def _in_memory(state: State, request: Request) -> ModelSubstituted | None:
    allowed = state.settings.vram_fallback and not request.fixed and request.needs is not None
    if not allowed or request.route in EMBEDDINGS:
        return None
    model, hosts = request.model, usable(state, request)
    if state.settings.rules and _is_wanted(state, model):
        return None
    if not hosts or any(_has_there(node, model) for node in state.nodes.values()):
        return None
    begins_s = min(load_s(node, model) + _prefill_s(state, node, request) for node in hosts)
    best: tuple[tuple[int, float, str], float] | None = None
    for other, node in _residents(state, request):
        slots = slots_of(node, other.model)
        saved_s = begins_s - _prefill_s(state, node, other)
        if slots.in_flight >= slots.limit or saved_s < SAVED_S:
            continue
        place = _place(state, request, other.model)
        if place is not None and (best is None or place < best[0]):
            best = place, saved_s
    if best is None:
        return None
    return _moved(request, best[0][2], "vram", round(best[1], 3))


def _is_wanted(state: State, model: str) -> bool:
    """Whether a model is asked for so often that a load of it serves more than this one."""
    return demand(state, model).rate(state.recorded_at) * HORIZON_S >= 1.0


def _residents(state: State, request: Request) -> Iterator[tuple[Request, Node]]:
    """Yield what else could serve a request at once: it, as of another model; and the node."""
    models = dict.fromkeys(model for node in state.nodes.values() for model in node.resident)
    for model in models:
        other = replace(request, model=model)
        wanted = max(request.num_ctx, prompt_tokens(demand(state, model), other))
        for node in usable(state, other):
            context = loaded_ctx(node, model)
            if model in node.resident and (not context or context >= wanted):
                yield other, node


def _has_there(node: Node, model: str) -> bool:
    """Whether a model is in memory there, or on its way, or needs none."""
    slots = node.slots.get(model)
    busy = slots is not None and slots.in_flight > 0
    return node.online and (model in node.resident or busy or is_remote(node, model))


def _prefill_s(state: State, node: Node, request: Request) -> float:
    """Return the predicted time to the first byte where the model is in memory."""
    return prompt_tokens(demand(state, request.model), request) * rates_s(node, request.model)[0]


def _place(state: State, request: Request, model: str) -> tuple[int, float, str] | None:
    """Return where a model stands among those that could serve instead; None for nowhere."""
    if not keying.allowed(state, request, model):
        return None
    if model in request.choices:
        return request.choices.index(model), 0.0, model
    if not _alike(state, request, model):
        return None
    return len(request.choices), _apart(state, request, model), model


def _alike(state: State, request: Request, model: str) -> bool:
    if state.settings.rules and _apart(state, request, model) > MOST_APART:
        return False
    mine, other = facts_of(state, request.model), facts_of(state, model)
    return category(mine) == category(other) != "embedding" and can(other, request.needs or ())


def _apart(state: State, request: Request, model: str) -> float:
    """Return how many times larger the one is than the other."""
    mine, other = (max(1, facts_of(state, name).size_bytes) for name in (request.model, model))
    return max(mine, other) / min(mine, other)


def _moved(
    request: Request, to: str, reason: Substitution, saved_s: float = 0.0
) -> ModelSubstituted:
    return ModelSubstituted(
        request_id=request.request_id,
        model=request.model,
        to=to,
        reason=reason,
        saved_s=saved_s,
    )
