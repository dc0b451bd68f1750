"""Checks of nodes: are they there, are they alike, have they room."""

from collections.abc import Iterator

from actors.core.waking import DID_NOT_WAKE, TRIES
from herd.health.finding import Finding
from herd.health.picture import Picture, newest

GIB = 1024**3
FULL = 0.95
"""The part of its memory that models may take before a node is called full."""
BUSY_REQUESTS = 100
WAITED_S = 1.0
FOR_GOOD = "2100"
"""A model that is to leave memory after this year stays for good."""


def no_node(picture: Picture) -> Iterator[Finding]:
    """Find that there is no node at all, or none that answers, or is woken: none can serve."""
    if picture.nodes_online() or any(node.status == "sleeping" for node in picture.view.nodes):
        return
    known = len(picture.view.nodes)
    yield Finding(
        check_id="no_node",
        severity="critical",
        title="No node is online",
        description=f"The fleet has {known} nodes and none of them answers: every request waits."
        if known
        else "No node has joined the fleet yet: there is nothing that could answer a request.",
        fix="Run `herd node` on a machine with Ollama, or start herd with `--node URL`.",
        data={"nodes_total": known},
    )


def offline(picture: Picture) -> Iterator[Finding]:
    """Find nodes that do not answer; of one that was drained before, that is expected."""
    for node in picture.view.nodes:
        if node.status == "offline" and not node.draining:
            went = [
                each
                for each in picture.happened("node_went_offline")
                if each.node_id == node.node_id
            ]
            vain = bool(went) and went[0].phase == DID_NOT_WAKE
            yield Finding(
                check_id="node_did_not_wake" if vain else "node_offline",
                severity="critical",
                title=f"{node.node_id} {'did not wake' if vain else 'is offline'}",
                description=f"It was taken to sleep, and nothing is heard of it after {TRIES} "
                "magic packets: it gets no requests."
                if vain
                else f"Nothing is heard of {node.node_id} at {node.url}: it gets no requests.",
                fix="Look whether the machine is on, and Ollama and the agent run there; if it is "
                "gone for good, start herd without it."
                + (" To be woken, its firmware and network card must have Wake-on-LAN." * vain),
                node_id=node.node_id,
                data={"url": node.url, "reason": went[0].phase if went else ""},
                seqs=newest(*(each.seqs for each in went)),
            )


def degraded(picture: Picture) -> Iterator[Finding]:
    """Find nodes that were not heard of for a while."""
    for node in picture.view.nodes:
        if node.status == "degraded":
            seqs = [
                each.seqs
                for each in picture.happened("node_degraded")
                if each.node_id == node.node_id
            ]
            yield Finding(
                check_id="node_degraded",
                severity="warning",
                title=f"{node.node_id} is degraded",
                description=f"{node.node_id} was not heard of for some seconds, or refuses: it is "
                "used only if no other node can serve.",
                fix="Look at its network and at its load.",
                node_id=node.node_id,
                data={"url": node.url},
                seqs=newest(*seqs),
            )


def paused(picture: Picture) -> Iterator[Finding]:
    """Tell of nodes that their owners keep to themselves: that is theirs to say, and no alarm.

    Where they keep all of them, nothing can be served.
    """
    online = picture.nodes_online()
    alone = all(node.paused for node in online)
    for node in online:
        if node.paused:
            yield Finding(
                check_id="node_paused",
                severity="warning" if alone else "info",
                title=f"{node.node_id} is paused by its owner",
                description=f"It takes no new work: {node.paused}. What runs there is finished."
                + (" No other node is online: requests wait." if alone else ""),
                fix="Nothing to do; it takes work again by itself. The options of `herd node` "
                "there say when.",
                node_id=node.node_id,
                data={"reason": node.paused},
            )


def memory_pressure(picture: Picture) -> Iterator[Finding]:
    """Find nodes whose models take nearly all their memory."""
    for node in picture.nodes_online():
        room = node.facts.vram_bytes or node.facts.memory_bytes
        held = sum(model.size_bytes for model in node.resident)
        if room and held > FULL * room:
            yield Finding(
                check_id="memory_pressure",
                severity="critical" if held > room else "warning",
                title=f"The memory of {node.node_id} is full",
                description=f"Its models take {held / GIB:.1f} of {room / GIB:.1f} GiB: the next "
                "load makes another model go, or runs on the processor.",
                fix="Unload a model that is little used, or choose a smaller context for it.",
                node_id=node.node_id,
                data={
                    "used_gb": round(held / GIB, 2),
                    "total_gb": round(room / GIB, 2),
                    "models": [model.name for model in node.resident],
                },
            )


def underutilised(picture: Picture) -> Iterator[Finding]:
    """Find nodes that idle while requests wait elsewhere."""
    dispatched = [work for work in picture.work if work.completed]
    busy = picture.completed()
    waited_s = sum(work.queue_s for work in dispatched) / busy if busy else 0.0
    if busy < BUSY_REQUESTS or waited_s < WAITED_S:
        return
    for node in picture.nodes_online():
        if not node.draining and not node.paused and not picture.completed(node.node_id):
            asked = {work.model for work in dispatched}
            yield Finding(
                check_id="underutilised",
                severity="info",
                title=f"{node.node_id} had no work for a day",
                description=f"Requests waited {waited_s:.1f} s on average, and {node.node_id} "
                "answered none of them.",
                fix="Pull a model there that is asked for: "
                + (", ".join(sorted(asked)[:5]) or "see Model Insights")
                + ".",
                node_id=node.node_id,
                data={"mean_wait_s": round(waited_s, 2), "models_asked_for": sorted(asked)[:20]},
                seqs=newest(*(work.seqs for work in dispatched)),
            )


def bypassed(picture: Picture) -> Iterator[Finding]:
    """Find nodes that have in memory what this herd did not ask of them: others ask them directly.

    What stays for good (`keep_alive: -1`) may be there since before the log began: it says nothing.
    """
    if picture.log.away or picture.view.settings.get("planner"):
        return  # who asked is not known, or models are loaded ahead of requests
    asked = {(work.node_id, _named(work.model)) for work in picture.work}
    for node in picture.nodes_online():
        kept = {_named(name) for name in picture.view.pinned.get(node.node_id, ())}
        others = [
            model.name
            for model in node.resident
            if (node.node_id, _named(model.name)) not in asked
            and _named(model.name) not in kept
            and "" < model.expires_at < FOR_GOOD
        ]
        if others:
            yield Finding(
                check_id="node_bypassed",
                severity="info",
                title=f"Somebody asks {node.node_id} beside herd",
                description=f"It has {', '.join(others)} in memory, and no request of the last day "
                "that came through herd was for that. herd cannot see such requests: they take "
                "slots and memory that it counts on.",
                fix="Point that client at herd, or let Ollama there listen to the balancer only.",
                node_id=node.node_id,
                data={"models": others},
            )


def version_mismatch(picture: Picture) -> Iterator[Finding]:
    """Find agents of another version than the balancer."""
    for node in picture.nodes_online():
        theirs = node.facts.agent_version
        if theirs and picture.version and theirs != picture.version:
            yield Finding(
                check_id="version_mismatch",
                severity="warning",
                title=f"The agent of {node.node_id} is version {theirs}",
                description=f"This balancer is {picture.version}. They understand one another, but "
                "what is newer than the older of the two does not work there.",
                fix="Install the same version on both.",
                node_id=node.node_id,
                data={"agent_version": theirs, "balancer_version": picture.version},
            )


def cpu_fallback(picture: Picture) -> Iterator[Finding]:
    """Find models that a node with a graphics card holds in main memory for a good part."""
    for node in picture.nodes_online():
        for model in node.resident:
            on_card = model.size_vram_bytes
            if node.facts.vram_bytes and model.size_bytes and on_card < 0.8 * model.size_bytes:
                yield Finding(
                    check_id="cpu_fallback",
                    severity="warning",
                    title=f"{model.name} runs partly on the processor of {node.node_id}",
                    description=f"{on_card / GIB:.1f} of its {model.size_bytes / GIB:.1f} GiB are "
                    "on the graphics card: its answers are many times slower than they could be.",
                    fix="Unload other models there, ask for a smaller context, or serve it from a "
                    "node with more memory.",
                    node_id=node.node_id,
                    data={
                        "model": model.name,
                        "size_gb": round(model.size_bytes / GIB, 2),
                        "size_vram_gb": round(on_card / GIB, 2),
                    },
                )


def _named(model: str) -> str:
    return model.removesuffix(":latest")
