"""The fleet's models as one Ollama would list them: unions over all nodes, pure.

Rules
1. Every field that a client reads is there and can be read: Ollama's own command takes twelve
   characters of each digest, and parses each time.
2. A model is listed once, with the nodes that have it in `details.fleet_nodes`; what is resident
   is listed per node, since times and sizes differ, with its node in `fleet_node`.
3. Nodes that are offline list nothing; those that sleep, what they have on their disk: whoever asks
   for it wakes them.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

from msgspec.structs import replace

from events import ModelFacts, ResidentModel
from herd.dialects.names import key
from herd.link.messages import NodeView, View

NO_TIME = "0001-01-01T00:00:00Z"
"""Go's zero time: what Ollama itself sends where it has none."""

NO_VERSION = "0.0.0"


def tags(view: View) -> dict[str, object]:
    """Return `/api/tags`: the newest first, as Ollama has it."""
    rows = [
        {
            "name": model.name,
            "model": model.name,
            **_remote(model),
            "modified_at": model.modified_at or NO_TIME,
            "size": model.size_bytes,
            "digest": _digest(model.name, model.digest),
            "details": {**_details(model), "fleet_nodes": nodes},
            "capabilities": list(model.capabilities),
        }
        for model, nodes in _union(view)
    ]
    rows.sort(key=lambda row: str(row["modified_at"]), reverse=True)
    return {"models": rows}


def ps(view: View) -> dict[str, object]:
    """Return `/api/ps`: what expires last comes first, as Ollama has it."""
    rows: list[dict[str, object]] = []
    for node in _here(view):
        facts = {key(model.name): model for model in node.models}
        rows += (_row(resident, facts.get(key(resident.name)), node) for resident in node.resident)
    rows.sort(key=lambda row: str(row["expires_at"]), reverse=True)
    return {"models": rows}


def version(view: View, herd_version: str) -> dict[str, object]:
    """Return `/api/version`: the first node's, and herd's own."""
    versions = (node.facts.version for node in _here(view) if node.facts.dialect == "ollama")
    found = next((text for text in versions if text), NO_VERSION)
    return {"version": found, "herd_version": herd_version}


def models(view: View) -> dict[str, object]:
    """Return `/v1/models`."""
    return {"object": "list", "data": [_openai(model) for model, _ in _union(view)]}


def model(view: View, name: str) -> dict[str, object] | None:
    """Return `/v1/models/{id}`; None if no node has it."""
    wanted = key(name)
    return next((_openai(found) for found, _ in _union(view) if key(found.name) == wanted), None)


def asleep(view: View, name: str) -> dict[str, object] | None:
    """Return what is known for `/api/show` of a model that nodes have which sleep; None if none."""
    wanted = key(name)
    for node in view.nodes:
        if node.status != "sleeping" or node.facts.dialect != "ollama":
            continue
        for facts in node.models:
            if key(facts.name) == wanted:
                return _described(facts, facts.context_length)
    return None


def on_v1(node: NodeView, name: str) -> dict[str, object] | None:
    """Return the same of a model on a server that has only `/v1` routes.

    Its context is the one that the server was started with, as far as it tells: no client can have
    a larger one there.
    """
    wanted = key(name)
    loaded = (each.context_length for each in node.resident if key(each.name) == wanted)
    context = next(loaded, 0)
    for facts in node.models:
        if key(facts.name) == wanted:
            able = facts if facts.capabilities else replace(facts, capabilities=("completion",))
            found = _described(able, context or facts.context_length)
            return {"modelfile": "", "parameters": "", "template": ""} | found
    return None


def _described(facts: ModelFacts, context_tokens: int) -> dict[str, object]:
    architecture = facts.family or "unknown"
    info: dict[str, object] = {"general.architecture": architecture}
    if context_tokens:
        info[f"{architecture}.context_length"] = context_tokens
    return {
        **_remote(facts),
        "details": _details(facts),
        "model_info": info,
        "capabilities": list(facts.capabilities),
        "modified_at": facts.modified_at or NO_TIME,
    }


def _here(view: View) -> Iterator[NodeView]:
    return (node for node in view.nodes if node.answers)


def _union(view: View) -> list[tuple[ModelFacts, list[str]]]:
    """Return each model once, described by the first node that describes it, with its nodes."""
    found: dict[str, tuple[ModelFacts, list[str]]] = {}
    for node in view.nodes:
        for facts in node.models if node.answers or node.status == "sleeping" else ():
            name = key(facts.name)
            if name not in found:
                found[name] = (facts, [node.node_id])
                continue
            best, nodes = found[name]
            nodes.append(node.node_id)
            if facts.digest and not best.digest:
                found[name] = (facts, nodes)
    return sorted(found.values(), key=lambda pair: pair[0].name)


def _row(resident: ResidentModel, facts: ModelFacts | None, node: NodeView) -> dict[str, object]:
    return {
        "name": resident.name,
        "model": resident.name,
        "size": resident.size_bytes,
        "digest": _digest(resident.name, resident.digest or (facts.digest if facts else "")),
        "details": _details(facts or ModelFacts(name=resident.name)),
        "expires_at": resident.expires_at or NO_TIME,
        "size_vram": resident.size_vram_bytes,
        "context_length": resident.context_length,
        "fleet_node": node.node_id,
    }


def _details(facts: ModelFacts) -> dict[str, object]:
    details: dict[str, object] = {
        "parent_model": facts.parent_model,
        "format": facts.format,
        "family": facts.family,
        "families": list(facts.families) or None,
        "parameter_size": facts.parameter_size,
        "quantization_level": facts.quantization_level,
    }
    if facts.context_length:
        details["context_length"] = facts.context_length
    if facts.embedding_length:
        details["embedding_length"] = facts.embedding_length
    return details


def _remote(facts: ModelFacts) -> dict[str, object]:
    """Return where a model of Ollama's cloud runs; `ollama list` shows no size for one."""
    if not facts.remote_model:
        return {}
    return {"remote_model": facts.remote_model, "remote_host": facts.remote_host}


def _digest(name: str, digest: str) -> str:
    return digest or hashlib.sha256(f"herd:{name}".encode()).hexdigest()


def _openai(facts: ModelFacts) -> dict[str, object]:
    namespace, slash, _ = facts.name.rpartition("/")
    return {
        "id": facts.name,
        "object": "model",
        "created": _epoch_s(facts.modified_at),
        "owned_by": namespace.rpartition("/")[2] if slash else "library",
    }


def _epoch_s(modified_at: str) -> int:
    try:
        instant = datetime.fromisoformat(modified_at)
    except ValueError:
        return 0
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return max(0, int(aware.timestamp()))
