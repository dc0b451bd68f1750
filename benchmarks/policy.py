"""What one question to the policy `soonest`, and one look of the planner, cost on a large fleet.

32 nodes, 6 or 40 models, all of them asked for; each node has three in memory and requests on them;
200 requests wait. CPU time of one thread; the best of the rounds. What follows from a node is kept
until a fold touches it (`actors.core.kept`): so a question is asked with everything kept, after an
answer has ended on one node, and with nothing kept, which is what it would cost to reckon all anew.
An answer that ends on a fleet with no slot free is all that follows from it: it is folded, those
who wait for each model are looked at, and most often one of them is sent.
"""

import argparse
from collections.abc import Callable
from functools import partial
from itertools import cycle
from operator import attrgetter
from random import Random
from time import process_time

from actors.core import planning
from actors.core.learning import Demand, Mean
from actors.core.slots import Slots, dispatched
from actors.core.soonest import soonest
from actors.core.state import US, Front, Line, Node, Request, State
from actors.core.step import step
from actors.core.touching import Touched, touch
from actors.run_queue import run
from benchmarks.machine import Json, begin, publish, table
from events import (
    Lease,
    ModelFacts,
    NodeFacts,
    NodeId,
    RequestCompleted,
    RequestDispatched,
    RequestId,
    ResidentModel,
    Source,
)

NODES, WAITING, RESIDENT = 32, 200, 3
FRONT = Source("f1-aaaaaa")
NOW_US = 1_760_000_000 * US
GIB = 1 << 30


def large(models: int) -> State:
    """Return the state of such a fleet, with the settings of an installation."""
    random = Random(1)  # noqa: S311 (a fleet, no secret)
    state = State(recorded_at=NOW_US, recovering=False)
    state.settings.policy, state.settings.planner = "soonest", True
    state.settings.foresight = state.settings.patience = True
    state.settings.lengths_by_size = state.settings.lengths_by_last = True
    state.settings.running_by_length = True
    names = [f"model-{number}" for number in range(models)]
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
            for _ in range(node.slots[name].in_flight):
                node.slots[name].portions.append(random.uniform(0.1, 3.0))
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
            FRONT,
            v1=False,
            seq=number,
            received_us=NOW_US - random.randrange(20 * US),
            body_bytes=4000,
        )
        state.requests[request.request_id] = request
        state.lines[request.model].waiting[request.request_id] = request.received_us
    state.waiting = WAITING
    state.kept.on = True
    return state


def question_s(models: int, *, foresight: bool, kept: bool = True, touched: bool = False) -> float:
    """Return the mean time of a question, over all who wait; `touched`: after a fold each."""
    state = large(models)
    state.settings.foresight = foresight
    state.kept.on = kept
    names = cycle(list(state.nodes))
    ended = RequestCompleted(
        request_id=RequestId("another"), model="", node_id=NodeId(""), lease=Lease("1.1")
    )
    asking = sorted(state.requests.values(), key=attrgetter("model"))
    for request in asking:  # what is kept is there before anybody measures
        soonest(state, request)
    began_s = process_time()
    for request in asking:
        if touched:
            touch(state, ended, Touched(next(names), model=request.model))
        soonest(state, request)
    return (process_time() - began_s) / WAITING


def ended_s(models: int) -> float:
    """Return the mean time of an answer that ends, over one for each node, with what follows."""
    state = large(models)
    state.settings.predictions = state.settings.fair_shares = True
    state.settings.planner = False
    state.fronts[FRONT] = Front(1, 0, connected=True)
    for node in state.nodes.values():
        node.in_flight = 0
        for model, slots in node.slots.items():
            slots.in_flight = 0
            for _ in range(slots.limit):
                _runs(state, node, model)
    ending = [request for request in state.requests.values() if request.lease]
    deliver = partial(step, state)
    sent = 0
    began_s = process_time()
    for number, request in enumerate(ending[:: len(ending) // NODES], 1):
        fact = RequestCompleted(
            request_id=request.request_id,
            model=request.model,
            node_id=request.node_id,
            lease=request.lease,
            ttft_s=0.4,
            service_s=3.0,
            prompt_tokens=900,
            completion_tokens=200,
        )
        outcome = run(state, deliver, fact, NOW_US + 1000 * number, (FRONT, number))
        sent += isinstance(outcome.records[-1].event, RequestDispatched)
    assert 2 * sent > number, "who waits is better off waiting: that is not what is measured"
    return (process_time() - began_s) / number


def _runs(state: State, node: Node, model: str) -> None:
    """Let one more request of a model run on a node."""
    number = len(state.requests)
    request = Request(
        RequestId(f"request-{number:03}"),
        model,
        FRONT,
        v1=False,
        seq=number,
        received_us=NOW_US - 5 * US,
        body_bytes=4000,
        attempt=1,
        node_id=node.node_id,
        lease=Lease(f"1.{number}"),
        dispatched_us=NOW_US - 3 * US,
    )
    state.requests[request.request_id] = request
    state.in_flight += 1
    node.in_flight += 1
    request.turn = dispatched(node.slots[model], NOW_US - 3 * US)


def look_s() -> float:
    """Return the time of a look of the planner, with 40 models."""
    state = large(40)
    began_s = process_time()
    planning.due(state, NOW_US)
    return process_time() - began_s


COSTS: dict[str, Callable[[], float]] = {
    "soonest, 6 models: us a question": partial(question_s, 6, foresight=False),
    "soonest, 6 models, foresight: us a question": partial(question_s, 6, foresight=True),
    "soonest, 40 models: us a question": partial(question_s, 40, foresight=False),
    "soonest, 40 models, foresight: us a question": partial(question_s, 40, foresight=True),
    "soonest, 6 models, foresight, an answer ended: us a question": partial(
        question_s, 6, foresight=True, touched=True
    ),
    "soonest, 40 models, foresight, an answer ended: us a question": partial(
        question_s, 40, foresight=True, touched=True
    ),
    "soonest, 40 models, foresight, nothing kept: us a question": partial(
        question_s, 40, foresight=True, kept=False
    ),
    "soonest, 6 models, foresight: us an answer that ends": partial(ended_s, 6),
    "soonest, 40 models, foresight: us an answer that ends": partial(ended_s, 40),
    "planner, 40 models: us a look": look_s,
}


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks policy", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, nothing kept")
    told = parser.parse_args()
    result: dict[str, Json] = begin("policy") | {"nodes": NODES, "waiting": WAITING}
    rounds = 3 if told.quick else 8
    costs = {name: 1e6 * min(once() for _ in range(rounds)) for name, once in COSTS.items()}
    print(table(f"{NODES} nodes, {WAITING} wait", ("", "us"), list(costs.items())))
    publish("policy", result | {"us": costs}, keep=not told.quick)


if __name__ == "__main__":
    main()
