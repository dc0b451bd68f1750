"""Predictions, from what was learned; where nothing was, from what is alike.

Of a model that a node has not served, what its other models took for each byte of their weights;
of a node that has served nothing, what its memory's bandwidth allows.
"""

from actors.core.learning import Demand, Speed, shared
from actors.core.state import US, Node, Request, State
from events import NodeFacts

BANDWIDTH_BYTES_PER_S = 200e9
"""Of memory, where a node does not tell."""
REACHED = 0.6
"""The share of the bandwidth that reading weights reaches."""
TOKENS_A_STEP = 20.0
"""Tokens of a prompt that are taken in in the time of one step of one answer."""
LOAD_BYTES_PER_S = 1.5e9
LOAD_FIXED_S = 1.0
LEAST_WEIGHTS_BYTES = 10_000_000
"""A smaller file only names a model that is computed elsewhere."""
SIZE_BYTES = 5_000_000_000
"""Of a model whose size no node tells."""
ANSWER_TOKENS = 200.0
OWN_COUNT = 40.0
"""As many answers of its own as count as much as those of all."""
BYTES_A_TOKEN = 4.5
PROMPT_TOKENS = 500.0
"""Of a request of unknown length."""
BESIDE_WEIGHTS = 1.2
"""Memory that a resident model takes, by its weights: keys, values and buffers."""
LEAST_LEFT_S = 0.2
"""Of a load that takes longer than was thought."""
BOUNDLESS = 1 << 62
MOST_LOADED = 3
"""Models that an Ollama keeps at once, unless it tells; what other servers have, they keep."""

_NEW = Speed()
_UNASKED = Demand()


def weights_bytes(node: Node, model: str) -> int:
    """Return the size of the weights that a node computes with; 0 if that is not known."""
    facts = node.models.get(model)
    size = facts.size_bytes if facts is not None else 0
    return size if size >= LEAST_WEIGHTS_BYTES else 0


def is_remote(node: Node, model: str) -> bool:
    """Whether a node only passes a model's requests on: it has a name for it, and no weights."""
    facts = node.models.get(model)
    return facts is not None and 0 < facts.size_bytes < LEAST_WEIGHTS_BYTES


def size_bytes(node: Node, model: str) -> int:
    """Return the same, as far as one can guess."""
    return weights_bytes(node, model) or SIZE_BYTES


def resident_bytes(node: Node, model: str) -> int:
    """Return the memory that a model takes, or would take, on a node."""
    if is_remote(node, model):
        return 0
    resident = node.resident.get(model)
    if resident is not None and (known := resident.size_vram_bytes or resident.size_bytes):
        return known
    return node.footprints.get(model, 0) or int(size_bytes(node, model) * BESIDE_WEIGHTS)


def beside_bytes(facts: NodeFacts) -> int:
    """Return the memory beside that of the graphics; 0 if there is none, or it is not known."""
    shared_bytes = facts.vram_bytes if facts.unified_memory else 0
    return max(0, facts.memory_bytes - shared_bytes)


def most_loaded(node: Node) -> int:
    """Return how many models a node keeps in memory."""
    if node.facts.dialect != "ollama":
        return BOUNDLESS
    return max(node.facts.max_loaded_models or MOST_LOADED, len(node.resident))


def rates_s(node: Node, model: str) -> tuple[float, float]:
    """Return the time of one token of a prompt, and of one of an answer, alone on the node."""
    speed, pace = node.speeds.get(model, _NEW), node.pace
    if speed.step.count:
        step_s = speed.step.value
    elif pace.step.count:
        step_s = pace.step.value * size_bytes(node, model)
    else:
        bandwidth = node.facts.bandwidth_bytes_per_s or BANDWIDTH_BYTES_PER_S
        step_s = size_bytes(node, model) / (bandwidth * REACHED)
    if speed.token.count:
        return speed.token.value, step_s
    if pace.token.count:
        return pace.token.value * size_bytes(node, model), step_s
    return step_s / TOKENS_A_STEP, step_s


def load_s(node: Node, model: str) -> float:
    """Return the time of a load."""
    speed = node.speeds.get(model, _NEW)
    if speed.load.count:
        return speed.load.value
    if node.pace.load.count:
        return node.pace.load.value * size_bytes(node, model)
    return LOAD_FIXED_S + size_bytes(node, model) / LOAD_BYTES_PER_S


def demand(state: State, model: str) -> Demand:
    """Return what is asked of a model."""
    return state.demands.get(model, _UNASKED)


def prompt_tokens(asked: Demand, request: Request) -> float:
    """Return the length of a request's prompt."""
    if asked.body_bytes.count and request.body_bytes:
        return request.body_bytes * asked.prompt_tokens.value / max(1.0, asked.body_bytes.value)
    if request.body_bytes:
        return request.body_bytes / BYTES_A_TOKEN
    return asked.prompt_tokens.value or PROMPT_TOKENS


def answer_tokens(asked: Demand, app: str = "") -> float:
    """Return the length of an answer: of an application, the more it has had, the more its own."""
    tokens = asked.answer_tokens.value if asked.answer_tokens.count else ANSWER_TOKENS
    own = asked.apps.get(app)
    if own is None:
        return tokens
    return (own.count * own.value + OWN_COUNT * tokens) / (own.count + OWN_COUNT)


def expected_tokens(asked: Demand, request: Request) -> float:
    """Return the length of the answer to a request."""
    tokens = request.length.mean or answer_tokens(asked, request.app) * request.length_ratio
    most = request.most_tokens
    return min(tokens, most) if most else tokens


def middle_tokens(asked: Demand, request: Request) -> float:
    """Return the length that it comes near to most often."""
    most = request.most_tokens
    tokens = request.length.middle or expected_tokens(asked, request)
    return min(tokens, most) if most else tokens


def service_s(asked: Demand, node: Node, request: Request) -> float:
    """Return the time that a request takes on a node that has its model in memory, and no other."""
    token_s, step_s = rates_s(node, request.model)
    return prompt_tokens(asked, request) * token_s + expected_tokens(asked, request) * step_s


def alone_s(state: State, model: str) -> float:
    """Return the time that a mean request of a model takes alone, on the best node."""
    known_s = demand(state, model).alone_s
    return known_s or reckoned_alone_s(state, model)


def reckoned_alone_s(state: State, model: str) -> float:
    """Return the same, made anew."""
    asked = demand(state, model)
    prompt, answer = mean_prompt(asked), answer_tokens(asked)
    best_s = 0.0
    for node in state.nodes.values():
        if node.has(model):
            token_s, step_s = rates_s(node, model)
            node_s = prompt * token_s + answer * step_s
            if not best_s or node_s < best_s:
                best_s = node_s
    return best_s or 1.0


def mean_s(asked: Demand, node: Node, model: str, n: int, models: int) -> float:
    """Return the mean time that requests of a model stay on a node when `n` of them always do."""
    return staying_s(means(asked), rates_s(node, model), n, models)


def staying_s(
    tokens: tuple[float, float], rates: tuple[float, float], n: int, models: int
) -> float:
    """Return the same by the tokens of a prompt and an answer, and the times of one of each."""
    prefill_s = tokens[0] * rates[0] * models * n
    return prefill_s + tokens[1] * rates[1] * shared(n, models)


def means(asked: Demand) -> tuple[float, float]:
    """Return the lengths of a mean prompt and a mean answer."""
    return mean_prompt(asked), answer_tokens(asked)


def mean_prompt(asked: Demand) -> float:
    """Return the length of a prompt."""
    return asked.prompt_tokens.value if asked.prompt_tokens.count else PROMPT_TOKENS


def loading(node: Node) -> list[str]:
    """Return the models that are being brought into memory now."""
    found = [
        model for model, slots in node.slots.items() if slots.in_flight and is_coming(node, model)
    ]
    planned = node.planned
    if planned is not None and planned.model not in found and is_coming(node, planned.model):
        found.append(planned.model)
    return found


def is_planned(node: Node, model: str) -> bool:
    """Whether a load is under way that nobody waits for there."""
    return node.planned is not None and node.planned.model == model


def is_coming(node: Node, model: str) -> bool:
    """Whether a model with work is not yet in memory, as far as one can know."""
    if model in node.resident or is_remote(node, model):
        return False
    speed = node.speeds.get(model, _NEW)
    return speed.served_us <= speed.load_began_us


def left_of_load_s(state: State, node: Node, model: str) -> float:
    """Return what is left of a load."""
    began_us = node.speeds.get(model, _NEW).load_began_us
    return max(LEAST_LEFT_S, load_s(node, model) - (state.recorded_at - began_us) / US)
