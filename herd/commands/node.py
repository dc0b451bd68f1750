"""`herd node`: the agent beside an Ollama, in the foreground, until a signal."""

import asyncio
import logging
import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from events import NodeFacts
from herd import platform
from herd.agent.facts import machine_facts, ollama_url
from herd.agent.heartbeat import Agent, Terms
from herd.agent.identity import checked_node_id, default_node_id
from herd.agent.keypair import Keypair
from herd.agent.payload import GIB
from herd.agent.search import Search, router_address
from herd.errors import HerdError
from herd.paths import DEFAULT_ROOT, DataDir
from herd.signing import fingerprint
from herd.tasks import spawn
from herd.version import version

if TYPE_CHECKING:
    from herd.mdns import Balancer


@click.command()
@click.option(
    "--router-url",
    envvar="FLEET_NODE_ROUTER_URL",
    help="The balancer, http://HOST:11435; found on the network unless you name it.",
)
@click.option(
    "--ollama-host",
    envvar="FLEET_NODE_OLLAMA_HOST",
    help="This machine's Ollama; OLLAMA_HOST, or http://localhost:11434.",
)
@click.option(
    "--node-id",
    envvar=["FLEET_NODE_NODE_ID", "FLEET_NODE_ID"],
    help="The node's name in the fleet; this machine's name.",
)
@click.option(
    "--join-token",
    envvar=["FLEET_NODE_JOIN_TOKEN", "FLEET_JOIN_TOKEN"],
    default="",
    help="For a fleet that takes no node without it (`herd nodes token`).",
)
@click.option(
    "--data-dir",
    envvar=["FLEET_NODE_DATA_DIR", "FLEET_DATA_DIR"],
    help="Where the key of this node is kept (~/.fleet-manager).",
)
@click.option("--rotate-key", is_flag=True, help="Take a new key; the old one names it.")
@click.option(
    "--heartbeat-interval",
    "interval_s",
    envvar="FLEET_NODE_HEARTBEAT_INTERVAL",
    type=click.FloatRange(0.1, 14.0),  # more, and it would count as silent between two
    default=5.0,
    hidden=True,
)
@click.option(
    "--log-level",
    envvar="FLEET_NODE_LOG_LEVEL",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="warning",
    help="How much detail beside one line for each change.",
)
def command(  # noqa: PLR0913 (one parameter an option)
    *,
    router_url: str | None,
    ollama_host: str | None,
    node_id: str | None,
    join_token: str,
    data_dir: str | None,
    rotate_key: bool,
    interval_s: float,
    log_level: str,
) -> None:
    """Run the agent beside an Ollama."""
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    platform.set_title("node")
    terms = Terms(
        node_id=_node_id(node_id),
        ollama_url=ollama_url(ollama_host or ""),
        router_url=router_address(router_url) if router_url else "",
        interval_s=interval_s,
    )
    machine = machine_facts()
    keys = Keypair(DataDir(Path(data_dir or DEFAULT_ROOT)).node_key, join_token=join_token)
    if rotate_key:
        keys.rotate()
    click.echo(banner(terms, machine, keys.public))
    platform.run_loop(_live(Agent(terms, machine, Search(_browse, say), say, keys)), fast=False)


def banner(terms: Terms, machine: NodeFacts, public: str) -> str:
    """Return what a starting agent says of itself."""
    parts = [machine.chip, f"{machine.cores} cores", f"{machine.memory_bytes / GIB:.0f} GiB"]
    if machine.vram_bytes:
        parts.append(f"GPU {machine.vram_bytes / GIB:.0f} GiB")
    return "\n".join(
        [
            f"{click.style(f'herd node {terms.node_id}', bold=True)}  {version()}",
            f"  Ollama    {terms.ollama_url}",
            f"  balancer  {terms.router_url or 'whichever is found on this network'}",
            f"  machine   {', '.join(part for part in parts if part)}",
            f"  key       {fingerprint(public)}",
        ]
    )


def say(line: str) -> None:
    """Write a line about a change."""
    click.echo(f"herd node: {line}", err=True)


def _node_id(given: str | None) -> str:
    try:
        return checked_node_id(given) if given else default_node_id()
    except ValueError as error:
        raise HerdError(str(error), "choose another with --node-id") from error


async def _browse(timeout_s: float) -> "tuple[Balancer, ...]":
    from herd.mdns import browse

    return await browse(timeout_s)


async def _live(agent: Agent) -> None:
    """Run until a signal, then drain; a second signal ends that, too."""
    loop = asyncio.get_running_loop()
    first, second = asyncio.Event(), asyncio.Event()

    def heard() -> None:
        (second if first.is_set() else first).set()

    def signalled(_signal: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(heard)

    for each in platform.stop_signals():
        signal.signal(each, signalled)
    await _until(first, spawn(agent.run(), name="agent"))
    await _until(second, spawn(agent.drain(), name="drain"))


async def _until(event: asyncio.Event, work: asyncio.Task[None]) -> None:
    """Wait for the event or the end of the work, which is cancelled and over when this returns."""
    waiting = spawn(event.wait(), name="signal")
    await asyncio.wait({waiting, work}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if work.done():
        work.result()
        return
    work.cancel()
    await asyncio.wait({work})
