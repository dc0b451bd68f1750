"""`herd pin`: a model stays in a node's memory, and what does so already."""

import click
import msgspec

from herd.admin import send
from herd.commands.drain import data_dir_option, json_option, url_option
from herd.commands.status import ask, balancer_url, read
from herd.errors import HerdError
from herd.http.endpoints.pins import PATH
from herd.tables import show

EXAMPLES = """\b
Examples:
  herd pin llama3.3:70b --node studio
  herd pin
"""


class _Pin(msgspec.Struct):
    node_id: str
    model: str
    state: str


class _Pins(msgspec.Struct):
    pins: list[_Pin]


@click.command(epilog=EXAMPLES)
@click.argument("model", required=False)
@click.option("--node", help="In this one's memory; else where it suits.")
@click.option("--force", is_flag=True, help="Also if little memory is left there for others.")
@url_option
@data_dir_option
@json_option
def command(  # noqa: PLR0913 (one parameter an option)
    model: str | None,
    node: str | None,
    url: str | None,
    data_dir: str | None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Keep a model in a node's memory; without a model, list what is kept.

    herd loads it whenever it is not there, and unloads it for nothing.
    """
    address = url.rstrip("/") if url else balancer_url(data_dir)
    if model is None:
        if node or force:
            raise HerdError("--node and --force are about one model", "name it: herd pin MODEL")
        _list(address, as_json=as_json)
        return
    answer = send(address, "POST", PATH, {"model": model, "node_id": node or "", "force": force})
    if as_json:
        click.echo(msgspec.json.encode(answer).decode())
    else:
        where = answer["pinned_node"]
        click.echo(f"{answer['model']} stays in the memory of {where}. `herd unpin` ends it")


def _list(address: str, *, as_json: bool) -> None:
    body = ask(address, PATH)
    if as_json:
        click.echo(body.decode())
        return
    pins = read(address, body, _Pins).pins
    if not pins:
        click.echo("no model is pinned; `herd pin MODEL` keeps one in memory")
        return
    show(["MODEL", "NODE", "STATE"], [[pin.model, pin.node_id, pin.state] for pin in pins])
