"""Where a model stands on each node: may a request go there, and what would it find.

The same as `placement.usable`, `owning.crowded`, `fitting.must_load` and `fitting.victims` say, but
kept (`kept`) until a fold touches the node: 40 models on 32 nodes are looked at with every event,
of which one node changes.
"""

from actors.core import contexts
from actors.core.estimates import (
    is_coming,
    is_planned,
    load_s,
    loading,
    most_loaded,
    rates_s,
    resident_bytes,
)
from actors.core.fitting import (
    SHOWN_FOR_US,
    fits,
    in_memory,
    memory_bytes,
    room_bytes,
)
from actors.core.kept import (
    ALWAYS_US,
    BARRED,
    CLOSED,
    COLD,
    FREE,
    FULL,
    Known,
    Row,
    Seat,
)
from actors.core.lacking import until_us
from actors.core.owning import crowded, exhausted
from actors.core.placement import asked_last, circuit_lets, slots_of, usable
from actors.core.state import Request, State
from events import NodeId


def usable_seats(state: State, request: Request) -> list[Seat]:
    """Return the seats of the nodes that could serve a request, now or later, by node id."""
    row = row_of(state, request.model)
    if _plain(state, request, row):
        return row.usable
    return [row.seats[node.node_id] for node in usable(state, request)]


def fitting_seats(state: State, request: Request) -> tuple[list[Seat], list[Seat]]:
    """Return where a request could go now, and where it could wait, by node id.

    Nodes that cannot hold its model are none of them, unless all usable ones are such.
    """
    row = row_of(state, request.model)
    if _plain(state, request, row):
        return row.takers, row.full
    return _split([row.seats[node.node_id] for node in usable(state, request)])


def _plain(state: State, request: Request, row: Row) -> bool:
    """Whether nothing about a request sets it apart from others for its model."""
    return (
        not request.excluded
        and (row.able or request.v1)
        and not state.pinned
        and not contexts.wanted(state, request)
    )


def nowhere(state: State, model: str) -> bool:
    """Whether nobody who waits for a model could go anywhere under `soonest`, nor get a slot."""
    return row_of(state, model).nowhere


def begin(state: State) -> None:
    """Forget everything where nobody says what is touched, and begin anew with the nodes."""
    kept = state.kept
    if not kept.on or len(kept.nodes) != len(state.nodes):
        kept.clear()
        for node_id in sorted(state.nodes):
            kept.nodes[node_id] = None


def row_of(state: State, model: str) -> Row:
    """Return a model's seats, made anew as far as their nodes were touched."""
    begin(state)
    kept = state.kept
    row = kept.rows.get(model)
    if row is None:
        seats = {node_id: _seated(state, node_id, model) for node_id in kept.nodes}
        row = kept.rows[model] = Row(seats, len(kept.touched))
        _sort(row)
    elif row.read < len(kept.touched):
        moved = False
        for node_id in dict.fromkeys(kept.touched[row.read :]):
            moved = _look_again(state, row.seats[node_id], model) or moved
        row.read = len(kept.touched)
        if moved:
            _sort(row)
    if state.recorded_at > row.until_us:
        for seat in row.seats.values():
            if state.recorded_at > seat.until_us:
                _look_again(state, seat, model)
        _sort(row)
    return row


def _sort(row: Row) -> None:
    healthy: list[Seat] = []
    degraded: list[Seat] = []
    last: list[Seat] = []
    row.able = row.nowhere = True
    row.until_us = ALWAYS_US
    for seat in row.seats.values():
        row.until_us = min(row.until_us, seat.until_us)
        if seat.kind != CLOSED:
            row.able = row.able and seat.native
            row.nowhere = row.nowhere and seat.told and seat.kind in {BARRED, FULL}
            (last if seat.last else healthy if seat.healthy else degraded).append(seat)
    row.usable = healthy or degraded or last
    row.takers, row.full = _split(row.usable)


def _split(seats: list[Seat]) -> tuple[list[Seat], list[Seat]]:
    able = [seat for seat in seats if seat.holds] or seats
    takers = [seat for seat in able if seat.kind in {COLD, FREE}]
    return takers, [seat for seat in able if seat.kind == FULL]


def _seated(state: State, node_id: NodeId, model: str) -> Seat:
    known = known_of(state, node_id)
    seat = Seat(known, slots_of(known.node, model))
    _look(state, seat, model)
    return seat


def _look_again(state: State, seat: Seat, model: str) -> bool:
    """Make a seat anew; return whether it belongs elsewhere in its row."""
    before = seat.place()
    seat.known = known_of(state, seat.node.node_id)
    seat.slots = slots_of(seat.node, model)
    _look(state, seat, model)
    return seat.place() != before


def _look(state: State, seat: Seat, model: str) -> None:
    known, node = seat.known, seat.node
    seat.until_us = ALWAYS_US
    seat.told, seat.waits = seat.slots.told, False
    if not node.takes(model, v1=True) or (node.circuits and not circuit_lets(state, node, model)):
        seat.kind = CLOSED
        return
    now_us, slots = state.recorded_at, seat.slots
    seat.native = node.facts.dialect == "ollama"
    seat.healthy = node.health == "healthy"
    seat.last = False
    if node.circuits or node.refusals:
        seat.last = asked_last(state, node, model)
    seat.holds = _size_bytes(known, model) <= known.memory_bytes
    speed = node.speeds.get(model)
    if (
        speed is not None
        and model not in node.resident
        and now_us - speed.served_us <= SHOWN_FOR_US
    ):
        seat.until_us = speed.served_us + SHOWN_FOR_US
    if node.refusals and (refused_us := until_us(state, node, model)) >= now_us:
        seat.until_us = min(seat.until_us, refused_us)
    if node.limits.max_bytes and crowded(node, model, now_us):
        seat.kind = BARRED
    elif (
        slots.in_flight
        or is_planned(node, model)
        or (known.fits and in_memory(node, model, now_us))
    ):
        seat.kind = FULL if known.exhausted or slots.in_flight >= slots.limit else FREE
        seat.token_s, seat.step_s = rates_s(node, model)
        if slots.in_flight or is_planned(node, model):
            seat.waits = is_coming(node, model)
    else:
        _look_cold(seat, model)


def _look_cold(seat: Seat, model: str) -> None:
    known, node = seat.known, seat.node
    leaving = None if known.exhausted else _victims(known, model)
    if leaving is None:
        seat.kind = BARRED
        return
    seat.kind = COLD
    seat.leaving = leaving
    seat.token_s, seat.step_s = rates_s(node, model)
    seat.load_s = load_s(node, model)


def known_of(state: State, node_id: NodeId) -> Known:
    """Return what follows from a node, whatever the model."""
    known = state.kept.nodes[node_id]
    if known is None:
        node = state.nodes[node_id]
        known = state.kept.nodes[node_id] = Known(node)
        known.busy = {model: n for model, slots in node.slots.items() if (n := slots.in_flight)}
        known.working = len(known.busy)
        known.exhausted = exhausted(node)
        known.spared = max(0.0, 1.0 - node.limits.available_share)
        known.coming = loading(node)
        known.fits = fits(node, known.coming)
        known.memory_bytes = memory_bytes(node)
        known.sizes_bytes = state.kept.sizes_bytes.setdefault(node_id, {})
    return known


def _victims(known: Known, model: str) -> list[str] | None:
    """Return what `fitting.victims` does."""
    if known.there < 0:
        _look_at_memory(known)
    node = known.node
    wanted_bytes = min(_size_bytes(known, model), known.memory_bytes)
    free_bytes = room_bytes(node, wanted_bytes) - known.used_bytes
    left = known.there
    leaving: list[str] = []
    for other, size_bytes in known.idle:
        if free_bytes >= wanted_bytes and left < known.most:
            break
        leaving.append(other)
        left -= 1
        free_bytes += size_bytes
    return leaving if free_bytes >= wanted_bytes and left < known.most else None


def _size_bytes(known: Known, model: str) -> int:
    size_bytes = known.sizes_bytes.get(model)
    if size_bytes is None:
        size_bytes = known.sizes_bytes[model] = resident_bytes(known.node, model)
    return size_bytes


def _look_at_memory(known: Known) -> None:
    node = known.node
    there = [*node.resident, *known.coming]
    idle: list[tuple[int, str, int]] = []
    for other in there:
        size_bytes = _size_bytes(known, other)
        known.used_bytes += size_bytes
        slots = node.slots.get(other)
        if slots is None or not slots.in_flight:
            speed = node.speeds.get(other)
            idle.append((0 if speed is None else speed.used_us, other, size_bytes))
    idle.sort()
    known.there = len(there)
    known.most = most_loaded(node)
    known.idle = [(other, size_bytes) for _, other, size_bytes in idle]
