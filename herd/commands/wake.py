"""`herd wake`: a magic packet for a node that sleeps."""

import time

import click
import msgspec

from herd.admin import send
from herd.commands.drain import data_dir_option, json_option, url_option
from herd.commands.status import ask, balancer_url, read
from herd.errors import HerdError

EXAMPLES = """\b
Examples:
  herd wake tower --wait && ollama run llama3.3:70b
"""
LOOK_S = 0.5
"""Between two looks whether it is there."""
ONLINE = ("online", "degraded")


class _Node(msgspec.Struct):
    node_id: str
    status: str


class _Status(msgspec.Struct):
    nodes: list[_Node] = []


@click.command(epilog=EXAMPLES)
@click.argument("node")
@click.option("--wait", is_flag=True, help="Return when it is online, or counts as dead.")
@url_option
@data_dir_option
@json_option
def command(node: str, url: str | None, data_dir: str | None, *, wait: bool, as_json: bool) -> None:
    """Wake a node whose owner allows it (`herd node --wake` there).

    Nodes are woken by themselves when a request needs them: when no other node has the model, or
    the line is longer than they take to wake. This is for everything else.
    """
    address = url.rstrip("/") if url else balancer_url(data_dir)
    answer = send(address, "POST", "/fleet/wake", {"node_id": node})
    if wait:
        answer["status"] = _settled(address, node)
    if as_json:
        click.echo(msgspec.json.encode(answer).decode())
    elif answer["status"] in ONLINE:
        click.echo(f"{node} is awake")
    else:
        click.echo(f"{node} is woken; `herd status` shows when it is there")


def _settled(address: str, node: str) -> str:
    """Wait until a node is online; raise if it did not wake. herd itself bounds this wait."""
    while True:
        time.sleep(LOOK_S)
        status = _status(address, node)
        if status in ONLINE:
            return status
        if status == "offline":
            raise HerdError(
                f"{node} did not wake",
                "look whether its firmware and its network card have Wake-on-LAN switched on",
            )


def _status(address: str, node: str) -> str:
    status = read(address, ask(address, "/fleet/status"), _Status)
    return next((each.status for each in status.nodes if each.node_id == node), "offline")
