"""What decided between two nodes, found by asking the policy about twins.

Two nodes are made that are alike but for one aspect. If the policy prefers the better twin under
either name and whatever the draw, that aspect alone decides for it, and may be called a reason.
"""

from typing import Literal, TypeAlias

import msgspec

from actors.core.learning import Speed
from actors.core.placement import Policy, slots_of
from actors.core.policies import place
from actors.core.state import Node, Request, State, Tally
from events import Limits, NodeId, ResidentModel
from herd.replay.contrast import copied

Aspect: TypeAlias = Literal["load", "busy", "speed"]
"""load: whether the model has to be loaded, and how long that takes. busy: the requests in flight,
and how long they take. speed: how fast the node is at the model."""

_DRAWS = 4


def reasons(
    state: State, request: Request, winner: Node, other: Node, policy: Policy = place
) -> list[Aspect]:
    """Return the aspects of the winner that would have decided for it by themselves."""
    aspects: tuple[Aspect, ...] = ("load", "speed", "busy")
    return [
        aspect
        for aspect in aspects
        if _decides(
            state,
            request,
            _twin(winner, request, winner, aspect),
            _twin(winner, request, other, aspect),
            (policy, other.node_id),
        )
    ]


def _decides(
    state: State, request: Request, good: Node, bad: Node, asked: tuple[Policy, NodeId]
) -> bool:
    policy, other_name = asked
    for names in ((good.node_id, other_name), (other_name, good.node_id)):
        nodes = {
            name: msgspec.structs.replace(node, node_id=name)
            for name, node in zip(names, (good, bad), strict=True)
        }
        twins = msgspec.structs.replace(state, nodes=nodes)
        for attempt in range(_DRAWS):
            asking = msgspec.structs.replace(request, attempt=attempt, excluded=[])
            choice = policy(twins, asking)
            if choice is None or choice.node.node_id != names[0]:
                return False
    return True


def _twin(like: Node, request: Request, source: Node, aspect: Aspect) -> Node:
    """Return a node like the first, which has one aspect from `source`, and no other troubles."""
    model = request.model
    twin = copied(like)
    twin.health, twin.drained_by, twin.circuits = "healthy", "", {}
    twin.limits, twin.paused, twin.too_large = Limits(), "", []
    theirs = source.tallies.get(model, Tally())
    tally = twin.tallies[model] = twin.tallies.get(model, Tally())
    slots = source.slots.get(model)
    speed = twin.speeds[model] = twin.speeds.get(model, Speed())
    their_speed = source.speeds.get(model, Speed())
    if aspect == "load":
        twin.slots.pop(model, None)
        tally.load_s = theirs.load_s
        speed.load, twin.pace.load = their_speed.load, source.pace.load
        speed.served_us = their_speed.served_us
        if model in source.models:
            twin.models[model] = source.models[model]
        if model in source.resident or (slots is not None and slots.in_flight):
            twin.resident[model] = source.resident.get(model, ResidentModel(name=model))
        else:
            twin.resident.pop(model, None)
    elif aspect == "speed":
        twin.slots.pop(model, None)
        twin.resident[model] = ResidentModel(name=model)
        speed.step, twin.pace.step = their_speed.step, source.pace.step
        speed.token, twin.pace.token = their_speed.token, source.pace.token
        twin.facts = source.facts
    else:
        twin.resident[model] = ResidentModel(name=model)
        tally.completed, tally.service_s = theirs.completed, theirs.service_s
        twin.slots[model] = slots_of(copied(source), model)
    return twin
