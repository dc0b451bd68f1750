"""`herd node`: the agent beside an Ollama, in the foreground, until a signal."""

import asyncio
import logging
import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypedDict

import click

from events import NodeFacts
from herd import platform
from herd.agent.cards import Wake
from herd.agent.cards import parse as parse_wake
from herd.agent.facts import machine_facts, ollama_url
from herd.agent.heartbeat import Agent, Terms
from herd.agent.hours import parse as parse_hours
from herd.agent.identity import checked_node_id, default_node_id
from herd.agent.keypair import Keypair
from herd.agent.meter import lending
from herd.agent.owner import Wishes
from herd.agent.past import Past
from herd.agent.payload import GB, GIB
from herd.agent.search import Search, router_address
from herd.errors import HerdError
from herd.finite import Finite
from herd.http import tls
from herd.paths import DEFAULT_ROOT, DataDir
from herd.services.asked import NODE
from herd.services.command import Serviced
from herd.signing import fingerprint
from herd.tasks import spawn
from herd.terminal import printable
from herd.version import version

if TYPE_CHECKING:
    from typing import Unpack

    from herd.mdns import Balancer


class Lent(TypedDict):
    """What the owner has said on the command line."""

    hours: str | None
    max_requests: int | None
    max_memory_gb: float | None
    spare: bool | None
    busy_pct: float
    away_s: float
    wake: str
    data_dir: str


def _check(given: dict[str, Any]) -> float:
    """Raise what would keep the agent from running with these options; it ends at once."""
    _node_id(given["node_id"])
    ollama_url(given["ollama_host"] or "")
    router_address(given["router_url"] or "localhost")
    parse_wake(given["wake"])
    tls.trust(given["ca_file"] or "")
    if given["hours"]:
        parse_hours(given["hours"])
    return 0.0


@click.command(cls=Serviced, kind=NODE, check=_check)
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
    "--ca-file",
    envvar="FLEET_CA_FILE",
    metavar="FILE",
    help="Certificates that vouch for an https:// balancer, beside the system's.",
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
@click.option("--rotate-key", is_flag=True, help="Take a new key; the old one names it.")
@click.option(
    "--heartbeat-interval",
    "interval_s",
    envvar="FLEET_NODE_HEARTBEAT_INTERVAL",
    type=Finite(0.1, 14.0),  # more, and it would count as silent between two
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
@click.option(
    "--hours",
    envvar="FLEET_NODE_HOURS",
    help="When it serves, like 22:00-07:00 or `mon-fri 19:00-07:00, sat-sun 0:00-24:00`; always.",
)
@click.option(
    "--max-requests",
    envvar="FLEET_NODE_MAX_REQUESTS",
    type=click.IntRange(1, 1024),
    help="Requests at once, of all models; as many as it serves well.",
)
@click.option(
    "--max-memory-gb",
    envvar="FLEET_NODE_MAX_MEMORY_GB",
    type=Finite(0.1, 1_000_000),
    help="Memory for the models that herd loads, in GB; all there is.",
)
@click.option(
    "--spare-owner/--no-spare-owner",
    "--learn-capacity/--no-learn-capacity",
    "spare",
    envvar=["FLEET_NODE_SPARE_OWNER", "FLEET_NODE_ENABLE_CAPACITY_LEARNING"],
    help="Take no work while somebody uses this machine; learns when that usually is.",
)
@click.option(
    "--busy-pct",
    envvar="FLEET_NODE_BUSY_PCT",
    type=Finite(1.0, 100.0),
    default=50.0,
    show_default=True,
    help="With --spare-owner: use of the processor by other programs that counts as his.",
)
@click.option(
    "--away-after",
    "away_s",
    envvar="FLEET_NODE_AWAY_AFTER",
    type=Finite(1.0, 86_400.0),
    default=300.0,
    show_default=True,
    help="With --spare-owner: seconds without key or mouse until he counts as away.",
)
@click.option(
    "--wake",
    envvar="FLEET_NODE_WAKE",
    is_flag=False,
    flag_value="auto",
    default="",
    metavar="[MAC,...]",
    help="The balancer may wake this machine when it sleeps and is needed (Wake-on-LAN), by the "
    "card towards it, or by those named.",
)
@click.option(
    "--relay/--no-relay",
    envvar="FLEET_NODE_RELAY",
    default=None,
    help="Have the balancer reach Ollama by this agent, without an open port, always or never; "
    "where it cannot otherwise.",
)
@click.option(
    "--data-dir",
    envvar=["FLEET_NODE_DATA_DIR", "FLEET_DATA_DIR"],
    default=DEFAULT_ROOT,
    help="Where its key is, and what it learns with --spare-owner; ~/.fleet-manager.",
)
def command(  # noqa: PLR0913 (one parameter an option)
    *,
    router_url: str | None,
    ollama_host: str | None,
    ca_file: str | None,
    node_id: str | None,
    join_token: str,
    rotate_key: bool,
    interval_s: float,
    log_level: str,
    relay: bool | None,
    **lent: "Unpack[Lent]",
) -> None:
    """Run the agent beside an Ollama.

    What the owner of this machine lends of it is his to say: the hours at which it serves, how
    many requests, how much memory, and whether it pauses while he uses it himself. A paused node
    finishes what runs there, and gets nothing new.
    """
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
    platform.set_title("node")
    tls.trust(ca_file or "")
    terms = Terms(
        node_id=_node_id(node_id),
        ollama_url=ollama_url(ollama_host or ""),
        router_url=router_address(router_url) if router_url else "",
        interval_s=interval_s,
        wake=parse_wake(lent["wake"]),
        relay=relay,
    )
    machine = machine_facts()
    wishes = _wishes(lent)
    past = Past(DataDir(Path(lent["data_dir"])).root / f"owner-{terms.node_id}.json")
    lend = lending(wishes, past if wishes.spare else None)
    keys = Keypair(DataDir(Path(lent["data_dir"])).node_key, join_token=join_token)
    if rotate_key:
        keys.rotate()
    click.echo(banner(terms, machine, wishes, keys))
    agent = Agent(terms, machine, Search(_browse, say), say, lend, keys=keys)
    platform.run_loop(_live(agent), fast=False)


def banner(terms: Terms, machine: NodeFacts, wishes: Wishes, keys: Keypair) -> str:
    """Return what a starting agent says of itself."""
    parts = [machine.chip, f"{machine.cores} cores", f"{machine.memory_bytes / GIB:.0f} GiB"]
    if machine.unified_memory:
        parts.append(f"{machine.vram_bytes / GIB:.0f} GiB of it for the GPU")
    elif machine.vram_bytes:
        parts.append(f"GPU {machine.vram_bytes / GIB:.0f} GiB")
    return "\n".join(
        [
            f"{click.style(f'herd node {terms.node_id}', bold=True)}  {version()}",
            f"  Ollama    {terms.ollama_url}",
            f"  balancer  {terms.router_url or 'whichever is found on this network'}",
            f"  machine   {', '.join(part for part in parts if part)}",
            f"  key       {_key(keys)}",
            *(f"  lent      {', '.join(lent)}" for lent in [_lent(wishes, terms.wake)] if lent),
        ]
    )


def _key(keys: Keypair) -> str:
    """Return the fingerprint that the balancer's operator sees, and which one it replaces."""
    if not keys.next_public:
        return fingerprint(keys.public)
    return (
        f"{fingerprint(keys.next_public)}, in the place of {fingerprint(keys.public)} "
        "once the balancer has taken it"
    )


def _lent(wishes: Wishes, wake: Wake) -> list[str]:
    """Return what the owner has said, in a few words each."""
    return [
        words
        for said, words in (
            (wishes.hours is not None, wishes.hours.text if wishes.hours else ""),
            (wishes.max_requests, f"at most {wishes.max_requests} requests at once"),
            (wishes.max_bytes, f"models of {wishes.max_bytes / GB:g} GB together"),
            (wishes.spare, "while its owner does not use it"),
            (wake, "woken when it sleeps and is needed"),
        )
        if said
    ]


def _wishes(lent: Lent) -> Wishes:
    return Wishes(
        hours=parse_hours(lent["hours"]) if lent["hours"] else None,
        max_requests=lent["max_requests"] or 0,
        max_bytes=int((lent["max_memory_gb"] or 0.0) * GB),
        spare=bool(lent["spare"]),
        busy_pct=lent["busy_pct"],
        away_s=lent["away_s"],
    )


def say(line: str) -> None:
    """Write a line about a change; some of its words may come from the network."""
    click.echo(f"herd node: {printable(line)}", err=True)


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
