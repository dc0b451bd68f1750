"""Which facts are worth recording: those that change something.

A heartbeat that says what the last one said, a timer that finds nothing due, a probe with the
same answer are dropped before they get a `seq`, by a pure test on the folded state. So the live
state is always the fold of the log, and an idle fleet writes nothing.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from actors.core import (
    clearing,
    health,
    keying,
    pinning,
    planning,
    promising,
    reaping,
    scheduling,
    stalling,
    waking,
)
from actors.core.overdue import overdue, stranded
from actors.core.standing import row_of
from actors.core.state import US, Node, State
from events import (
    Event,
    HeartbeatReceived,
    KeyAdded,
    KeyRevoked,
    ModelPinned,
    ModelUnpinned,
    NodeConfigured,
    NodeFacts,
    NodeKnocked,
    NodePinned,
    NodeProbed,
    NodeRevoked,
    NodeSilent,
    RequestCancelled,
    RequestCompleted,
    RequestReaped,
    RequestReceived,
    ResidentModel,
    TimerFired,
    WakeRequested,
)


def matters(state: State, fact: Event, now_us: int) -> bool:
    """Whether folding this fact now would change anything."""
    match fact:
        case RequestReceived() | RequestCompleted():  # nearly all facts: asked first
            return True
        case TimerFired():
            return _due(state, now_us)
        case NodeSilent() | WakeRequested():
            return _sleeps_or_wakes(state, fact)
        case NodeConfigured(node_id=node_id, url=url, slots=slots):
            node = state.nodes.get(node_id)
            return node is None or not _is_at(node, url) or node.told_slots != slots
        case HeartbeatReceived() if not state.door.hears(fact):
            return False
        case HeartbeatReceived(node_id=node_id, url=url):
            node = state.nodes.get(node_id)
            return node is None or not _is_at(node, url) or _news(state, node, fact)
        case NodeProbed(node_id=node_id):
            node = state.nodes.get(node_id)
            return node is not None and _news(state, node, fact)
        case NodePinned() | NodeKnocked() | NodeRevoked():
            node = state.nodes.get(fact.node_id)
            return state.door.matters(fact, there=node is not None and node.origin == "agent")
        case KeyAdded() | KeyRevoked() | ModelPinned() | ModelUnpinned():
            return _changes(state, fact)
        case _:  # a client leaves once, though its front says so twice if a grant crossed that
            once = fact if isinstance(fact, RequestCancelled | RequestReaped) else None
            return once is None or once.request_id in state.requests


def _is_at(node: Node, url: str) -> bool:
    """Whether a node is known to be there: a log that was cut may lack that it was discovered."""
    return node.announced and node.url == url


def _changes(state: State, fact: KeyAdded | KeyRevoked | ModelPinned | ModelUnpinned) -> bool:
    """Whether an operator wants something that is not so already."""
    if isinstance(fact, ModelPinned | ModelUnpinned):
        return pinning.matters(state, fact)
    return keying.matters(state, fact)


def _due(state: State, now_us: int) -> bool:
    return (
        any(overdue(state, model, now_us) or stranded(state, model) for model in state.lines)
        or _waits_by_choice(state, now_us)
        or bool(reaping.stale(state, now_us))
        or bool(stalling.stalled(state, now_us))
        or any(
            health.half_opens(circuit, now_us)
            for node in state.nodes.values()
            for circuit in node.circuits.values()
        )
        or bool(scheduling.proposals(state, now_us))
        or promising.due(state, now_us) is not None
        or bool(clearing.due(state, now_us))
        or bool(pinning.due(state, now_us))
        or bool(planning.due(state, now_us))
        or bool(waking.due(state, now_us))
        or bool(waking.in_vain(state, now_us))
    )


def _waits_by_choice(state: State, now_us: int) -> bool:
    """Whether somebody waits who could go, and for a second nothing happened that might let him."""
    return (
        state.settings.patience
        and state.settings.policy == "soonest"
        and now_us - state.recorded_at >= US
        and any(line.waiting and row_of(state, model).takers for model, line in state.lines.items())
    )


def _sleeps_or_wakes(state: State, fact: NodeSilent | WakeRequested) -> bool:
    if isinstance(fact, WakeRequested):
        return bool(waking.decide(state, fact))
    node = state.nodes.get(fact.node_id)
    return node is not None and bool(health.consequences(state, node, fact))


def _news(state: State, node: Node, fact: HeartbeatReceived | NodeProbed) -> bool:
    if not node.heard or health.consequences(state, node, fact):
        return True
    if isinstance(fact, HeartbeatReceived) and fact.limits != node.limits:
        return True
    if not fact.reachable:
        return False
    if fact.facts is not None and _differ(fact.facts, node.facts):
        return True
    resident = health.told_resident(state, fact)
    if resident is not None and _looks(resident.values()) != _looks(node.resident.values()):
        return True
    models = health.told_models(state, node, fact)
    return models is not None and models != node.models


def _differ(told: NodeFacts, known: NodeFacts) -> bool:
    """Whether facts differ: of the free disk, by more than a sixteenth."""
    if told == known:
        return False
    apart_bytes = abs(told.disk_free_bytes - known.disk_free_bytes)
    same_disk = replace(told, disk_free_bytes=known.disk_free_bytes)
    return same_disk != known or apart_bytes * 16 > known.disk_free_bytes


def _looks(models: Iterable[ResidentModel]) -> dict[str, tuple[int, int, int, str]]:
    """Return what counts of resident models: not when they expire, which changes all the time."""
    return {
        model.name: (
            model.size_bytes,
            model.size_vram_bytes,
            model.context_length,
            model.digest,
        )
        for model in models
    }
