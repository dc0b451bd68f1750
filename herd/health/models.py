"""Checks of models in memory: loads, contexts, speed."""

from collections.abc import Iterable, Iterator

from events import ModelFacts, ResidentModel
from herd.health.circuits import SLOW, still_open
from herd.health.finding import Finding
from herd.health.picture import Context, Picture, Work, newest
from herd.health.restarting import restart
from herd.link.messages import NodeView

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
                fix="Keep the one that matters most: "
                f"`herd pin {max(models, key=models.__getitem__)} --node {node_id}`. "
                "Or give Ollama there room for more at once "
                "(`OLLAMA_MAX_LOADED_MODELS`, a smaller `OLLAMA_CONTEXT_LENGTH`).",
                node_id=node_id,
                data={"loads_1h": count, "models": models},
                seqs=newest(*(work.again_seqs for work in loads)),
            )


def kv_bloat(picture: Picture) -> Iterator[Finding]:
    """Find models that take far more memory than their weights, for contexts, where it is short.

    Where there is room, it is what parallel requests are to have, and nothing is wrong.
    """
    for node in picture.nodes_online():
        if not _is_tight(node):
            continue
        weights = {model.name: model.size_bytes for model in node.models}
        for model in node.resident:
            on_disk = weights.get(model.name, 0)
            extra = model.size_bytes - on_disk
            if on_disk and model.size_bytes > BLOATED * on_disk and extra > BLOATED_BYTES:
                yield Finding(
                    check_id="kv_cache_bloat",
                    severity="warning",
                    title=f"{model.name} takes {extra / GIB:.1f} GiB more than its weights",
                    description=f"On {node.node_id} it holds {model.size_bytes / GIB:.1f} GiB for "
                    f"{on_disk / GIB:.1f} GiB of weights, with a context of "
                    f"{model.context_length} tokens: the rest is room for the context of each "
                    "parallel request. The memory there is nearly full.",
                    fix="Lower `OLLAMA_NUM_PARALLEL` or `OLLAMA_CONTEXT_LENGTH` there, then "
                    f"`ollama stop {model.name}`.",
                    node_id=node.node_id,
                    data={
                        "model": model.name,
                        "resident_gb": round(model.size_bytes / GIB, 2),
                        "weights_gb": round(on_disk / GIB, 2),
                        "context_length": model.context_length,
                    },
                    seqs=picture.memory_seqs(node.node_id),
                )


def _is_tight(node: NodeView) -> bool:
    """Return whether memory is short there: nearly full, or so full that models are cut in two."""
    room = node.facts.vram_bytes or node.facts.memory_bytes
    cut = any(0 < model.size_vram_bytes < model.size_bytes for model in node.resident)
    return cut or 0 < TIGHT * room < sum(model.size_bytes for model in node.resident)


def context_protection(picture: Picture) -> Iterator[Finding]:
    """Find applications that ask for more context than a model has in memory, and do not get it."""
    for asked in picture.contexts:
        held, most = _contexts(picture, asked)
        if 0 < held < asked.num_ctx and not _reloads(picture, asked):
            yield Finding(
                check_id="context_protection",
                severity="warning",
                title=f"{_app(asked)} asks for a larger context than {asked.model} has",
                description=f"It asked for {asked.num_ctx} tokens {asked.requests} times; on "
                f"{asked.node_id} the model is in memory with {held}"
                + (", and it was made for no more." if held == most else "."),
                fix=f"Let the application ask for `num_ctx` {held}, or for none."
                if held == most
                else f"`ollama stop {asked.model}` on {asked.node_id}: its next request loads it "
                "as large as it asks. Or let the application ask for less.",
                node_id=asked.node_id,
                data=_told(asked) | {"resident_context": held},
                seqs=newest(asked.seqs),
            )


def context_reload(picture: Picture) -> Iterator[Finding]:
    """Find applications whose num_ctx makes a node load anew a model that it has in memory."""
    for asked in picture.contexts:
        if others := _reloads(picture, asked):
            wishes = sorted({*others, asked.num_ctx})
            yield Finding(
                check_id="context_reload",
                severity="warning",
                title=f"{_app(asked)} makes {asked.node_id} load {asked.model} anew",
                description=f"It asks for num_ctx {asked.num_ctx}, others for "
                f"{', '.join(str(n) or '0' for n in sorted(others))} (0: none named). Ollama loads "
                f"a model again for each change of its context: {asked.cold} loads in a day.",
                fix=f"Let {_app(asked)} name the num_ctx that the others do, or none. What all are "
                f"to have, Ollama on {asked.node_id} is told by "
                f"`OLLAMA_CONTEXT_LENGTH={max(wishes)}`.",
                node_id=asked.node_id,
                data=_told(asked) | {"contexts": wishes, "loads_24h": asked.cold},
                seqs=newest(asked.seqs),
            )


def _reloads(picture: Picture, asked: Context) -> set[int]:
    """Return what others ask for, if who asked so made a node load the model anew again and again.

    More than a model was made for is as good as that much.
    """
    if not asked.num_ctx or asked.cold < RELOADS:
        return set()
    _, trained = _contexts(picture, asked)
    most = trained or asked.num_ctx
    return {
        other.num_ctx
        for other in picture.contexts
        if (other.model, other.node_id) == (asked.model, asked.node_id)
        and min(other.num_ctx, most) != min(asked.num_ctx, most)
    }


def prompt_truncated(picture: Picture) -> Iterator[Finding]:
    """Find prompts longer than the context, of which the node left a part out without a word."""
    for asked in picture.contexts:
        held, _ = _contexts(picture, asked)
        context = asked.num_ctx or held
        sent = asked.most_body_bytes // BYTES_A_TOKEN
        read = asked.prompt_tokens
        if context and sent > TOO_LONG * context and context / 2 <= read <= context < sent:
            yield Finding(
                check_id="prompt_truncated",
                severity="warning",
                title=f"{_app(asked)} sends {asked.model} more than its context holds",
                description=f"A request of about {sent} tokens met a context of {context}: the "
                f"node read {read} and left the rest out, without an error.",
                fix=f"Let {_app(asked)} ask for `num_ctx` {_room(sent)}, or send less. Or give the "
                f"model that much for all on {asked.node_id}: "
                f"`OLLAMA_CONTEXT_LENGTH={_room(sent)}`.",
                node_id=asked.node_id,
                data=_told(asked) | {"prompt_tokens_sent": sent, "context": context, "read": read},
                seqs=newest(asked.seqs),
            )


def grey_failure(picture: Picture) -> Iterator[Finding]:
    """Find nodes that make answers far slower than they did: they work, but something is wrong."""
    before = {_place(work): work for work in reversed(picture.work) if not work.recent}
    told: set[tuple[str, str]] = set()
    for now in picture.work:
        past = before.get(_place(now))
        if not now.recent or past is None or min(now.decode_s, past.decode_s) <= 0:
            continue
        if min(now.decoded_tokens, past.decoded_tokens) < LEAST_TOKENS:
            continue
        pace, usual = (each.decoded_tokens / each.decode_s for each in (now, past))
        if pace < SLOWER * usual:
            told.add(_place(now))
            yield _slower(
                picture,
                *_place(now),
                title=f"{now.node_id} answers with {now.model} at {pace / usual:.0%} of its pace",
                description=f"{pace:.1f} tokens a second in the last hour, {usual:.1f} in the day "
                "before.",
                data={
                    "tokens_per_s": round(pace, 2),
                    "tokens_per_s_before": round(usual, 2),
                },
                seqs=newest(now.seqs),
            )
    slowed = [each for each in picture.happened("circuit_opened") if each.phase == SLOW]
    for node_id, model, mine in still_open(picture, slowed):
        if (node_id, model) not in told:
            yield _slower(
                picture,
                node_id,
                model,
                title=f"{node_id} answers with {model} far slower than it did",
                description="Several answers in a row took many times as long for a token as is "
                "usual there: it is asked for that model only if no other node can serve.",
                data={"times": sum(each.events for each in mine)},
                seqs=newest(*(each.seqs for each in mine)),
            )


def _slower(  # noqa: PLR0913 (what a finding is made of)
    picture: Picture,
    node_id: str,
    model: str,
    *,
    title: str,
    description: str,
    data: dict[str, object],
    seqs: tuple[int, ...],
) -> Finding:
    return Finding(
        check_id="grey_failure",
        severity="warning",
        title=title,
        description=f"{description} It may run on the processor, be throttled by heat, or be used "
        "by others.",
        fix=f"Look with `ollama ps` on {node_id} whether {model} is on the graphics card, and what "
        f"else runs there; where its driver was lost, {restart(picture, node_id)}.",
        node_id=node_id,
        data={"model": model} | data,
        seqs=seqs,
    )


def _place(work: Work) -> tuple[str, str]:
    return work.node_id, work.model


def _contexts(picture: Picture, asked: Context) -> tuple[int, int]:
    """Return the context that the model has in memory there, and the one it was made for.

    0 if it is not in memory, or if that is not known.
    """
    node = picture.node(asked.node_id)
    if node is None:
        return 0, 0
    return _context_of(node.resident, asked.model), _context_of(node.models, asked.model)


def _context_of(models: Iterable[ModelFacts | ResidentModel], name: str) -> int:
    return next((model.context_length for model in models if model.name == name), 0)


def _room(tokens: int) -> int:
    """Return the context that holds so many tokens: the next power of two."""
    return 1 << (tokens - 1).bit_length()


def _app(asked: Context) -> str:
    return asked.app or "A client without a name"


def _told(asked: Context) -> dict[str, object]:
    return {
        "app": asked.app,
        "model": asked.model,
        "num_ctx": asked.num_ctx,
        "requests": asked.requests,
    }
