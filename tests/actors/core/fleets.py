"""States made by hand: a fleet, what was learned of it, and who waits."""

from actors.core.learning import Demand, Mean, Speed
from actors.core.slots import Slots
from actors.core.state import Line, Node, Request, State
from events import ModelFacts, NodeFacts, NodeId, RequestId, ResidentModel, Source

NOW_US = 1_760_000_000_000_000
SMALL, LARGE = "small:3b", "large:70b"
SIZES = {SMALL: 2_000_000_000, LARGE: 40_000_000_000}


def a_node(
    name: str,
    *resident: str,
    slots: int = 2,
    step_s: float = 0.01,
    load_s: float = 5.0,
    vram_bytes: int = 0,
    most: int = 0,
) -> Node:
    """Return a node that has both models on its disk, and has served both."""
    node = Node(NodeId(name), f"http://{name}:11434", "flag", told_slots=slots, health="healthy")
    node.facts = NodeFacts(vram_bytes=vram_bytes, memory_bytes=vram_bytes, max_loaded_models=most)
    node.models = {model: ModelFacts(name=model, size_bytes=SIZES[model]) for model in SIZES}
    node.resident = {
        model: ResidentModel(name=model, size_bytes=SIZES[model]) for model in resident
    }
    for model in SIZES:
        node.speeds[model] = Speed(
            token=Mean(1, step_s / 20), step=Mean(1, step_s), load=Mean(1, load_s)
        )
    return node


def working_on(node: Node, model: str, requests: int) -> Node:
    """Let a node have so many requests of a model in flight."""
    node.slots[model] = Slots(limit=node.told_slots, told=True, in_flight=requests)
    node.in_flight += requests
    return node


def a_state(*nodes: Node, waiting: int = 1, model: str = SMALL) -> State:
    """Return a fleet in which so many wait for a model, which is asked for often."""
    state = State(seq=100, recorded_at=NOW_US, recovering=False)
    state.nodes = {node.node_id: node for node in nodes}
    for each in SIZES:
        state.catalogue[each] = 1
        state.demands[each] = Demand(
            per_s=0.1,
            at_us=NOW_US,
            prompt_tokens=Mean(9, 200.0),
            answer_tokens=Mean(9, 100.0),
            body_bytes=Mean(9, 800.0),
        )
    state.lines[model] = Line()
    for number in range(waiting):
        join(state, model, number)
    return state


def join(state: State, model: str, number: int, *, waited_s: float = 0.0) -> Request:
    """Let one more wait."""
    name = RequestId(f"r{number}")
    request = Request(
        name,
        model,
        Source("f1"),
        v1=False,
        seq=number,
        received_us=NOW_US - int(waited_s * 1e6),
        body_bytes=800,
    )
    state.requests[name] = request
    state.lines.setdefault(model, Line()).waiting[name] = number
    state.waiting += 1
    return request


def first(state: State, number: int = 0) -> Request:
    """Return one who waits."""
    return state.requests[RequestId(f"r{number}")]
