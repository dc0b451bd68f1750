"""NodeMonitor: what each node is able to do now.

* A node is `healthy` while it answers, `degraded` when it was silent for a while or refused a
  connection (it is then used only if no other node can serve), `offline` when it stays away.
* One circuit per node and model: three failures in a row open it for 10 s, doubling up to
  `longest_open_s`; then one request may try (half-open); its success closes the circuit, its
  failure opens it again. A stall opens it at once.
* A node is `paused` while its owner keeps it to himself, as its agent says.
* One that falls silent may be `asleep` instead of offline (`waking`).
"""

from typing import TypeAlias

from msgspec.structs import replace

from actors.core import owning, slowing, waking
from actors.core.circuits import Circuit
from actors.core.commands import Command
from actors.core.placement import trying
from actors.core.state import US, Node, State
from actors.core.substituting import EMBEDDINGS
from events import (
    AttemptFailed,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    DrainRequested,
    Event,
    HeartbeatReceived,
    LoadPlanned,
    ModelDeleted,
    ModelFacts,
    NodeBecameHealthy,
    NodeDegraded,
    NodeDrained,
    NodeId,
    NodePaused,
    NodeProbed,
    NodeResumed,
    NodeSilent,
    NodeUndrained,
    NodeWentOffline,
    PullEnded,
    Recorded,
    RequestCompleted,
    RequestFailed,
    RequestStalled,
    ResidentModel,
    TimerFired,
)

NAME = "node_monitor"

HEARS: tuple[type[Event], ...] = (
    HeartbeatReceived,
    NodeProbed,
    NodeSilent,
    DrainRequested,
    NodeBecameHealthy,
    NodeDegraded,
    NodeWentOffline,
    NodeDrained,
    NodeUndrained,
    NodePaused,
    NodeResumed,
    AttemptFailed,
    RequestFailed,
    RequestCompleted,
    RequestStalled,
    CircuitOpened,
    CircuitHalfOpened,
    CircuitClosed,
    LoadPlanned,
    ModelDeleted,
    PullEnded,
    TimerFired,
    *waking.HEARS,
)

AGENT = waking.AGENT

_End: TypeAlias = RequestCompleted | AttemptFailed | RequestFailed
_CLIENT_ERROR = 400
_LOADS = ("load", "unload")
"""What an Ollama says of a request that only brings a model into memory, or out of it."""

FAILURES_TO_OPEN = 3
FIRST_OPEN_S = 10.0


def evolve(state: State, record: Recorded) -> None:
    """Fold one event into what is known of its node."""
    waking.evolve(state, record)
    match record.event:
        case RequestCompleted() | AttemptFailed() | RequestFailed():
            _count(state, record.event)
        case RequestStalled():
            _suspect(state, record.event)
        case HeartbeatReceived() | NodeProbed():
            _told(state, record.event, record.seq)
        case (
            NodeBecameHealthy(node_id=node_id)
            | NodeDegraded(node_id=node_id)
            | NodeWentOffline(node_id=node_id)
            | NodeDrained(node_id=node_id)
            | NodeUndrained(node_id=node_id)
        ):
            if (node := state.nodes.get(node_id)) is not None:
                _changed(node, record.event)
        case NodePaused() | NodeResumed():
            owning.evolve(state, record.event)
        case CircuitOpened() | CircuitHalfOpened() | CircuitClosed():
            slowing.turned(state, record.event, record.recorded_at)
        case LoadPlanned(node_id=node_id, leaving=leaving):
            _left(state, node_id, leaving)
        case ModelDeleted() | PullEnded(outcome="done"):
            _stocked(state, record.event, record.seq)
        case _:
            pass


def _left(state: State, node_id: NodeId, leaving: tuple[str, ...]) -> None:
    """Count on models being gone, until the node says that they are still there."""
    if (node := state.nodes.get(node_id)) is not None:
        for model in leaving:
            node.resident.pop(model, None)
        if state.settings.rules:
            owning.measure(node)


def decide(state: State, record: Recorded) -> list[Command]:
    """Name every change of health, draining and circuit."""
    match record.event:
        case RequestCompleted() | AttemptFailed() | RequestFailed():
            return _judge(state, record.event)
        case TimerFired():
            return waking.in_vain(state, record.recorded_at) + [
                CircuitHalfOpened(node_id=node.node_id, model=model)
                for node in state.nodes.values()
                for model, circuit in node.circuits.items()
                if half_opens(circuit, record.recorded_at)
            ]
        case (
            HeartbeatReceived(node_id=node_id)
            | NodeProbed(node_id=node_id)
            | NodeSilent(node_id=node_id)
            | DrainRequested(node_id=node_id)
        ):
            node = state.nodes.get(node_id)
            return [] if node is None else consequences(state, node, record.event)
        case _:
            return waking.decide(state, record.event)


def consequences(
    state: State,
    node: Node,
    event: HeartbeatReceived | NodeProbed | NodeSilent | DrainRequested,
) -> list[Command]:
    """Return what a word about a node changes: also the test whether it is worth recording."""
    match event:
        case HeartbeatReceived(reachable=reachable, draining=draining, limits=limits):
            asked = draining or node.drained_by not in {"", AGENT}
            return [
                *_health(node, "its agent cannot reach Ollama", reachable=reachable),
                *_drain(node, AGENT, asked=asked),
                *owning.pauses(node, limits),
            ]
        case NodeProbed(reachable=False, error=error) if node.health == "healthy":
            return [NodeDegraded(node_id=node.node_id, reason=error)]
        case NodeProbed(reachable=reachable, error=error):
            return _health(node, error, reachable=reachable)
        case NodeSilent(silent_s=silent_s):
            reason = f"silent for {int(silent_s)} s"
            if silent_s >= state.settings.offline_after_s:
                return waking.silent(state, node, reason, _health(node, reason, reachable=False))
            if silent_s >= state.settings.degraded_after_s and node.health == "healthy":
                return [NodeDegraded(node_id=node.node_id, reason=reason)]
            return []
        case DrainRequested(draining=True, by=by) if node.drained_by == AGENT != by:
            return [NodeDrained(node_id=node.node_id, by=by)]
        case DrainRequested(draining=draining, by=by):  # pragma: no branch (the last kind)
            return _drain(node, by, asked=draining)


def half_opens(circuit: Circuit, now_us: int) -> bool:
    """Whether an open circuit has been open long enough to let one request try."""
    return circuit.status == "open" and now_us - circuit.opened_us >= circuit.open_s * US


def _health(node: Node, reason: str, *, reachable: bool) -> list[Command]:
    if reachable:
        return [] if node.health == "healthy" else [NodeBecameHealthy(node_id=node.node_id)]
    if node.health == "offline" or node.sleep.tries:
        return []
    return [NodeWentOffline(node_id=node.node_id, reason=reason)]


def _drain(node: Node, by: str, *, asked: bool) -> list[Command]:
    if asked and not node.drained_by:
        return [NodeDrained(node_id=node.node_id, by=by)]
    if not asked and node.drained_by:
        return [NodeUndrained(node_id=node.node_id, by=by)]
    return []


def _told(state: State, event: HeartbeatReceived | NodeProbed, seq: int) -> None:
    node = state.nodes.get(event.node_id)
    if node is None:
        return
    node.heard = True
    if event.reachable:
        _learn(state, node, event, seq)
    else:
        node.resident = {}
    if isinstance(event, HeartbeatReceived):
        owning.told(node, event)


def _learn(state: State, node: Node, event: HeartbeatReceived | NodeProbed, seq: int) -> None:
    if event.facts is not None:
        node.facts = event.facts
    if (resident := told_resident(state, event)) is not None:
        _notice_room(node, resident)
        node.resident = resident
    if (models := told_models(state, node, event)) is not None:
        node.models = models
    for model in (*node.models, *node.resident):
        state.catalogue.setdefault(model, seq)


def _stocked(state: State, event: ModelDeleted | PullEnded, seq: int) -> None:
    """Know at once what has come or gone; the node's next word tells the rest."""
    node = state.nodes.get(event.node_id)
    if node is None:
        return
    name = _spellings(state).get(_key(event.model), event.model)
    if isinstance(event, ModelDeleted):
        node.models.pop(name, None)
        node.resident.pop(name, None)
    else:
        node.models.setdefault(name, ModelFacts(name=name, size_bytes=event.total_bytes))
        state.catalogue.setdefault(name, seq)


def told_models(
    state: State, node: Node, event: HeartbeatReceived | NodeProbed
) -> dict[str, ModelFacts] | None:
    """Return what it says is on the disk; a heartbeat without any says nothing about it.

    Nor does one say that details are gone: ollama-herd's agents tell them now and then only.
    """
    if event.models is None or not (event.models or isinstance(event, NodeProbed)):
        return None
    spellings = _spellings(state)
    told: dict[str, ModelFacts] = {}
    for model in event.models:
        name = spellings.get(_key(model.name), model.name)
        known = node.models.get(name)
        if known is not None and not model.digest and known.size_bytes == model.size_bytes:
            told[name] = known
        else:
            told[name] = model if name == model.name else replace(model, name=name)
    return told


def _notice_room(node: Node, resident: dict[str, ResidentModel]) -> None:
    """Learn what models take, and what the node holds, from what it says it has in memory."""
    held_bytes = 0
    for name, it in resident.items():
        node.footprints[name] = it.size_vram_bytes or it.size_bytes
        held_bytes += node.footprints[name]
    node.held_bytes = max(node.held_bytes, held_bytes)
    if any(name not in resident for name in node.resident):
        node.evicts = node.evicts or any(name not in node.resident for name in resident)


def told_resident(
    state: State, event: HeartbeatReceived | NodeProbed
) -> dict[str, ResidentModel] | None:
    """Return what it says is in its memory."""
    if event.resident is None:
        return None
    spellings = _spellings(state)
    names = [spellings.get(_key(model.name), model.name) for model in event.resident]
    return {
        name: model if name == model.name else replace(model, name=name)
        for name, model in zip(names, event.resident, strict=True)
    }


def _spellings(state: State) -> dict[str, str]:
    """Return how each model of the catalogue is spelled: as the first node did that had it."""
    return {_key(name): name for name in state.catalogue}


def _key(name: str) -> str:
    """Return what all spellings of a model have in common: Ollama's names ignore case."""
    return name.lower().removesuffix(":latest")


def _changed(
    node: Node,
    event: NodeBecameHealthy | NodeDegraded | NodeWentOffline | NodeDrained | NodeUndrained,
) -> None:
    match event:
        case NodeBecameHealthy():
            if node.health in {"offline", waking.ASLEEP}:
                slowing.restarted(node)  # most likely
            node.health = "healthy"
        case NodeDegraded():
            node.health = "degraded"
        case NodeWentOffline():
            node.health = "offline"
        case NodeDrained(by=by):
            node.drained_by = by or "operator"
        case NodeUndrained():  # pragma: no branch (the last kind)
            node.drained_by = ""


def _witness(state: State, event: _End) -> Node | None:
    """Return the node about which an end says something: one that held the request's lease."""
    request = state.requests.get(event.request_id)
    if request is None or not event.lease or request.lease != event.lease:
        return None
    if isinstance(event, RequestFailed) and event.fault != "node":
        return None
    return state.nodes.get(request.node_id)


def _is_empty(state: State, event: RequestCompleted) -> bool:
    """Whether an answer has no token, though its client asked for some."""
    if not state.settings.empty_answers_fail or event.completion_tokens:
        return False
    route = state.requests[event.request_id].route
    generates = bool(route) and route not in EMBEDDINGS
    told = event.usage_source != "none" and event.finish not in _LOADS
    return generates and told and event.status < _CLIENT_ERROR


def _count(state: State, event: _End) -> None:
    node = _witness(state, event)
    if node is None:
        return
    circuit = node.circuits.get(event.model)
    if isinstance(event, RequestCompleted) and not _is_empty(state, event):
        if circuit is not None:
            circuit.failures = 0
    else:
        if circuit is None:
            circuit = node.circuits[event.model] = Circuit()
        circuit.failures += 1


def _suspect(state: State, event: RequestStalled) -> None:
    """Let the failed attempt that follows open the circuit at once."""
    node = state.nodes.get(event.node_id)
    if node is not None:
        circuit = node.circuits.setdefault(event.model, Circuit())
        circuit.failures = max(circuit.failures, FAILURES_TO_OPEN - 1)


def _tried(state: State, circuit: Circuit, event: _End) -> bool:
    """Whether a half-open circuit was tried by the one that has ended."""
    tries = not state.settings.rules or trying(circuit, state.requests[event.request_id])
    return circuit.status == "half_open" and tries


def _judge(state: State, event: _End) -> list[Command]:
    node = _witness(state, event)
    circuit = None if node is None else node.circuits.get(event.model)
    if node is None or circuit is None:
        return []
    if isinstance(event, RequestCompleted) and not _is_empty(state, event):
        if circuit.status == "closed" or circuit.slow:
            return []  # of a slow one the Scheduler says so, which has counted the answer in
        return [CircuitClosed(node_id=node.node_id, model=event.model)]
    commands: list[Command] = []
    if not isinstance(event, RequestCompleted) and event.phase == "connect":
        ill = NodeDegraded(node_id=node.node_id, reason="refused a connection")
        healthy = node.health == "healthy"
        commands += waking.unreached(state, node, event.error, [ill] if healthy else [])
    again = _tried(state, circuit, event)
    closed = circuit.status == "closed" or circuit.slow
    if again or (closed and circuit.failures >= FAILURES_TO_OPEN):
        longest_s = state.settings.longest_open_s
        open_s = min(longest_s, circuit.open_s * 2 if again else FIRST_OPEN_S)
        commands.append(
            CircuitOpened(
                node_id=node.node_id, model=event.model, failures=circuit.failures, open_s=open_s
            )
        )
    return commands
