"""`herd doctor`: look at the whole chain, and say what to do."""

import asyncio
import contextlib
import sys
from typing import Final

import click
import msgspec

from herd.agent.facts import ollama_url
from herd.agent.search import router_address
from herd.commands.status import balancer_url
from herd.config import Settings, load
from herd.doctor import afar, beside, fleet, here, network
from herd.doctor.finding import Finding, State
from herd.errors import HerdError
from herd.http import tls
from herd.http.detour import detour
from herd.processes import run_file
from herd.tables import printable

MARKS: Final[dict[State, tuple[str, str]]] = {
    "good": ("ok  ", "green"),
    "note": ("note", "yellow"),
    "bad": ("BAD ", "red"),
}


@click.command()
@click.option("--data-dir", help="The data directory; else FLEET_DATA_DIR or ~/.fleet-manager.")
@click.option(
    "--router-url",
    envvar="FLEET_NODE_ROUTER_URL",
    metavar="URL",
    help="The balancer that the agent of this machine is to join.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def command(data_dir: str | None, router_url: str | None, *, as_json: bool) -> None:
    """Look at the whole chain on this machine, and say what to do.

    The package, the data directory, the port, the network and mDNS, this machine's Ollama and its
    settings, the balancer, its log, and each of its nodes as seen from here; with --router-url, the
    balancer of another machine. It changes nothing, and loads no model. It ends with 1 if anything
    is bad.
    """
    settings = load({} if data_dir is None else {"data_dir": data_dir})
    found = asyncio.run(_looked(settings, router_address(router_url) if router_url else ""))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        for each in found:
            _print(each)
    worst = sum(each.state == "bad" for each in found)
    if worst:
        sys.exit(1)


async def _looked(settings: Settings, router: str) -> list[Finding]:
    found = [*here.package(), *here.data_directory(settings.directory), *here.listener(settings)]
    running = run_file.read(settings.directory)
    runs = running is not None and "supervisor" in run_file.living(running)
    url = balancer_url(str(settings.directory.root)) if runs else ""
    detour.folder = settings.directory.sockets  # to nodes whose agent relays
    its = settings
    if url:
        its = await fleet.started(url, settings)
        with contextlib.suppress(HerdError):  # a file of the certificates that is gone by now
            tls.believe(its)
    found += [
        network.addresses(its),
        await network.discovery(its, advertised=its is not settings and its.mdns),
        *await _beside(),
        *(await afar.balancer(router) if router else ()),
    ]
    return found + await fleet.balancer(url) if url else found


async def _beside() -> list[Finding]:
    try:
        url = ollama_url("")
    except HerdError as error:
        return [Finding("OLLAMA_HOST", "bad", error.what, error.next_step)]
    found = await beside.ollama(url)
    here, environment = beside.running()
    if here:
        found += [*beside.reach(url, beside.listeners()), *beside.settings(environment)]
    return found


def _print(each: Finding) -> None:
    mark, colour = MARKS[each.state]
    click.echo(f"{click.style(mark, fg=colour)}  {each.about}: {printable(each.text)}")
    if each.fix:
        click.echo(f"      {printable(each.fix)}")
