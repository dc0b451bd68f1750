"""Room that is promised, so that no model starves behind others that are always busy.

Under `soonest` a model is loaded only where it can make room by idle models. One that is in no
memory, and whose first request has waited for `PATIENCE_S`, is promised a node: the one where the
least has to end first. The models that have to go get no more work there, and no other is loaded.
A promise holds until the model is on its way into memory, or nobody waits for it any more. Looked
at once a tick; each change is an event.
"""

from actors.core.fitting import can_hold, cheapest, in_flight, in_memory
from actors.core.placement import usable
from actors.core.state import US, Node, Request, State
from events import NodeId, Promise

POLICY = "soonest"
"""The setting under which a request may wait for memory; under others it is sent, come what may."""
PATIENCE_S = 20.0


def due(state: State, now_us: int) -> tuple[Promise, ...] | None:
    """Return all promises that there should be; None if they are those that there are."""
    starving = _starving(state, now_us) if state.settings.policy == POLICY else []
    if not starving and not state.promises:
        return None
    kept: dict[NodeId, Promise] = {}
    new: list[tuple[Request, list[Node]]] = []
    for request, hosts in starving:
        old = [each for each in state.promises.values() if each.model == request.model]
        if old and any(node.node_id == old[0].node_id for node in hosts):
            kept[old[0].node_id] = old[0]
        else:
            new.append((request, hosts))
    for request, hosts in new:
        promise = _promise(request.model, [each for each in hosts if each.node_id not in kept])
        if promise is not None:
            kept[promise.node_id] = promise
    return None if kept == state.promises else tuple(kept.values())


def barred(state: State, node: Node, model: str) -> bool:
    """Whether a promise keeps a model from getting work on a node."""
    promise = state.promises.get(node.node_id)
    if promise is None or promise.model == model:
        return False
    if model in promise.leaving:
        return True
    return not in_flight(node, model) and not in_memory(node, model, state.recorded_at)


def _starving(state: State, now_us: int) -> list[tuple[Request, list[Node]]]:
    """Return who has waited too long for memory, and the nodes it may use; the oldest first."""
    found: list[tuple[int, Request, list[Node]]] = []
    for line in state.lines.values():
        for request_id in line.waiting:
            request = state.requests[request_id]
            if state.settings.rules and not state.present(request):
                continue
            since_us = request.waits_since_us or request.received_us
            if now_us - since_us >= PATIENCE_S * US:
                hosts = usable(state, request)
                if hosts and not any(_hosts(node, request.model) for node in hosts):
                    found.append((request.seq, request, hosts))
            break
    found.sort(key=lambda each: each[0])
    return [(request, hosts) for _, request, hosts in found]


def _hosts(node: Node, model: str) -> bool:
    return model in node.resident or in_flight(node, model) > 0


def _promise(model: str, hosts: list[Node]) -> Promise | None:
    least: tuple[int, NodeId, list[str]] | None = None
    for node in [each for each in hosts if can_hold(each, model)] or hosts:
        leaving = cheapest(node, model)
        work = 0
        for other in leaving:
            work += in_flight(node, other)
        if least is None or (work, node.node_id) < least[:2]:
            least = work, node.node_id, leaving
    return None if least is None else Promise(least[1], model, tuple(least[2]))
