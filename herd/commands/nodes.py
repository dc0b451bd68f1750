"""`herd nodes list`, `approve`, `revoke`, `token`: who may speak for the nodes of the fleet."""

import click
import msgspec

from herd import join_token
from herd.admin import send
from herd.commands.drain import data_dir_option, json_option, url_option
from herd.commands.status import ask, balancer_url, read
from herd.config import load
from herd.errors import HerdError
from herd.http.endpoints.nodes import APPROVE, PATH, REVOKE
from herd.tables import show

EXAMPLES = """\b
Examples:
  herd nodes list
  herd nodes approve studio
"""
_HEADER = "NAME TRUST STATUS ADDRESS KEY"


class _Node(msgspec.Struct):
    node_id: str
    trust: str
    status: str
    url: str
    fingerprint: str
    waits: bool


class _Nodes(msgspec.Struct):
    nodes: list[_Node]


@click.group(epilog=EXAMPLES)
def command() -> None:
    """Tell which agents may join the fleet, and which may no longer.

    The first key that joins under a name keeps it. FLEET_JOIN says who may join at all: `open`
    all of this network, `token` who knows the join token, `ask` whom you approve.
    """


@command.command(name="list")
@url_option
@data_dir_option
@json_option
def list_nodes(*, url: str | None, data_dir: str | None, as_json: bool) -> None:
    """List the nodes, who speaks for them, and who waits to join."""
    address = _address(url, data_dir)
    body = ask(address, PATH)
    if as_json:
        click.echo(body.decode())
        return
    nodes = read(address, body, _Nodes).nodes
    if not nodes:
        click.echo("no node yet; run `herd node` on a machine with Ollama")
        return
    show(_HEADER.split(), [_row(node) for node in nodes])


@command.command()
@click.argument("node")
@url_option
@data_dir_option
@json_option
def approve(*, node: str, url: str | None, data_dir: str | None, as_json: bool) -> None:
    """Let a node in that waits; compare its key with what its agent says at its start."""
    answer = send(_address(url, data_dir), "POST", APPROVE, {"node_id": node})
    told = f"the key {answer['fingerprint']} speaks for {node} from now on"
    click.echo(msgspec.json.encode(answer).decode() if as_json else told)


@command.command()
@click.argument("node")
@url_option
@data_dir_option
@json_option
def revoke(*, node: str, url: str | None, data_dir: str | None, as_json: bool) -> None:
    """Let nobody speak for a node any more, until you approve a key for it."""
    answer = send(_address(url, data_dir), "POST", REVOKE, {"node_id": node})
    told = f"nobody speaks for {node} any more; `herd nodes approve {node}` lets one in who asks"
    click.echo(msgspec.json.encode(answer).decode() if as_json else told)


@command.command()
@data_dir_option
def token(*, data_dir: str | None) -> None:
    """Show the join token of the balancer on this machine."""
    settings = load({} if data_dir is None else {"data_dir": data_dir})
    found = join_token.read(settings.directory)
    if not found:
        settings.directory.check_readable()
        raise HerdError(
            f"there is no join token in {settings.directory.root}", "start the balancer: `herd`"
        )
    click.echo(found)


def _address(url: str | None, data_dir: str | None) -> str:
    return url.rstrip("/") if url else balancer_url(data_dir)


def _row(node: _Node) -> list[str]:
    trust = f"{node.trust} (asks)" if node.waits and node.trust != "waits" else node.trust
    cells = [node.node_id, trust, node.status, node.url, node.fingerprint]
    return [cell or "-" for cell in cells]
