"""Checks of models in memory: loads, contexts, speed."""

from collections.abc import Iterator

from herd.health.finding import Finding
from herd.health.picture import Context, Picture, Work, newest

GIB = 1024**3
THRASHING_LOADS = 6
BEFORE_A_BYTE = ("connect", "first_byte")
BLOATED = 1.5
"""Memory of a model over its size on the disk."""
BLOATED_BYTES = 2 * GIB
TIGHT = 0.8
"""The part of a node's memory from which on it matters."""
SLOWER = 0.4
"""Of its own past, in tokens a second."""
LEAST_TOKENS = 500
RELOADS = 2
BYTES_A_TOKEN = 4
TOO_LONG = 1.25


def thrashing(picture: Picture) -> Iterator[Finding]:
    """Find nodes that load what they had a moment before; what failed before a byte was no load."""
    failed = picture.happened("attempt_failed", "request_failed")
    nodes = dict.fromkeys(work.node_id for work in picture.work)
    for node_id in nodes:
        loads = [w for w in picture.work if w.recent and w.node_id == node_id and w.again]
        models: dict[str, int] = {}
        for work in loads:
            in_vain = sum(
                each.events
                for each in failed
                if each.recent
                and (each.node_id, each.model) == (node_id, work.model)
                and each.phase in BEFORE_A_BYTE
            )
            if work.again > in_vain:
                models[work.model] = work.again - in_vain
        count = sum(models.values())
        if count >= THRASHING_LOADS:
            yield Finding(
                check_id="model_thrashing",
                severity="warning",
                title=f"{node_id} loaded models again {count} times in an hour",
                description="They had answered a moment before, and were pushed out of its memory: "
                + ", ".join(f"{model} ({n})" for model, n in sorted(models.items()))
                + ". Each load makes a request wait.",
                fix="Serve one of them from another node, or give Ollama a longer keep_alive and "
                "room for more models (OLLAMA_MAX_LOADED_MODELS).",
                node_id=node_id,
                data={"loads_1h": count, "models": models},
                seqs=newest(*(work.again_seqs for work in loads)),
            )


def kv_bloat(picture: Picture) -> Iterator[Finding]:
    """Find models that take far more memory than their weights, for the sake of contexts."""
    for node in picture.nodes_online():
        room = node.facts.vram_bytes or node.facts.memory_bytes
        tight = 0 < TIGHT * room < sum(model.size_bytes for model in node.resident)
        weights = {model.name: model.size_bytes for model in node.models}
        for model in node.resident:
            on_disk = weights.get(model.name, 0)
            extra = model.size_bytes - on_disk
            if on_disk and model.size_bytes > BLOATED * on_disk and extra > BLOATED_BYTES:
                yield Finding(
                    check_id="kv_cache_bloat",
                    severity="warning" if tight else "info",
                    title=f"{model.name} takes {extra / GIB:.1f} GiB more than its weights",
                    description=f"On {node.node_id} it holds {model.size_bytes / GIB:.1f} GiB for "
                    f"{on_disk / GIB:.1f} GiB of weights, with a context of "
                    f"{model.context_length} tokens: the rest is room for the context of each "
                    "parallel request.",
                    fix="Lower OLLAMA_NUM_PARALLEL or the context (num_ctx), then `ollama stop "
                    f"{model.name}` there.",
                    node_id=node.node_id,
                    data={
                        "model": model.name,
                        "resident_gb": round(model.size_bytes / GIB, 2),
                        "weights_gb": round(on_disk / GIB, 2),
                        "context_length": model.context_length,
                    },
                )


def context_protection(picture: Picture) -> Iterator[Finding]:
    """Find applications that ask for more context than a model has in memory."""
    for asked in picture.contexts:
        held = _held(picture, asked)
        if 0 < held < asked.num_ctx and asked.cold < RELOADS:
            yield Finding(
                check_id="context_protection",
                severity="warning",
                title=f"{_app(asked)} asks for a larger context than {asked.model} has",
                description=f"It asked for {asked.num_ctx} tokens {asked.requests} times; on "
                f"{asked.node_id} the model is in memory with {held}.",
                fix="Load the model with the larger context, or let the application ask for less.",
                node_id=asked.node_id,
                data=_told(asked) | {"resident_context": held},
                seqs=newest(asked.seqs),
            )


def context_reload(picture: Picture) -> Iterator[Finding]:
    """Find applications whose num_ctx makes a node load anew a model that it has in memory."""
    wanted: dict[tuple[str, str], set[int]] = {}
    for asked in picture.contexts:
        wanted.setdefault((asked.model, asked.node_id), set()).add(asked.num_ctx)
    for asked in picture.contexts:
        others = wanted[asked.model, asked.node_id] - {asked.num_ctx}
        if asked.num_ctx and asked.cold >= RELOADS and others:
            wishes = sorted({*others, asked.num_ctx})
            yield Finding(
                check_id="context_reload",
                severity="warning",
                title=f"{_app(asked)} makes {asked.node_id} load {asked.model} anew",
                description=f"It asks for num_ctx {asked.num_ctx}, others for "
                f"{', '.join(str(n) or '0' for n in sorted(others))} (0: none named). Ollama loads "
                f"a model again for each change of its context: {asked.cold} loads in a day.",
                fix="Let all applications name the same num_ctx, or none.",
                node_id=asked.node_id,
                data=_told(asked) | {"contexts": wishes, "loads_24h": asked.cold},
                seqs=newest(asked.seqs),
            )


def prompt_truncated(picture: Picture) -> Iterator[Finding]:
    """Find prompts longer than the context, of which the node left a part out without a word."""
    for asked in picture.contexts:
        context = asked.num_ctx or _held(picture, asked)
        sent = asked.most_body_bytes // BYTES_A_TOKEN
        read = asked.prompt_tokens
        if context and sent > TOO_LONG * context and context / 2 <= read <= context < sent:
            yield Finding(
                check_id="prompt_truncated",
                severity="warning",
                title=f"{_app(asked)} sends {asked.model} more than its context holds",
                description=f"A request of about {sent} tokens met a context of {context}: the "
                f"node read {read} and left the rest out, without an error.",
                fix="Ask for a larger num_ctx, or send less.",
                node_id=asked.node_id,
                data=_told(asked) | {"prompt_tokens_sent": sent, "context": context, "read": read},
                seqs=newest(asked.seqs),
            )


def grey_failure(picture: Picture) -> Iterator[Finding]:
    """Find nodes that make answers far slower than they did: they work, but something is wrong."""
    before = {_place(work): work for work in reversed(picture.work) if not work.recent}
    for now in picture.work:
        past = before.get(_place(now))
        if not now.recent or past is None or min(now.decode_s, past.decode_s) <= 0:
            continue
        if min(now.decoded_tokens, past.decoded_tokens) < LEAST_TOKENS:
            continue
        pace, usual = (each.decoded_tokens / each.decode_s for each in (now, past))
        if pace < SLOWER * usual:
            yield Finding(
                check_id="grey_failure",
                severity="warning",
                title=f"{now.node_id} answers with {now.model} at {pace / usual:.0%} of its pace",
                description=f"{pace:.1f} tokens a second in the last hour, {usual:.1f} in the day "
                "before. It may run on the processor, be throttled by heat, or be used by others.",
                fix="Look with `ollama ps` there whether the model is on the graphics card, and "
                "what else runs; starting Ollama again helps where its driver was lost.",
                node_id=now.node_id,
                data={
                    "model": now.model,
                    "tokens_per_s": round(pace, 2),
                    "tokens_per_s_before": round(usual, 2),
                },
                seqs=newest(now.seqs),
            )


def _place(work: Work) -> tuple[str, str]:
    return work.node_id, work.model


def _held(picture: Picture, asked: Context) -> int:
    """Return the context with which the model is in memory there; 0 if it is not."""
    for node in picture.view.nodes:
        if node.node_id == asked.node_id:
            for model in node.resident:
                if model.name == asked.model:
                    return model.context_length
    return 0


def _app(asked: Context) -> str:
    return asked.app or "A client without a name"


def _told(asked: Context) -> dict[str, object]:
    return {
        "app": asked.app,
        "model": asked.model,
        "num_ctx": asked.num_ctx,
        "requests": asked.requests,
    }
