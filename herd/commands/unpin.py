"""`herd unpin`: a model need not stay in memory any more."""

import click
import msgspec

from herd.admin import send
from herd.commands.drain import data_dir_option, json_option, url_option
from herd.commands.status import balancer_url
from herd.http.endpoints.pins import PATH


@click.command()
@click.argument("model")
@click.option("--node", help="In this one's memory only; else in all.")
@url_option
@data_dir_option
@json_option
def command(
    model: str, node: str | None, url: str | None, data_dir: str | None, *, as_json: bool
) -> None:
    """Keep a model in memory no longer; it goes when its node wants it to."""
    address = url.rstrip("/") if url else balancer_url(data_dir)
    answer = send(address, "DELETE", PATH, {"model": model, "node_id": node or ""})
    if as_json:
        click.echo(msgspec.json.encode(answer).decode())
        return
    names = ", ".join(msgspec.convert(answer["unpinned_from"], list[str]))
    click.echo(f"{answer['model']} is not pinned any more on {names}")
