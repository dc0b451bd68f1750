"""Placement: which node a request goes to. A pure function that can be swapped (`policies`).

The policy in force unless another is set, `resident-first/1`: among the nodes with a free slot, one
that has the model in memory goes before one that has to load it; then the least predicted wait;
then the fewest requests in flight; then a draw seeded by the request (`blake2b(request_id,
attempt)`, RFC 7693), which is recorded. Degraded nodes are asked only if no healthy node has the
model.
"""

from collections.abc import Callable
from hashlib import blake2b
from operator import attrgetter, itemgetter
from typing import TypeAlias

import msgspec

from actors.core import lacking, slowing
from actors.core.circuits import Circuit
from actors.core.contexts import without_reload
from actors.core.owning import crowded, free
from actors.core.pinning import sparing
from actors.core.slots import Slots
from actors.core.state import Node, Request, State
from events import Candidate, NodeId

POLICY = "resident-first/1"

SHOWN = 8
"""How many candidates are stored in full with a decision; replay recomputes them all."""

LOAD_BYTES_PER_S = 1_000_000_000
"""Prior for reading weights from disk, until the node has reported a load."""

LOAD_UNKNOWN_S = 10.0
"""Prior for a model whose size is unknown."""

_first: Callable[[tuple[tuple[float, ...], Candidate]], tuple[float, ...]] = itemgetter(0)
_node_id: Callable[[Node], NodeId] = attrgetter("node_id")


class Choice(msgspec.Struct, frozen=True, gc=False):
    """The node that was chosen, and what it was chosen from, best first."""

    node: Node
    candidates: tuple[Candidate, ...]
    more: int
    draw: int
    policy: str = POLICY
    """Name and version of the policy, as the decision records it."""

    @property
    def cold(self) -> bool:
        """Whether the node has to load the model first."""
        return not self.candidates[0].resident


Policy: TypeAlias = Callable[[State, Request], Choice | None]
"""Chooses a node with a free slot for a request, or None if it has to wait."""

Rank: TypeAlias = Callable[[Candidate], tuple[float, ...]]
"""Orders candidates: the lowest is chosen."""


def resident_first(state: State, request: Request) -> Choice | None:
    """Choose by `resident-first/1`."""
    return best(state, request, candidates(state, request), _rank, POLICY)


def candidates(state: State, request: Request) -> list[Candidate]:
    """Return the terms of every node that has a slot free for the request, by node id."""
    model = request.model
    found: list[Candidate] = []
    for node in usable(state, request):
        slots = slots_of(node, model)
        if free(node, slots) and not crowded(node, model, state.recorded_at):
            found.append(candidate(node, model, slots))
    return found


def best(
    state: State, request: Request, found: list[Candidate], rank: Rank, policy: str
) -> Choice | None:
    """Choose the candidate of the lowest rank; among equals, by the draw."""
    if not found:
        return None
    ranked = [(rank(each), each) for each in found]
    ranked.sort(key=_first)
    lowest = ranked[0][0]
    tied = 1
    while tied < len(ranked) and ranked[tied][0] == lowest:
        tied += 1
    drawn = 0
    if tied > 1:
        drawn = draw(request)
        ranked.insert(0, ranked.pop(drawn % tied))
    shown = tuple([each for _, each in ranked[:SHOWN]])
    return Choice(state.nodes[shown[0].node_id], shown, len(ranked) - len(shown), drawn, policy)


def usable(state: State, request: Request) -> list[Node]:
    """Return the nodes that could serve the request, now or after a wait, by node id."""
    model, v1, excluded = request.model, request.v1, request.excluded
    healthy: list[Node] = []
    degraded: list[Node] = []
    last: list[Node] = []
    for node in state.nodes.values():
        if (
            (model in node.models or model in node.resident)
            and node.takes(model, v1=v1)
            and node.node_id not in excluded
            and (not node.circuits or circuit_lets(state, node, model))
        ):
            if (node.circuits or node.refusals) and asked_last(state, node, model):
                last.append(node)
            else:
                (healthy if node.health == "healthy" else degraded).append(node)
    found = without_reload(state, request, healthy or degraded or last)
    if state.pinned:
        found = sparing(state, request, found)
    if len(found) > 1:
        found.sort(key=_node_id)
    return found


def slots_of(node: Node, model: str) -> Slots:
    """Return the slots of a model on a node: told, or to be learned. Changes nothing."""
    slots = node.slots.get(model)
    if slots is not None:
        return slots
    told = node.told_slots or node.facts.slots
    return Slots(limit=told, told=True) if told else Slots()


def candidate(node: Node, model: str, slots: Slots) -> Candidate:
    """Return a node's terms for a model of which it has these slots."""
    # A node that already runs a request of this model is loading it: no second cold start.
    planned = node.planned is not None and node.planned.model == model
    resident = model in node.resident or slots.in_flight > 0 or planned
    tally = node.tallies.get(model)
    wait_s = 0.0
    if slots.in_flight and tally is not None and tally.completed:
        wait_s = tally.service_s / tally.completed * slots.in_flight / slots.limit
    if not resident or (planned and model not in node.resident):
        wait_s += _load_s(node, model)
    score = (100.0 if resident else 50.0) - min(50.0, wait_s)
    return Candidate(node.node_id, resident, slots.in_flight, slots.limit, wait_s, score)


def draw(request: Request) -> int:
    """Return the 48-bit draw of this attempt."""
    seed = f"{request.request_id}:{request.attempt + 1}".encode()
    return int.from_bytes(blake2b(seed, digest_size=6).digest(), "big")


def _rank(candidate: Candidate) -> tuple[float, ...]:
    return (not candidate.resident, candidate.wait_s, candidate.in_flight)


def circuit_lets(state: State, node: Node, model: str) -> bool:
    """Whether a node's circuit for a model lets one more request pass."""
    circuit = node.circuits.get(model)
    if circuit is None or circuit.status == "closed":
        return True
    if circuit.slow:
        return True
    slots = node.slots.get(model)
    if circuit.status != "half_open" or slots is None or not slots.in_flight:
        return circuit.status == "half_open"
    return bool(state.settings.rules) and not any(
        trying(circuit, each)
        for each in state.requests.values()
        if each.node_id == node.node_id and each.model == model
    )


def trying(circuit: Circuit, request: Request) -> bool:
    """Whether a request that is sent tries a circuit: one sent before it opened says nothing."""
    return request.dispatched_us > circuit.opened_us


def asked_last(state: State, node: Node, model: str) -> bool:
    """Whether a node is asked for a model only where no other can serve it."""
    return slowing.is_last(state, node, model) or (
        bool(node.refusals) and state.recorded_at <= lacking.until_us(state, node, model)
    )


def _load_s(node: Node, model: str) -> float:
    tally = node.tallies.get(model)
    if tally is not None and tally.load_s:
        return tally.load_s
    facts = node.models.get(model)
    if facts is None or not facts.size_bytes:
        return LOAD_UNKNOWN_S
    return facts.size_bytes / LOAD_BYTES_PER_S
