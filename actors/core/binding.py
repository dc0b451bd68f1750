"""Who is bound next: one request of a line to a free slot, or one more slot for it.

A line is served in order. One that cannot use the free slot (the node failed it before, or lacks
its route) lets those behind it try; so does one that had better wait. A front that has not yet
said what it carries gets no grants: it may be about to say that it knows nothing of one.
"""

from typing import Literal, TypeAlias

from actors.core.commands import Command
from actors.core.contexts import protected, wanted
from actors.core.kept import CLOSED, Seat
from actors.core.placement import Choice, Policy, slots_of
from actors.core.predicting import NOTHING, predict
from actors.core.slots import probing, proposal
from actors.core.standing import row_of, usable_seats
from actors.core.state import US, Node, Request, State
from events import Lease, NodeId, RequestDispatched, SlotsChanged

_Kind: TypeAlias = tuple[bool, list[NodeId], int]
Reason: TypeAlias = Literal["trial", "held", "stepped_back", "told"]


def bind(state: State, model: str, now_us: int, policy: Policy) -> list[Command]:
    """Bind one request of a model's line, or try one more slot for it."""
    if not _room(state, model, now_us):
        return []
    hopeless: list[_Kind] = []
    for request_id in state.lines[model].waiting:
        request = state.requests[request_id]
        kind = _kind(state, request)
        if kind in hopeless or not state.present(request):
            continue
        choice = policy(state, request)
        if choice is None:
            seats = [seat for seat in usable_seats(state, request) if not seat.known.exhausted]
            for seat in seats:
                change = proposal(seat.slots, now_us, waiting=True)
                if change is not None:
                    return [slots_changed(seat.node, model, *change)]
            if any(map(_free, seats)):  # it had better wait; one behind may not
                request, choice = _behind(state, request, policy)
        if choice is not None:
            return [_dispatched(state, request, choice, now_us)]
        if not request.excluded and not kind[2] and (request.v1 or not _mixed(state, model)):
            break  # it could have gone wherever those behind it can
        hopeless.append(kind)
    return []


def _behind(state: State, request: Request, policy: Policy) -> tuple[Request, Choice | None]:
    """Return the first one behind a request of its kind that goes now, and where to, or none.

    The longer the line before it, the more a request is for going: so the first is found by halves.
    """
    kind = _kind(state, request)
    line = [
        other
        for each in state.lines[request.model].waiting
        if _kind(state, other := state.requests[each]) == kind and state.present(other)
    ]
    waits, goes = line.index(request), len(line) - 1
    found = policy(state, line[goes])
    if found is None:
        return request, None
    while goes - waits > 1:
        middle = (waits + goes) // 2
        choice = policy(state, line[middle])
        if choice is None:
            waits = middle
        else:
            goes, found = middle, choice
    return line[goes], found


def _dispatched(state: State, request: Request, choice: Choice, now_us: int) -> RequestDispatched:
    told = predict(state, request, choice) if state.settings.predictions else NOTHING
    context = protected(state, request, choice.node)
    return RequestDispatched(
        request_id=request.request_id,
        model=request.model,
        node_id=choice.node.node_id,
        lease=Lease(f"{state.epoch}.{state.leases + 1}"),
        attempt=request.attempt + 1,
        queue_s=(now_us - request.received_us) / US,
        terms=choice.candidates,
        more=choice.more,
        policy=choice.policy,
        draw=choice.draw,
        cold=choice.cold,
        probing=probing(slots_of(choice.node, request.model)),
        predicted_first_s=told.first_s,
        predicted_s=told.whole_s,
        predicted_least_s=told.least_s,
        predicted_most_s=told.most_s,
        context=context.action,
        num_ctx=context.num_ctx,
        loaded_ctx=context.loaded_ctx,
    )


def _kind(state: State, request: Request) -> _Kind:
    """Return what decides which nodes a request may use; those of one kind may use the same."""
    return (request.v1, request.excluded, wanted(state, request))


def _free(seat: Seat) -> bool:
    return seat.slots.in_flight < seat.slots.limit


def _room(state: State, model: str, now_us: int) -> bool:
    """Whether any node has, or may try, one more slot for a model, whoever asks."""
    for seat in row_of(state, model).seats.values():
        if seat.kind == CLOSED or seat.known.exhausted:
            continue
        if _free(seat) or proposal(seat.slots, now_us, waiting=True) is not None:
            return True
    return False


def _mixed(state: State, model: str) -> bool:
    """Whether some node has the model only for `/v1` routes."""
    return any(node.facts.dialect != "ollama" and node.has(model) for node in state.nodes.values())


def slots_changed(node: Node, model: str, slots: int, reason: Reason) -> SlotsChanged:
    """Return the change of the slots of a model on a node."""
    return SlotsChanged(node_id=node.node_id, model=model, slots=slots, reason=reason)
