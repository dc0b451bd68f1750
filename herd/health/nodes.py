"""Checks of nodes: are they there, are they alike, have they room."""

from collections.abc import Iterator

from actors.core.waking import DID_NOT_WAKE, TRIES
from herd.dialects.names import key
from herd.health.finding import Finding
from herd.health.picture import Picture, Work, newest
from herd.health.restarting import restart

GIB = 1024**3
FULL = 0.95
"""The part of its memory that models may take before a node is called full."""
BUSY_REQUESTS = 100
WAITED_S = 1.0
ON_CARD = 0.8
"""The part of a model that has to be on the graphics card, if there is one."""


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
        fix="Let one in that waits: `herd nodes list`."
        if picture.view.knocks
        else "Run `herd node` on a machine with Ollama, or start herd with `--node URL`.",
        data={"nodes_total": known},
        seqs=newest(
            *(each.seqs for each in picture.happened("node_went_offline", "node_forgotten")),
            *(each.seqs for each in picture.happened("node_knocked") if picture.view.knocks),
        ),
    )


def waiting(picture: Picture) -> Iterator[Finding]:
    """Find agents that wait for an operator's word."""
    for node_id, knock in picture.view.knocks.items():
        yield Finding(
            check_id="node_waits",
            severity="info",
            title=f"{node_id} waits to be let in",
            description=f"An agent asks to join from {knock.by}, for {knock.url}: it gets no "
            "requests until somebody says that it may.",
            fix=f"Compare its fingerprint with the one that the agent shows (`herd nodes list`), "
            f"then `herd nodes approve {node_id}`; `herd nodes revoke {node_id}` turns it away.",
            node_id=node_id,
            data={"url": knock.url, "by": knock.by},
            seqs=newest(*(each.seqs for each in picture.at_node(node_id, "node_knocked"))),
        )


def offline(picture: Picture) -> Iterator[Finding]:
    """Find nodes that do not answer; of one that was drained before, that is expected."""
    for node in picture.view.nodes:
        if node.status == "offline" and not node.draining:
            went = picture.at_node(node.node_id, "node_went_offline")
            reason = went[0].phase if went else ""
            vain = reason == DID_NOT_WAKE
            agent = node.origin == "agent"
            forget = f"`herd nodes revoke {node.node_id}`" if agent else "start herd without it"
            yield Finding(
                check_id="node_did_not_wake" if vain else "node_offline",
                severity="critical",
                title=f"{node.node_id} {'did not wake' if vain else 'is offline'}",
                description=f"It was taken to sleep, and nothing is heard of it after {TRIES} "
                "magic packets: it gets no requests."
                if vain
                else f"{node.node_id} at {node.url} gets no requests: "
                f"{reason or 'nothing is heard of it'}.",
                fix="Look whether the machine is on, and Ollama and the agent run there "
                f"(`herd doctor` there); if it is gone for good, {forget}."
                + (" To be woken, its firmware and network card must have Wake-on-LAN." * vain),
                node_id=node.node_id,
                data={"url": node.url, "reason": reason},
                seqs=newest(*(each.seqs for each in went)),
            )


def degraded(picture: Picture) -> Iterator[Finding]:
    """Find nodes that were not heard of for a while."""
    for node in picture.view.nodes:
        if node.status == "degraded":
            told = picture.at_node(node.node_id, "node_degraded")
            yield Finding(
                check_id="node_degraded",
                severity="warning",
                title=f"{node.node_id} is degraded",
                description=f"{node.node_id} was not heard of for some seconds, or refuses: it is "
                "used only if no other node can serve.",
                fix="Look at its network and at its load: `herd doctor` there says what of it "
                "cannot be reached.",
                node_id=node.node_id,
                data={"url": node.url},
                seqs=newest(*(each.seqs for each in told)),
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
                seqs=newest(*(each.seqs for each in picture.at_node(node.node_id, "node_paused"))),
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
                fix=f"Unload what is little used (`ollama stop {node.resident[0].name}` there), or "
                "give models a smaller context (`OLLAMA_CONTEXT_LENGTH`).",
                node_id=node.node_id,
                data={
                    "used_gb": round(held / GIB, 2),
                    "total_gb": round(room / GIB, 2),
                    "models": [model.name for model in node.resident],
                },
                seqs=picture.memory_seqs(node.node_id),
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
            there = {key(model.name) for model in node.models}
            lacks = [work for work in dispatched if key(work.model) not in there]
            yield Finding(
                check_id="underutilised",
                severity="info",
                title=f"{node.node_id} had no work for a day",
                description=f"Requests waited {waited_s:.1f} s on average, and {node.node_id} "
                "answered none of them.",
                fix="Pull a model there that is waited for: "
                f"`herd pull {max(lacks, key=_waited_s).model} --node {node.node_id}`."
                if lacks
                else "It has all models that are asked for; `herd explain` with the id of a "
                "request tells why it did not go there.",
                node_id=node.node_id,
                data={"mean_wait_s": round(waited_s, 2), "models_asked_for": sorted(asked)[:20]},
                seqs=newest(*(work.seqs for work in dispatched)),
            )


def _waited_s(work: Work) -> float:
    return work.queue_s


def bypassed(picture: Picture) -> Iterator[Finding]:
    """Find nodes that loaded what this herd did not ask of them: others ask them directly.

    What was in memory when herd began to look, or was asked through herd in the last day, says
    nothing.
    """
    asked = {(work.node_id, key(work.model)) for work in picture.work}
    asked |= {(each.node_id, key(each.model)) for each in picture.happened("load_planned")}
    came = [each for each in picture.happened("model_appeared") if each.recent]
    for node in picture.nodes_online():
        place = node.node_id
        others = [
            each for each in came if each.node_id == place and (place, key(each.model)) not in asked
        ]
        if others:
            names = sorted({each.model for each in others})
            yield Finding(
                check_id="node_bypassed",
                severity="info",
                title=f"Somebody asks {place} beside herd",
                description=f"In the last hour it loaded {', '.join(names)}, and no request of the "
                "last day that came through herd was for that. herd cannot see such requests: they "
                "take slots and memory that it counts on.",
                fix="Point that client at herd, or let Ollama there listen to its own machine only "
                "(OLLAMA_HOST=127.0.0.1, with `herd node` beside it).",
                node_id=place,
                data={"models": names},
                seqs=newest(*(each.seqs for each in others)),
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
                fix="Install the same version on both, then `herd node restart` there.",
                node_id=node.node_id,
                data={"agent_version": theirs, "balancer_version": picture.version},
                seqs=newest(
                    *(each.seqs for each in picture.at_node(node.node_id, "heartbeat_received"))
                ),
            )


def cpu_fallback(picture: Picture) -> Iterator[Finding]:
    """Find models that a node with a graphics card holds in main memory for a good part.

    A card that is lost is not told of any more: then the log says that there was one.
    """
    for node in picture.nodes_online():
        had = picture.at_node(node.node_id, "on_card")
        if not (node.facts.vram_bytes or had):
            continue
        for model in node.resident:
            on_card = model.size_vram_bytes
            if model.size_bytes and on_card < ON_CARD * model.size_bytes:
                yield Finding(
                    check_id="cpu_fallback",
                    severity="warning",
                    title=f"{model.name} runs {'partly ' * bool(on_card)}on the processor of "
                    f"{node.node_id}",
                    description=f"{on_card / GIB:.1f} of its {model.size_bytes / GIB:.1f} GiB are "
                    "on the graphics card: its answers are many times slower than they could be.",
                    fix=f"`ollama stop` other models there, or `ollama stop {model.name}` and ask "
                    "for a smaller context (num_ctx), or serve it from a node with more memory."
                    if on_card
                    else "The driver may be lost since the machine slept or was updated: look with "
                    "`nvidia-smi` or `rocm-smi` there, then "
                    f"{restart(picture, node.node_id)}.",
                    node_id=node.node_id,
                    data={
                        "model": model.name,
                        "size_gb": round(model.size_bytes / GIB, 2),
                        "size_vram_gb": round(on_card / GIB, 2),
                    },
                    seqs=newest(
                        list(picture.memory_seqs(node.node_id)), *(each.seqs for each in had)
                    ),
                )
