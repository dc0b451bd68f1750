"""Pulls: which are under way, where a model fits best, and what nobody has but can be had.

The Scheduler's part. A pull that a front passes on is only noted here. With the setting `auto_pull`
a request for a model that no node has, online or offline, starts a pull on the node where it fits;
it is held meanwhile, at most `auto_pull_timeout_s`, and the pull goes on after that. The size is
what the node itself learns from the registry: as soon as it is known, a pull that is larger than
`auto_pull_max_bytes`, or than the node's memory or free disk, is ended. A node does one such pull
at a time; what failed is not tried again for a while. Names of other registries are never pulled
by themselves: who names a model must not choose whom nodes connect to.

With the setting `cloud_names` a name of Ollama's cloud (`x:cloud`, `x-cloud`), of which a pull only
brings the name, is pulled so without `auto_pull` too, by a node that lists others of them: it is
signed in there.
"""

from collections.abc import Iterable

import msgspec

from actors.core.commands import Command
from actors.core.estimates import BESIDE_WEIGHTS, beside_bytes
from actors.core.state import US, Node, Pull, State
from events import (
    CONTROL,
    NodeId,
    PullEnded,
    PullOutcome,
    PullProgressed,
    PullStarted,
    Recorded,
    Source,
)

FAILED_FOR_US = 300 * US
"""For so long a model that could not be had is not tried again."""
MOST_REMEMBERED = 256
SPARE_DISK_BYTES = 1_000_000_000
"""What a pull leaves free."""
IN_VRAM, IN_MEMORY, IN_BOTH, TOO_TIGHT = range(4)
"""Where a model would lie: on the graphics card, in memory alone, in both, nowhere."""


class Host(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A node, as somewhere to put a model."""

    node_id: NodeId
    pulling: bool = False
    """It is pulling this model already."""
    has: bool = False
    """The model is on its disk; a pull looks for a newer one."""
    healthy: bool = True
    draining: bool = False
    vram_bytes: int = 0
    memory_bytes: int = 0
    """Beside that of its graphics."""
    disk_free_bytes: int = 0
    """0, here and above, where it is not known."""
    stored_bytes: int = 0
    """What its models take on its disk."""


def best(hosts: Iterable[Host], size_bytes: int, *, strict: bool = False) -> NodeId | None:
    """Return where a model of that size (0: unknown) fits best; None if no disk has room for it.

    Where it is, or is coming to, comes first, so that asking twice does not fill two disks. Then
    healthy nodes that are not draining, those whose memory holds it, the largest, the emptiest.
    With `strict` a node that could not load it is none.
    """
    ranked = sorted(
        (
            not host.pulling,
            not host.has,
            host.draining,
            not host.healthy,
            _tightness(host, size_bytes),
            -(host.vram_bytes or host.memory_bytes),
            host.stored_bytes,
            -host.disk_free_bytes,
            host.node_id,
        )
        for host in hosts
        if (host.has or host.pulling or _has_disk(host, size_bytes))
        and not (strict and _tightness(host, size_bytes) == TOO_TIGHT)
    )
    return ranked[0][-1] if ranked else None


def _tightness(host: Host, size_bytes: int) -> int:
    wanted_bytes = size_bytes * BESIDE_WEIGHTS
    if host.vram_bytes and wanted_bytes <= host.vram_bytes:
        return IN_VRAM
    if not host.vram_bytes and (not host.memory_bytes or wanted_bytes <= host.memory_bytes):
        return IN_MEMORY
    if host.memory_bytes and wanted_bytes <= host.vram_bytes + host.memory_bytes:
        return IN_BOTH
    return TOO_TIGHT


def _has_disk(host: Host, size_bytes: int) -> bool:
    return not host.disk_free_bytes or size_bytes + SPARE_DISK_BYTES <= host.disk_free_bytes


# What is under way


def evolve(state: State, record: Recorded) -> None:
    """Fold one event into the pulls under way."""
    match record.event:
        case PullStarted(pull_id=pull_id, model=model, node_id=node_id, automatic=automatic):
            state.pulls[pull_id] = Pull(
                pull_id, model, node_id, record.src, automatic, record.recorded_at
            )
        case PullProgressed(pull_id=pull_id) as event:
            if (pull := state.pulls.get(pull_id)) is not None:
                pull.completed_bytes = event.completed_bytes
                pull.total_bytes = event.total_bytes
        case PullEnded(pull_id=pull_id, model=model, outcome=outcome):
            pull = state.pulls.pop(pull_id, None)
            if outcome == "done":
                state.unpullable.pop(key(model), None)
            elif pull is not None and pull.automatic and outcome != "lost":
                _remember(state, model, record.recorded_at)
        case _:
            pass


def decide(state: State, event: PullProgressed, now_us: int) -> list[Command]:
    """End an automatic pull that turns out to be too large."""
    pull = state.pulls.get(event.pull_id)
    if pull is None or not pull.automatic:
        return []
    reason = _too_large(state, pull)
    return [_ended(pull, "too_large", reason, now_us)] if reason else []


def lost(state: State, src: Source, now_us: int) -> list[Command]:
    """End the pulls that a process watched which has gone."""
    return [_ended(p, "lost", "", now_us) for p in state.pulls.values() if p.src == src]


def lost_with_fronts(state: State, here: set[Source], now_us: int) -> list[Command]:
    """End the pulls of fronts that did not come back."""
    return [
        _ended(pull, "lost", "", now_us)
        for pull in state.pulls.values()
        if pull.src != CONTROL and pull.src not in here
    ]


def under_way(state: State, model: str) -> bool:
    """Whether some node is pulling a model."""
    wanted = key(model)
    return any(key(pull.model) == wanted for pull in state.pulls.values())


def awaited(state: State, model: str) -> bool:
    """Whether requests for a model that no node has are held for a pull."""
    return bool(state.pulls) and for_requests(state, model) and under_way(state, model)


def for_requests(state: State, model: str) -> bool:
    """Whether a model that no node has is pulled when somebody asks for it, if it can be."""
    return state.settings.auto_pull or _is_cloud_name(state, model)


def allowed(state: State, model: str) -> bool:
    """Whether a pull of a model that no node has may begin for one who asks for it."""
    return state.settings.auto_pull or bool(_signed_in(state, model))


def _is_cloud_name(state: State, model: str) -> bool:
    if not state.settings.cloud_names:
        return False
    name, _, tag = model.lower().rpartition(":")
    return bool(name) and (tag == "cloud" or tag.endswith("-cloud"))


def _signed_in(state: State, model: str) -> list[Node]:
    """Return the nodes that would pass on a name of the cloud, as far as one can know."""
    if not _is_cloud_name(state, model):
        return []
    return [
        node
        for node in state.nodes.values()
        if any(facts.remote_model for facts in node.models.values())
    ]


def key(name: str) -> str:
    """Return what all spellings of a model have in common: Ollama's names ignore case."""
    return name.lower().removesuffix(":latest")


# What nobody has


def begin(state: State, model: str) -> list[Command] | None:
    """Return what gets a model that no node has; nothing while it comes; None if it cannot be had.

    Called only where the fleet is known, and no node of it has the model.
    """
    if under_way(state, model):
        return []
    if model.count("/") > 1 or _failed(state, model):
        return None
    busy = {pull.node_id for pull in state.pulls.values() if pull.automatic}
    hosts = [
        host_of(node)
        for node in _signed_in(state, model) or state.nodes.values()
        if node.online and node.facts.dialect == "ollama" and node.node_id not in busy
    ]
    node_id = best(hosts, 0)
    if node_id is None:
        return None
    started = PullStarted(
        pull_id=f"auto-{state.seq}", model=model, node_id=node_id, automatic=True, by="request"
    )
    return [started]


def host_of(node: Node) -> Host:
    """Return a node as somewhere to put a model that it does not have."""
    stored_bytes = 0
    for model in node.models.values():
        stored_bytes += model.size_bytes
    return Host(
        node_id=node.node_id,
        healthy=node.health == "healthy",
        vram_bytes=node.facts.vram_bytes,
        memory_bytes=beside_bytes(node.facts),
        disk_free_bytes=node.facts.disk_free_bytes,
        stored_bytes=stored_bytes,
    )


def _failed(state: State, model: str) -> bool:
    failed_us = state.unpullable.get(key(model))
    return failed_us is not None and state.recorded_at - failed_us < FAILED_FOR_US


def _remember(state: State, model: str, now_us: int) -> None:
    state.unpullable.pop(key(model), None)
    state.unpullable[key(model)] = now_us
    if len(state.unpullable) > MOST_REMEMBERED:
        del state.unpullable[next(iter(state.unpullable))]


def _too_large(state: State, pull: Pull) -> str:
    """Say what a pull is too large for, or nothing."""
    node = state.nodes.get(pull.node_id)
    if pull.total_bytes > state.settings.auto_pull_max_bytes:
        return "larger than auto_pull_max_bytes"
    if node is None:
        return ""
    host = host_of(node)
    if _tightness(host, pull.total_bytes) == TOO_TIGHT:
        return "larger than the memory of the node"
    return "" if _has_disk(host, pull.total_bytes) else "larger than the free disk of the node"


def _ended(pull: Pull, outcome: PullOutcome, error: str, now_us: int) -> PullEnded:
    return PullEnded(
        pull_id=pull.pull_id,
        model=pull.model,
        node_id=pull.node_id,
        outcome=outcome,
        error=error,
        completed_bytes=pull.completed_bytes,
        total_bytes=pull.total_bytes,
        took_s=(now_us - pull.started_us) / US,
    )
