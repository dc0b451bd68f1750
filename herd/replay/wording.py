"""Decisions in words: why a node won, what would have changed it, what a request waited for."""

from collections.abc import Sequence

from actors.core.estimates import demand, service_s
from actors.core.placement import Policy
from actors.core.policies import place
from actors.core.settings import Settings
from actors.core.soonest import POLICY as SOONEST
from actors.core.state import State
from events import (
    Candidate,
    CircuitHalfOpened,
    DrainRequested,
    Event,
    HeartbeatReceived,
    NodeBecameHealthy,
    NodeId,
    NodeProbed,
    NodeResumed,
    Recorded,
    RecoveryEnded,
    RequestDispatched,
    RequestId,
    RequestRejected,
    SlotsChanged,
)
from herd.replay.contrast import WAITS, Contrast
from herd.replay.deciding import Decision
from herd.replay.life import told
from herd.replay.reasons import Aspect, reasons
from herd.replay.standing import Hindered

_LISTED = 3
"""Nodes that a sentence names one by one."""
_DONE_TO = {"received", "rejected", "cancelled", "reaped", "interrupted"}
"""What a request does not do itself, but somebody does to it."""


def why(
    event: RequestDispatched,
    candidates: Sequence[Candidate],
    found: Decision | None,
    policy: Policy = place,
) -> str:
    """Return in one sentence why the winner won; `found` is the decision made again, if it was."""
    if not candidates:
        return f"{event.node_id}; the terms were not recorded."
    mine = candidates[0]
    if len(candidates) == 1:
        load = f", though it has to load the model, {_about(mine.wait_s)}" if event.cold else ""
        return f"{event.node_id}, the only node that could take it{load}."
    second = candidates[1]
    for aspect in _reasons(found, mine.node_id, second.node_id, policy):
        return f"{event.node_id}, because {_because(aspect, found, (mine, second))}."
    if event.draw:
        return (
            f"{event.node_id}, by the draw of the request: {second.node_id} was as good"
            f" for {event.policy}."
        )
    if mine.score > second.score > 0 and event.policy == SOONEST:
        return (
            f"{event.node_id}, where it and those beside it lose least time: {_stretch(mine)},"
            f" {second.node_id} {_stretch(second)} (1 is its time alone on the best node)."
        )
    if mine.score > second.score:
        return (
            f"{event.node_id}, the highest score by {event.policy}: {mine.score:.1f},"
            f" {second.node_id} {second.score:.1f}."
        )
    return f"{event.node_id}, by the order of {event.policy}; the terms alone do not decide."


def _stretch(candidate: Candidate) -> str:
    """Return what a choice costs, as `soonest` weighs it: the score is made of that."""
    return f"{100.0 / candidate.score - 1.0:.1f}"


def _because(aspect: Aspect, found: Decision | None, terms: tuple[Candidate, Candidate]) -> str:
    if aspect == "speed" and found is not None:
        asked = demand(found.state, found.request.model)
        mine_s, second_s = (
            service_s(asked, found.state.nodes[each.node_id], found.request) for each in terms
        )
        other = terms[1].node_id
        return f"it is faster: {_about(mine_s)} for such a request, {other} {_about(second_s)}"
    return _load(*terms) if aspect == "load" else _busy(*terms)


def _reasons(found: Decision | None, winner: NodeId, other: NodeId, policy: Policy) -> list[Aspect]:
    if found is None or not found.exact:
        return []
    nodes = found.state.nodes
    return reasons(found.state, found.request, nodes[winner], nodes[other], policy)


def _load(mine: Candidate, second: Candidate) -> str:
    if mine.resident:
        return f"{second.node_id} would have had to load the model, {_about(second.wait_s)}"
    return (
        f"it loads the model in {_about(mine.wait_s)}, {second.node_id} in {_about(second.wait_s)}"
    )


def _busy(mine: Candidate, second: Candidate) -> str:
    other = second.node_id
    if second.wait_s - mine.wait_s > 0.0005:  # noqa: PLR2004 (what two decimals show)
        waits = f"{mine.wait_s:.2f} s, {other}'s {second.wait_s:.2f} s"
        return f"its predicted wait was the least: {waits}"
    return (
        f"it was the least busy: {mine.in_flight} of {mine.slots} slots in use, "
        f"{other} {second.in_flight} of {second.slots}"
    )


def _about(seconds: float) -> str:
    """Return it in two figures: what is compared here often differs by little."""
    if seconds < 0.1:  # noqa: PLR2004 (two figures)
        return f"about {seconds * 1000:.0f} ms"
    decimals = 0 if seconds >= 10 else 1 if seconds >= 1 else 2  # noqa: PLR2004 (two figures)
    return f"about {seconds:.{decimals}f} s"


def contrast_words(contrast: Contrast) -> str:
    """Return a contrast as a clause: "had studio been full (4 of 4), mini"."""
    then = "it would have waited" if contrast.chosen == WAITS else contrast.chosen
    return f"{_had(contrast)}, {then}"


def _had(contrast: Contrast) -> str:
    wanted = contrast.change
    node = wanted.node_id
    match wanted.what:
        case "in_flight" if wanted.after >= wanted.slots:
            return f"had {node} been full ({wanted.after} of {wanted.slots})"
        case "in_flight" if wanted.before >= wanted.slots:
            return f"had {node} had a free slot ({wanted.after} of {wanted.slots} in use)"
        case "in_flight":
            number = wanted.after or "no"
            requests = "request" if wanted.after == 1 else "requests"
            return f"had {node} had {number} {requests} in flight"
        case "resident":
            return f"had {node} {'' if wanted.after else 'not '}had the model in memory"
        case "online":
            return f"had {node} been {'healthy' if wanted.after else 'offline'}"
        case "drained":
            return f"had {node} not been draining"
        case "paused":
            return f"had {node} not been paused by its owner"
        case "circuit_open":
            return f"had {node}'s circuit been closed"


def opened(chunk: Sequence[Recorded], dispatch: RequestDispatched) -> str:
    """Return what let a waiting request go: the fact, and what followed up to its dispatch."""
    more = [
        f"{event.node_id} was given {event.slots} slots ({event.reason.replace('_', ' ')})"
        for record in chunk[1:]
        if isinstance(event := record.event, SlotsChanged)
        and (event.node_id, event.model) == (dispatch.node_id, dispatch.model)
    ]
    return ", and ".join([_opening(chunk, dispatch), *more[-1:]])


def _opening(chunk: Sequence[Recorded], dispatch: RequestDispatched) -> str:
    fact = chunk[0].event
    for record in chunk[1:]:
        event = record.event
        if isinstance(event, NodeBecameHealthy):
            return f"{event.node_id} came online"
        if isinstance(event, NodeResumed):
            return f"{event.node_id}'s owner lent it again"
        if isinstance(event, CircuitHalfOpened) and event.node_id == dispatch.node_id:
            return f"{event.node_id}'s circuit let one request try"
    match fact:
        case DrainRequested():
            return f"{fact.node_id} took work again"
        case NodeProbed() | HeartbeatReceived():
            return f"{fact.node_id} said anew what it has"
        case RecoveryEnded():
            return "herd had started again, and knew what its fronts carry"
        case _:
            return _ended(fact, chunk, dispatch.request_id)


def _ended(fact: Event, chunk: Sequence[Recorded], request_id: RequestId) -> str:
    other: RequestId = getattr(fact, "request_id", RequestId(""))
    if other == request_id:
        return told(fact)
    if other:
        node: str = getattr(fact, "node_id", "")
        verb = str(fact.__struct_config__.tag).removeprefix("request_").replace("_", " ")
        where = f" on {node}" if node else ""
        verb = f"was {verb}" if verb in _DONE_TO else verb
        return f"request {other}{where} {verb}" + ", which freed its slot" * bool(node)
    named = [told(record.event) for record in chunk[1:]]
    kind = str(fact.__struct_config__.tag).replace("_", " ")
    return f"{kind}: {named[0]}" if named else kind


def nobody(found: Sequence[Hindered], state: State, ahead: int) -> str:
    """Return why a request could not be sent at once, by what stood in the way of each node."""
    if state.recovering:
        return "herd had just started, and did not yet know what its fronts carry"
    have = [each for each in found if "model" not in each.obstacles]
    if not have:
        return "no node had the model"
    free = [each.node_id for each in have if not set(each.obstacles) - {"policy"}]
    if ahead and free:
        return f"{ahead} waited before it"
    if free and len(free) < len(have):
        return f"a slot elsewhere was worth waiting for, rather than {' or '.join(free)}"
    if len(have) == 1 and "full" in have[0].obstacles:
        return f"{have[0].node_id}, the only node with the model, was full"
    if len(have) > _LISTED and all("full" in each.obstacles for each in have):
        return f"all {len(have)} nodes with the model were full"
    if all("full" in each.obstacles for each in have):
        return f"{' and '.join(each.node_id for each in have)} were full"
    return "; ".join(f"{each.node_id}: {', '.join(each.obstacles.values())}" for each in have)


_REJECTED = {
    "unknown_model": "no node has {model}, and every named node was heard of",
    "only_v1": "{model} is only on nodes that serve no other routes than /v1",
    "too_late": "{ahead} waited before it: more than its deadline allowed for",
    "hold_timeout": "no node online had the model for {waited_s:.1f} s "
    "(hold_timeout_s is {settings.hold_timeout_s:g})",
    "paused": "the owners of the nodes that have the model kept them to themselves for "
    "{waited_s:.1f} s (hold_timeout_s is {settings.hold_timeout_s:g})",
    "queue_timeout": "no slot was free for it in {waited_s:.1f} s "
    "(queue_timeout_s is {settings.queue_timeout_s:g})",
    "deadline": "its client would wait no longer; it had waited {waited_s:.1f} s",
    "key_unknown": "its key was revoked as it came",
    "key_model": "its key is not for {model}",
    "key_rate": "its key had been shown too often in the last minute",
    "key_tokens": "its key had used its tokens of the day",
}


def rejected(event: RequestRejected, state: State, ahead: int) -> str:
    """Return why a request got no node, by the state that it met."""
    match event.reason:
        case "queue_full":
            return _full(event, state, ahead)
        case "still_pulling" | "pull_failed":
            return _pulled(event, state.settings)
        case reason:
            return _REJECTED[reason].format(
                model=event.model, ahead=ahead, waited_s=event.waited_s, settings=state.settings
            )


def _full(event: RequestRejected, state: State, ahead: int) -> str:
    settings = state.settings
    if ahead < settings.max_queue:
        waited, may = state.waiting - 1, settings.max_queue_total
        return f"all lines together were full: {waited} waited, {may} may"
    if event.waited_s:
        return f"the line of {event.model} was full, and this was the last in it by its rank"
    return f"the line of {event.model} was full: {ahead} waited, {settings.max_queue} may"


def _pulled(event: RequestRejected, settings: Settings) -> str:
    if event.reason == "pull_failed":
        return f"no node has {event.model}, and none could pull it"
    return (
        f"the model was still being pulled after {event.waited_s:.1f} s "
        f"(auto_pull_timeout_s is {settings.auto_pull_timeout_s:g})"
    )
