"""Which nodes an order for a model goes to, pure: picked from the view as it is when somebody asks.

Without a named node herd behaves as the one Ollama that it looks like: a model is deleted and
copied wherever it is, pushed from one node that has it, and pulled where it is already (to look
for a newer one), else where it fits best.
"""

from collections.abc import Iterator, Sequence

from actors.core.aliases import meant as aliased
from actors.core.estimates import beside_bytes
from actors.core.pulling import Host, best
from herd.dialects.names import key, normalise
from herd.http.problems import BadRequestError
from herd.link.messages import NodeView, View


def named(view: View, node_id: str) -> NodeView:
    """Return the node that somebody named; `BadRequestError` if nothing can be done there."""
    node = next((each for each in view.nodes if each.node_id == node_id), None)
    if node is None:
        names = ", ".join(each.node_id for each in view.nodes) or "none"
        raise BadRequestError(f"no node is called '{node_id}'; the fleet has: {names}", status=404)
    if node.facts.dialect != "ollama":
        raise BadRequestError(f"'{node_id}' is no Ollama: its models are managed there")
    if node.status == "sleeping":
        text = f"'{node_id}' sleeps: wake it (herd wake {node_id}), or name another"
        raise BadRequestError(text, status=503)
    if node.status == "offline":
        raise BadRequestError(f"'{node_id}' is offline: start it, or name another", status=503)
    return node


def usable(view: View) -> list[NodeView]:
    """Return the Ollamas that answer, those in good health first."""
    found = [node for node in view.nodes if node.answers and node.facts.dialect == "ollama"]
    found.sort(key=lambda node: (node.status != "online", node.draining or bool(node.paused)))
    return found


def having(view: View, model: str) -> list[NodeView]:
    """Return those of them that have a model."""
    return [node for node in usable(view) if has(node, model)]


def has(node: NodeView, model: str) -> bool:
    """Whether a model is on a node's disk."""
    wanted = key(model)
    return any(key(each.name) == wanted for each in node.models)


def away(view: View, model: str) -> list[NodeView]:
    """Return the nodes that had a model when they were last heard of."""
    return [node for node in view.nodes if not node.answers and has(node, model)]


def spelled(view: View, model: str) -> str:
    """Return a model's name as the fleet spells it."""
    wanted = key(model)
    for node in view.nodes:
        for each in node.models:
            if key(each.name) == wanted:
                return each.name
    return normalise(model)


def meant(view: View, model: str) -> str:
    """Return the model that a name stands for: the one of an alias, as the fleet spells it."""
    aliases = str(view.settings.get("model_aliases", ""))
    if not aliases:
        return spelled(view, model)
    return aliased(aliases, spelled(view, model), _names(view))


def resident(node: NodeView, model: str) -> bool:
    """Whether a model is in a node's memory."""
    wanted = key(model)
    return any(key(each.name) == wanted for each in node.resident)


def known(view: View, model: str) -> bool:
    """Whether any node was ever seen to have a model."""
    return any(has(node, model) or resident(node, model) for node in view.nodes)


def v1_hosts(view: View, model: str) -> list[NodeView]:
    """Return the servers that answer, have a model, and have only `/v1` routes."""
    return [
        node
        for node in view.nodes
        if node.answers and node.facts.dialect != "ollama" and has(node, model)
    ]


def size_bytes(view: View, model: str) -> int:
    """Return a model's size, as a node that has it tells; 0 if none does."""
    wanted = key(model)
    sizes = (m.size_bytes for node in view.nodes for m in node.models if key(m.name) == wanted)
    return max(sizes, default=0)


def for_pull(view: View, model: str) -> NodeView:
    """Return where a model is pulled to; `BadRequestError` if it can go nowhere."""
    nodes = usable(view)
    if not nodes:
        raise BadRequestError("no node online could take a model", status=503)
    size = size_bytes(view, model)
    chosen = best([_host(node, model) for node in nodes], size)
    for node in nodes:
        if node.node_id == chosen:
            return node
    text = f"no node has room on its disk for model '{model}' ({size / 1e9:.1f} GB)"
    raise BadRequestError(f"{text}: delete another, or name a node with node_id", status=507)


def emptiest(nodes: Sequence[NodeView]) -> NodeView:
    """Return where something new goes; `BadRequestError` if there is no node."""
    chosen = best([_host(node, "") for node in nodes], 0)
    for node in nodes:
        if node.node_id == chosen:
            return node
    raise BadRequestError("no node online could take a model", status=503)


def _names(view: View) -> Iterator[str]:
    for node in view.nodes:
        yield from (model.name for model in node.models)
        yield from (model.name for model in node.resident)


def _host(node: NodeView, model: str) -> Host:
    wanted = key(model)
    return Host(
        node_id=node.node_id,
        pulling=any(key(pull.model) == wanted for pull in node.pulls),
        has=bool(model) and has(node, model),
        healthy=node.status == "online",
        draining=node.draining or bool(node.paused),
        vram_bytes=node.facts.vram_bytes,
        memory_bytes=beside_bytes(node.facts),
        disk_free_bytes=node.facts.disk_free_bytes,
        stored_bytes=sum(each.size_bytes for each in node.models),
    )
