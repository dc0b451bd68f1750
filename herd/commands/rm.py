"""`herd rm`: a model off the nodes' disks."""

import click
import msgspec

from herd.commands.drain import data_dir_option, json_option, url_option
from herd.commands.pull import confirm, order
from herd.commands.status import ask, balancer_url, read
from herd.dialects.names import key
from herd.errors import HerdError


class _Ollama(msgspec.Struct):
    models_available_sizes: dict[str, float | None] = {}


class _Node(msgspec.Struct):
    node_id: str
    status: str = ""
    ollama: _Ollama = msgspec.field(default_factory=_Ollama)


class _Status(msgspec.Struct):
    nodes: list[_Node] = []


@click.command()
@click.argument("model")
@click.option("--node", help="Off this node only; else off every node that has it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@url_option
@data_dir_option
@json_option
def command(  # noqa: PLR0913 (one parameter an option)
    model: str, node: str | None, url: str | None, data_dir: str | None, *, yes: bool, as_json: bool
) -> None:
    """Delete a model from the nodes' disks."""
    address = url.rstrip("/") if url else balancer_url(data_dir)
    sizes = _sizes(address, model, node)
    named = ", ".join(f"{name}{_said(size)}" for name, size in sizes.items())
    confirm(f"Delete {model} from {named}? To have it back it must be pulled again", yes=yes)
    body: dict[str, object] = {"model": model}
    if node:
        body["node_id"] = node
    order(address, "DELETE", "/api/delete", body)
    told = {"model": model, "nodes": list(sizes)}
    gone = f"{model} is gone from {', '.join(sizes)}"
    click.echo(msgspec.json.encode(told).decode() if as_json else gone)


def _sizes(address: str, model: str, node: str | None) -> dict[str, float | None]:
    """Return the size of a model on each node that it goes from, in GB; None if not known."""
    status = read(address, ask(address, "/fleet/status"), _Status)
    found = {
        each.node_id: size
        for each in status.nodes
        if node in {None, each.node_id} and each.status not in {"offline", "sleeping"}
        for name, size in each.ollama.models_available_sizes.items()
        if key(name) == key(model)
    }
    if not found:
        what = (
            f"node '{node}' does not have {model}"
            if node
            else f"no node that is online has {model}"
        )
        if node and all(each.node_id != node for each in status.nodes):
            what = f"no node is called '{node}'"
        raise HerdError(what, "`herd status` shows what is where")
    return found


def _said(size_gb: float | None) -> str:
    return "" if size_gb is None else f" ({size_gb:g} GB)"
