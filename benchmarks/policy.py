"""What one question to the policy `soonest`, and one look of the planner, cost on a large fleet.

32 nodes and 40 models, all of them asked for; each node has three in memory and requests on them;
200 requests wait. One thread; the best of the rounds.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from time import perf_counter

from actors.core import planning
from actors.core.learning import Demand, Mean
from actors.core.placement import Policy
from actors.core.slots import Slots
from actors.core.soonest import soonest
from actors.core.state import US, Line, Node, Request, State
from events import ModelFacts, NodeFacts, NodeId, RequestId, ResidentModel, Source

NODES, MODELS, WAITING, RESIDENT = 32, 40, 200, 3
NOW_US = 1_760_000_000 * US
GIB = 1 << 30


def large() -> State:
    """Return the state of such a fleet."""
    random = Random(1)  # noqa: S311 (a fleet, no secret)
    state = State(recorded_at=NOW_US, recovering=False)
    state.settings.policy, state.settings.planner = "soonest", True
    names = [f"model-{number}" for number in range(MODELS)]
    sizes = {name: random.randrange(2, 20) * GIB for name in names}
    for number in range(NODES):
        node = Node(NodeId(f"node-{number}"), f"http://node-{number}:11434", "flag")
        node.health, node.told_slots = "healthy", 4
        node.facts = NodeFacts(
            version="0.12.0", slots=4, vram_bytes=64 * GIB, bandwidth_bytes_per_s=10**12
        )
        node.models = {name: ModelFacts(name=name, size_bytes=sizes[name]) for name in names}
        for name in random.sample(names, RESIDENT):
            node.resident[name] = ResidentModel(name=name, size_bytes=sizes[name])
            node.slots[name] = Slots(limit=4, told=True, in_flight=random.randrange(4))
            speed = node.speed(name)
            speed.token, speed.step, speed.load = Mean(9, 2e-4), Mean(9, 1e-2), Mean(9, 4.0)
            speed.served_us = NOW_US - US
        node.in_flight = sum(each.in_flight for each in node.slots.values())
        state.nodes[node.node_id] = node
    for name in names:
        state.demands[name] = Demand(
            0.2, NOW_US, Mean(50, 900.0), Mean(50, 200.0), Mean(50, 4000.0), alone_s=3.0
        )
        state.lines[name] = Line()
    for number in range(WAITING):
        request = Request(
            RequestId(f"request-{number:03}"),
            random.choice(names),
            Source("f1-aaaaaa"),
            v1=False,
            seq=number,
            received_us=NOW_US - random.randrange(20 * US),
            body_bytes=4000,
        )
        state.requests[request.request_id] = request
        state.lines[request.model].waiting[request.request_id] = request.received_us
    state.waiting = WAITING
    return state


def decision_s(policy: Policy = soonest) -> float:
    """Return the mean time of a question, over all who wait."""
    state = large()
    began_s = perf_counter()
    for request in state.requests.values():
        policy(state, request)
    return (perf_counter() - began_s) / WAITING


def look_s() -> float:
    """Return the time of a look of the planner."""
    state = large()
    began_s = perf_counter()
    planning.due(state, NOW_US)
    return perf_counter() - began_s


COSTS: dict[str, Callable[[], float]] = {
    f"soonest, {NODES} nodes, {WAITING} waiting: us a question": decision_s,
    f"planner, {NODES} nodes, {MODELS} models: us a look": look_s,
}
