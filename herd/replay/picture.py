"""A folded state as tables for people: who is there, who waits, what runs where."""

from collections.abc import Iterator, Sequence

import msgspec

from actors.core.state import US, Node, Request, State


class Section(msgspec.Struct, frozen=True):
    """One table; a header that begins with `>` is of a column of numbers."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def picture(state: State) -> list[Section]:
    """Return all tables that have a row; ages are those at the last record."""
    sections = (
        _nodes(state),
        _slots(state),
        _waiting(state),
        _in_flight(state),
        _fronts(state),
        _settings(state),
    )
    return [section for section in sections if section.rows]


def totals(state: State) -> str:
    """Return one line about all of it."""
    tallies = [tally for node in state.nodes.values() for tally in node.tallies.values()]
    completed = sum(tally.completed for tally in tallies)
    failed = sum(tally.failed for tally in tallies)
    recovering = ", not yet granting (herd had just started)" if state.recovering else ""
    return (
        f"{state.waiting:,} waiting, {state.in_flight:,} in flight; nodes of this fleet have "
        f"completed {completed:,} and failed {failed:,}; epoch {state.epoch}{recovering}"
    )


def _nodes(state: State) -> Section:
    header = ("NODE", "HEALTH", "ADDRESS", ">IN FLIGHT", "IN MEMORY", ">ON DISK")
    rows = [
        (
            str(node.node_id),
            _health(node),
            node.url,
            str(node.in_flight),
            ", ".join(node.resident) or "-",
            str(len(node.models)),
        )
        for node in state.nodes.values()
    ]
    return Section("nodes", header, rows)


def _health(node: Node) -> str:
    if node.drained_by:
        return f"{node.health}, draining (asked by {node.drained_by})"
    if node.paused:
        return f"{node.health}, paused by its owner: {node.paused}"
    return node.health


def _slots(state: State) -> Section:
    header = ("NODE", "MODEL", ">IN FLIGHT", "SLOTS ARE", "CIRCUIT", ">DONE", ">FAILED")
    return Section("models on nodes", header, list(_slot_rows(state)))


def _slot_rows(state: State) -> Iterator[tuple[str, ...]]:
    for node in state.nodes.values():
        for model in dict.fromkeys((*node.slots, *node.tallies, *node.circuits)):
            slots, tally = node.slots.get(model), node.tallies.get(model)
            yield (
                str(node.node_id),
                model,
                "-" if slots is None else f"{slots.in_flight} of {slots.limit}",
                _known(node, model),
                _circuit(state, node, model),
                "0" if tally is None else f"{tally.completed:,}",
                "0" if tally is None else f"{tally.failed:,}",
            )


def _known(node: Node, model: str) -> str:
    slots = node.slots.get(model)
    if slots is None:
        return "-"
    return "told" if slots.told else "on trial" if slots.trial else "learned"


def _circuit(state: State, node: Node, model: str) -> str:
    circuit = node.circuits.get(model)
    if circuit is None or (circuit.status == "closed" and not circuit.failures):
        return "closed"
    if circuit.status == "closed":
        return f"closed, {circuit.failures} failed in a row"
    if circuit.status == "open":
        left_s = max(0.0, circuit.open_s - _since(state, circuit.opened_us))
        return f"{'slow' if circuit.slow else 'open'}, {left_s:.1f} s more"
    return "half-open"


def _waiting(state: State) -> Section:
    header = ("MODEL", ">PLACE", "REQUEST", ">WAITED", "FOR", "NOT TO")
    rows = [
        (
            model,
            str(place),
            str(request.request_id),
            f"{_since(state, request.received_us):.1f} s",
            "a slot" if state.servable(model, v1=request.v1) else "a node with the model",
            ", ".join(request.excluded) or "-",
        )
        for model, line in state.lines.items()
        for place, name in enumerate(line.waiting, start=1)
        if (request := state.requests.get(name)) is not None
    ]
    return Section("waiting", header, rows)


def _in_flight(state: State) -> Section:
    header = ("NODE", "MODEL", "REQUEST", "LEASE", ">AGE", ">TOKENS", ">LAST HEARD OF")
    running = sorted(
        (each for each in state.requests.values() if each.lease),
        key=lambda each: (each.node_id, each.model, each.dispatched_us),
    )
    return Section("in flight", header, [_run(state, each) for each in running])


def _run(state: State, request: Request) -> tuple[str, ...]:
    again = f", attempt {request.attempt}" if request.attempt > 1 else ""
    return (
        str(request.node_id),
        request.model,
        str(request.request_id),
        f"{request.lease}{again}",
        f"{_since(state, request.dispatched_us):.1f} s",
        f"{request.tokens:,}",
        f"{_since(state, request.progress_us):.1f} s ago",
    )


def _fronts(state: State) -> Section:
    rows = [
        (str(src), str(front.number), "connected" if front.connected else "away")
        for src, front in state.fronts.items()
    ]
    return Section("fronts", ("FRONT", ">NUMBER", "LINK"), rows)


def _settings(state: State) -> Section:
    told = msgspec.structs.asdict(state.settings)
    rows = [
        (name, f"{value:g}" if isinstance(value, float) else str(value))
        for name, value in told.items()
    ]
    return Section("settings that decisions depend on", ("SETTING", "VALUE"), rows)


def _since(state: State, us: int) -> float:
    return (state.recorded_at - us) / US
