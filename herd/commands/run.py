"""`herd run`: the balancer, in the foreground, until a signal."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec

from herd.config import Settings, load, variable
from herd.http import tls
from herd.http.client import FetchError, fetch
from herd.http.gate import trusted_networks, trusted_proxies
from herd.interfaces import own_addresses
from herd.node_address import NodeAddress, parse_nodes, refuse_itself
from herd.paths import DataDir, default_data_dir
from herd.processes.balancer import run_balancer
from herd.processes.composition import compose
from herd.processes.local_node import with_local_ollama
from herd.processes.reloading import Source
from herd.processes.run_file import local_url
from herd.processes.supervisor import Errand, Watch
from herd.services.asked import BALANCER
from herd.services.command import Serviced
from herd.settings_file import Variables, remarks
from herd.version import version

NO_NODE_AFTER_S = 30.0
SLOW_START_S = 10.0
PATIENCE_S = 1.0

_log = logging.getLogger("herd.run")


class _Fleet(msgspec.Struct):
    nodes_total: int


class _Status(msgspec.Struct):
    fleet: _Fleet


def _settings(given: dict[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings with these options; raises what would keep herd from running so."""
    settings = load(_flags(given), environment)
    refuse_itself(settings.nodes, settings.port)
    trusted_networks(settings)
    trusted_proxies(settings)
    tls.renewal(settings)
    tls.believe(settings)
    return settings


def _check(given: dict[str, Any]) -> float:
    """Return how long requests have to end, if herd could run so as a service."""
    named = given["data_dir"]
    directory = DataDir(Path(named)) if named else default_data_dir()
    told = Variables(directory, dict(os.environ)).again()
    return _settings(given, told).drain_timeout_s


def _flags(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the settings that options decide."""
    named = {name: value for name, value in given.items() if name not in {"node", "no_mdns"}}
    nodes, mdns = parse_nodes(given["node"]) or None, False if given["no_mdns"] else None
    named |= {"nodes": nodes, "mdns": mdns}
    return {name: value for name, value in named.items() if value is not None}


@click.command(cls=Serviced, kind=BALANCER, check=_check)
@click.option("--host", help="The address to listen on; all interfaces unless you say otherwise.")
@click.option("--port", type=int, help="The port to listen on (11435).")
@click.option("--node", multiple=True, metavar="URL[,slots=N]", help="An Ollama without agent.")
@click.option("--workers", type=int, help="Front processes; 0 runs all in one process.")
@click.option("--data-dir", help="Where everything is kept (~/.fleet-manager).")
@click.option("--log-level", help="debug, info, warning or error.")
@click.option("--policy", help="How a node is chosen: soonest unless you say otherwise.")
@click.option("--tls-cert", metavar="FILE", help="Speak https, with this certificate (PEM).")
@click.option("--tls-key", metavar="FILE", help="Its key, if that is in another file.")
@click.option(
    "--drain-timeout",
    "drain_timeout_s",
    type=float,
    metavar="SECONDS",
    help="What requests get to end in, at a stop (4).",
)
@click.option("--no-mdns", is_flag=True, help="Do not advertise the balancer on the network.")
@click.option("--replace", is_flag=True, help="Take the place of the one that runs.")
def command(*, replace: bool, **given: Any) -> None:  # noqa: ANN401 (of the options' types)
    """Run the balancer (what `herd` alone does).

    With --replace a new version, or other settings, take over from the herd that runs on this data
    directory: no client is refused, and what has begun is finished by the old one. If this one
    cannot start, the old one goes on.
    """
    named = given["data_dir"]
    directory = DataDir(Path(named)) if named else default_data_dir()
    variables = Variables(directory, os.environ)
    settings = _settings(given)

    def read() -> Settings:
        return _settings(given, variables.again())

    def said() -> list[str]:
        found = [*remarks(variables.names), *variables.overruled(map(variable, _flags(given)))]
        return [f"{directory.settings_file}: {each}" for each in found]

    for line in said():
        say(line)
    source = Source(with_local_ollama(settings), read, variables.own, said)
    run_balancer(source, compose, watch, say, replace=replace)


def watch(settings: Settings) -> Watch:
    """Return what to tell the person at the terminal, and when."""
    up = False

    def all_ready() -> None:
        nonlocal up
        up = True
        _write(banner(settings, _known(settings)), err=False)

    def slow_start() -> None:
        if not up:
            say(f"still starting; the log file says more: {settings.directory.jsonl}")

    def no_node() -> None:
        if up and _nodes(settings) == 0:
            say("no node yet: run `herd node` on a machine with Ollama, or `--node URL`")

    errands = (Errand(SLOW_START_S, slow_start), Errand(NO_NODE_AFTER_S, no_node))
    return Watch(say, _ignore, all_ready, errands)


def say(line: str) -> None:
    """Write a line about the running herd, for the terminal and the log file."""
    _log.info("%s", line)
    _write(f"herd: {line}", err=True)


def _write(text: str, *, err: bool) -> None:
    """Write to the terminal, if it is still there: a herd does not end because it has gone."""
    with contextlib.suppress(OSError):
        click.echo(text, err=err)


def banner(settings: Settings, known: int = 0) -> str:
    """Return what a running herd says of itself: where it is, and how to use it.

    `known` are the nodes that it has not been told of now, but knows from its log.
    """
    here = _here(settings)
    nodes = [_describe(node) for node in settings.nodes]
    if known:
        nodes.append(f"{known} known from before: online as soon as their agents are heard")
    lines = [
        f"{click.style(f'herd {version()}', bold=True)}  {here}",
        f"  data     {settings.directory.root}",
        f"  nodes    {', '.join(nodes) or 'none yet: `herd node` on a machine with Ollama'}",
        f"  Ollama   OLLAMA_HOST={here.removeprefix('http://')} ollama run MODEL",
        f'  OpenAI   base_url="{here}/v1"',
        f"  look     {here}/dashboard, herd status, herd log -f",
    ]
    if settings.host in {"", "0.0.0.0", "::"} and (lan := _lan_address()):  # noqa: S104 (asked)
        lines.insert(1, f"  network  {urlsplit(here).scheme}://{lan}:{settings.port}")
    if settings.directory.beside_ollama_herd:
        lines.append(f"  log      {settings.directory.jsonl} (herd.jsonl is ollama-herd's)")
    return "\n".join(lines)


def _describe(node: NodeAddress) -> str:
    notes = ["this machine"] if node.origin == "local" else []
    if node.slots:
        notes.append(f"{node.slots} slots")
    return f"{node.url} ({', '.join(notes)})" if notes else node.url


def _lan_address() -> str:
    """Return this machine's address in its network, as the routes have it; sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))
        except OSError:
            others = [f"[{each}]" for each in own_addresses() if ":" in each]
            return others[0] if others else ""
        return str(probe.getsockname()[0])


def _here(settings: Settings) -> str:
    """Return where this herd is for programs on this machine, which know its certificate."""
    here = local_url(settings.host, settings.port, secure=bool(settings.tls_cert))
    if settings.tls_cert:
        tls.pin(here, settings.tls_cert)
    return here


def _known(settings: Settings) -> int:
    """Return how many nodes are known beside those that are named."""
    return max(0, (_nodes(settings) or 0) - len(settings.nodes))


def _nodes(settings: Settings) -> int | None:
    """Return how many nodes the running herd knows; None if it does not say."""
    url = f"{_here(settings)}/fleet/status"
    try:
        answer = asyncio.run(fetch("GET", url, timeout_s=PATIENCE_S))
        return msgspec.json.decode(answer.body, type=_Status).fleet.nodes_total
    except (FetchError, msgspec.MsgspecError):
        return None


def _ignore(_pids: dict[str, int]) -> None:
    """Leave the pids to `run/herd.json`."""
