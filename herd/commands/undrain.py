"""`herd undrain`: the end of `herd drain`."""

import click
import msgspec

from herd.commands.drain import change, data_dir_option, json_option, url_option
from herd.commands.status import balancer_url


@click.command()
@click.argument("node")
@url_option
@data_dir_option
@json_option
def command(node: str, url: str | None, data_dir: str | None, *, as_json: bool) -> None:
    """Send a drained node work again."""
    address = url.rstrip("/") if url else balancer_url(data_dir)
    answer = change(address, node, draining=False)
    told = msgspec.json.encode(answer).decode() if as_json else f"{node} takes work again"
    click.echo(told)
