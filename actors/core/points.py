"""`points/1`: the formula of ollama-herd 0.11, to compare with. The sum of points decides.

    memory     50 where the model is loaded, 30 where it was used within half an hour, else 10
    fit        20 where it is loaded; else by what is free over what it takes: 20, 15, 8, 3 or 0
    depth      -6 for each request of the model there, by bandwidth over the median; at most -30
    wait       -1 for each ten seconds that these are expected to take; at most -25
    role       large models to fast or large machines, small models to the others; at most 25
    context    by the loaded context over the length of the prompt; -15 where it is too short

Its bonuses for sessions, and for hours of the week at which a machine is idle, are left out: they
are of another design. Memory is the system's, as there; a free slot is asked for by our queue.
"""

from actors.core.estimates import demand, prompt_tokens, resident_bytes, size_bytes
from actors.core.owning import crowded, free
from actors.core.placement import Choice, best, slots_of, usable
from actors.core.state import US, Node, Request, State
from events import Candidate

POLICY = "points/1"
GB = 1_000_000_000
HOT, WARM, COLD = 50.0, 30.0, 10.0
WARM_US = 1800 * US
FITS = ((2.0, 20.0), (1.5, 15.0), (1.2, 8.0), (1.0, 3.0))
"""Free over needed memory, more than that; and its points."""
CONTEXTS = ((8.0, 15.0), (3.0, 12.0), (1.5, 7.5), (1.0, 3.0))
"""Context over prompt, at least that; and its points."""
TOO_SHORT = -15.0
LARGE_BYTES, SMALL_BYTES = 20 * GB, 8 * GB
"""Models above, and below."""
MUCH_GB, LITTLE_GB = 128, 32
"""Machines."""


def points(state: State, request: Request) -> Choice | None:
    """Choose by `points/1`."""
    nodes = usable(state, request)
    known = sorted(each.facts.bandwidth_bytes_per_s for each in nodes)
    known = [each for each in known if each]
    usual = (known[len(known) // 2] + known[(len(known) - 1) // 2]) / 2 if known else 0.0
    found: list[Candidate] = []
    for node in nodes:
        slots = slots_of(node, request.model)
        if free(node, slots) and not crowded(node, request.model, state.recorded_at):
            found.append(_candidate(state, request, node, usual))
    return best(state, request, found, lambda each: (-each.score,), POLICY)


def _candidate(state: State, request: Request, node: Node, usual: float) -> Candidate:
    model = request.model
    slots = slots_of(node, model)
    loaded = model in node.resident
    speed = node.speeds.get(model)
    recent = speed is not None and 0 < state.recorded_at - speed.used_us < WARM_US
    depth = float(slots.in_flight)
    wait_s = depth * _service_s(node, model)
    bandwidth = node.facts.bandwidth_bytes_per_s
    if bandwidth and usual:
        depth /= min(4.0, max(0.25, bandwidth / usual))
    score = HOT if loaded else WARM if recent else COLD
    score += 20.0 if loaded else _fit(node, model)
    score -= min(30.0, 6.0 * depth) + min(25.0, wait_s / 10.0)
    score += _role(node, size_bytes(node, model)) + _context(state, request, node)
    return Candidate(
        node.node_id, loaded or slots.in_flight > 0, slots.in_flight, slots.limit, wait_s, score
    )


def _service_s(node: Node, model: str) -> float:
    """Return the mean time of a request; of a model that the node never served, by bandwidth."""
    tally = node.tallies.get(model)
    if tally is not None and tally.completed:
        return tally.service_s / tally.completed
    size = size_bytes(node, model) / GB
    bandwidth = node.facts.bandwidth_bytes_per_s / GB
    per_s = max(10.0, 1.2 * bandwidth / max(1.0, size / 10)) if bandwidth else max(1.0, 100 / size)
    return 100.0 / per_s


def _fit(node: Node, model: str) -> float:
    if not node.facts.memory_bytes:
        return 0.0
    used = 0
    for other in node.resident:
        used += resident_bytes(node, other)
    ratio = (node.facts.memory_bytes - used) / max(1, resident_bytes(node, model))
    return next((gained for least, gained in FITS if ratio > least), 0.0)


def _role(node: Node, size: int) -> float:
    bandwidth = node.facts.bandwidth_bytes_per_s / GB
    memory = node.facts.memory_bytes / GB
    large, small = size > LARGE_BYTES, size < SMALL_BYTES
    if bandwidth:
        gained = min(25.0, 5.0 + bandwidth / 40.0)
        if large:
            return gained
        return max(3.0, 18.0 - 0.6 * gained) if small else 0.6 * gained
    if large:
        return 15.0 if memory >= MUCH_GB else 5.0 if memory >= LITTLE_GB else 0.0
    if small:
        return 15.0 if memory <= LITTLE_GB else 8.0 if memory <= MUCH_GB else 3.0
    return 5.0


def _context(state: State, request: Request, node: Node) -> float:
    resident = node.resident.get(request.model)
    if resident is None or not resident.context_length:
        return 0.0
    asked = prompt_tokens(demand(state, request.model), request)
    ratio = resident.context_length / max(1.0, asked)
    return next((gained for least, gained in CONTEXTS if ratio >= least), TOO_SHORT)
