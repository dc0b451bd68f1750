"""Contexts: a model in memory is not loaded anew because a request asks for another context.

An Ollama reloads a model whenever `num_ctx` differs from what it was loaded with. The setting
`context_protection` says what is done about that:

* `strip`: less than the model has is pinned to what it has. More goes to a node where the model
  is in memory with enough; where there is none, it is forwarded, and a reload is expected. None
  at all means what the node takes by itself (`usual_ctx`): where the model has more, that is said.
* `warn`: it is forwarded, and a reload is expected.
* `passthrough`: nothing is looked at.

Routes below `/v1` have no `num_ctx`.
"""

from typing import NamedTuple

from actors.core.state import Node, Request, State
from events import ContextAction

_GIB = 1 << 30
_TIERS = ((47 * _GIB, 262_144), (23 * _GIB, 32_768), (0, 4_096))
_NAMES_IT = "/api/"
"""How the routes begin that have a `num_ctx`."""


class Protection(NamedTuple):
    """What becomes of the context that a request asks for, on its node."""

    action: ContextAction = ""
    num_ctx: int = 0
    """What is forwarded in its place; 0 leaves it."""
    loaded_ctx: int = 0
    """What the model was loaded with, where that is not what was asked for."""


UNTOUCHED = Protection()


def wanted(state: State, request: Request) -> int:
    """Return the context by which nodes are told apart for a request; 0 if they are not."""
    return request.num_ctx if state.settings.context_protection == "strip" else 0


def protected(state: State, request: Request, node: Node) -> Protection:
    """Return what becomes of the context that a request asks for."""
    mode = state.settings.context_protection
    loaded = loaded_ctx(node, request.model)
    asked = request.num_ctx
    if not asked and state.settings.rules:
        silent = mode == "strip" and request.route.startswith(_NAMES_IT)
        usual = usual_ctx(node, request.model) if silent else 0
        return Protection("pinned", loaded, loaded) if 0 < usual < loaded else UNTOUCHED
    if mode not in {"strip", "warn"} or not asked or not loaded or asked == loaded:
        return UNTOUCHED
    if mode == "strip" and asked < loaded:
        return Protection("pinned", loaded, loaded)
    return Protection("reloads", 0, loaded)


def without_reload(state: State, request: Request, found: list[Node]) -> list[Node]:
    """Leave out nodes that would reload, if the model is in memory elsewhere with enough."""
    need = wanted(state, request)
    if not need or not any(loaded_ctx(node, request.model) >= need for node in found):
        return found
    return [node for node in found if not 0 < loaded_ctx(node, request.model) < need]


def usual_ctx(node: Node, model: str) -> int:
    """Return the context with which a node loads a model if nobody says more; 0 if unknown.

    As Ollama does it (`server/routes.go`): what it is told, or by the memory of all its cards, and
    never more than the model was trained for.
    """
    facts = node.facts
    if facts.dialect != "ollama" or not (facts.context_tokens or facts.vram_bytes):
        return 0
    tokens = facts.context_tokens or next(
        tokens for least_bytes, tokens in _TIERS if facts.vram_bytes >= least_bytes
    )
    told = node.models.get(model)
    return min(tokens, told.context_length) if told and told.context_length else tokens


def loaded_ctx(node: Node, model: str) -> int:
    """Return the context with which a model is in a node's memory; 0 if that is not known."""
    resident = node.resident.get(model)
    return 0 if resident is None else resident.context_length
