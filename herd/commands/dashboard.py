"""`herd dashboard`: the dashboard in a browser, here or, by a link that counts once, elsewhere."""

import sys

import click
import msgspec

from herd import admin_token, session
from herd.clock import wall_s
from herd.commands.drain import data_dir_option, json_option
from herd.commands.status import balancer_url
from herd.config import load
from herd.errors import HerdError
from herd.http.endpoints.assets import PAGE
from herd.http.login import LINK
from herd.interfaces import own_addresses
from herd.platform import has_screen
from herd.processes import run_file

EXAMPLES = """\b
Examples:
  herd dashboard
  herd dashboard --no-open --url https://herd.lan
"""


@click.command(epilog=EXAMPLES)
@click.option("--open/--no-open", "wanted", default=None, help="Open a browser here, or do not.")
@click.option("--url", help="How other machines reach the balancer; else by its addresses.")
@data_dir_option
@json_option
def command(data_dir: str | None, url: str | None, *, wanted: bool | None, as_json: bool) -> None:
    """Open the dashboard; print a link for a browser on another machine.

    Such a link counts once, within five minutes, and signs that browser in for thirty days. It
    matters once there are API keys: before, everybody on your networks may look.
    """
    settings = load({} if data_dir is None else {"data_dir": data_dir})
    found = run_file.running(settings.directory, otherwise="name another --data-dir")
    token = admin_token.read(settings.directory)
    if not token:
        raise HerdError(
            f"{settings.directory.admin_token} cannot be read", "ask as the user who runs herd"
        )
    here = balancer_url(data_dir) + PAGE
    said = session.word(token, session.LINK, int(wall_s()) + session.LINK_S)
    links = [f"{base}{LINK}?code={said}" for base in _bases(found, url)]
    if as_json:
        click.echo(msgspec.json.encode({"here": here, "links": links}).decode())
        return
    click.echo(f"on this machine   {here}")
    for link in links[:1]:
        click.echo(f"on another one    {link}")
        click.echo("(the link counts once, within five minutes)")
    if not links:
        click.echo(f"no other machine reaches it: it listens on {found.host} only")
    if (sys.stdout.isatty() and has_screen()) if wanted is None else wanted:
        click.launch(here)


def _bases(found: run_file.RunFile, url: str | None) -> list[str]:
    """Return how other machines reach the balancer."""
    if url:
        return [url.rstrip("/")]
    secure = bool(found.tls_cert)
    if found.host in {"", "0.0.0.0", "::"}:  # noqa: S104 (asked about, not bound)
        hosts: tuple[str, ...] = own_addresses()
    else:
        hosts = () if found.host in {"localhost", "127.0.0.1", "::1"} else (found.host,)
    return [run_file.local_url(host, found.port, secure=secure) for host in hosts]
