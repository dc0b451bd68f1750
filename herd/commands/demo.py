"""`herd demo`: the whole thing on one machine, without a GPU and without Ollama."""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import click
from rich.console import Console

from herd.config import load
from herd.demo.demo import Outcome, Plan, run_demo
from herd.demo.screen import MODEL
from herd.finite import Finite
from herd.processes.port import claim
from herd.processes.run_file import local_url
from herd.real.node import MODEL as REAL_MODEL
from herd.real.orders import REAL_MIX, REAL_ORDERS
from herd.simulator.fleet import SimulatedFleet, demo_orders
from herd.simulator.workload import CHAT, MIX, OPENAI_CHAT, Workload
from herd.version import version

SIMULATED_PER_S = 3.0
REAL_PER_S = 0.5
REAL_TOKENS = 48
"""A real model on a processor is slow: answers are kept short."""


@click.command("demo")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=11435,
    show_default=True,
    help="The port to listen on; 0 takes a free one.",
)
@click.option(
    "--workers", type=click.IntRange(min=0), help="Front processes; 0 runs all in one process."
)
@click.option("--data-dir", help="Keep the log here; else it is temporary.")
@click.option("--real", is_flag=True, help="Two nodes with a real small model (make real).")
@click.option("--rate", type=Finite(min=0), help="Sample requests a second; 0 sends none.")
@click.option(
    "--time-scale",
    type=Finite(min=0, min_open=True),
    default=4.0,
    show_default=True,
    help="Of simulated time.",
)
@click.option("--seconds", type=Finite(min=0), default=0.0, help="End by itself after so long.")
def command(  # noqa: PLR0913 (one parameter an option)
    *,
    host: str,
    port: int,
    workers: int | None,
    data_dir: str | None,
    real: bool,
    rate: float | None,
    time_scale: float,
    seconds: float,
) -> None:
    """Run a balancer, three simulated nodes and sample traffic, and watch.

    Nothing is needed: no network, no GPU, no Ollama. The nodes are simulated, and every answer
    says so. With --real, two nodes run a real small language model instead.
    """
    console = Console()
    port = port or _free_port(host)
    with _directory(data_dir) as directory:
        given = {"host": host, "port": port, "workers": workers, "data_dir": directory}
        settings = load({name: value for name, value in given.items() if value is not None})
        asked_per_s = rate if rate is not None else REAL_PER_S if real else SIMULATED_PER_S
        url = local_url("localhost", port)
        plan = Plan(
            settings=settings,
            title=f"herd {version()} demo, {'real' if real else 'simulated'} nodes",
            model=REAL_MODEL if real else MODEL,
            route=OPENAI_CHAT if real else CHAT,
            workload=Workload(
                url,
                per_s=asked_per_s,
                mix=REAL_MIX if real else MIX,
                tokens=REAL_TOKENS if real else 0,
            )
            if asked_per_s
            else None,
            seconds=seconds,
        )
        outcome = asyncio.run(_run(plan, console, time_scale=time_scale, real=real))
        kept = f"; the log is kept in {directory}" if data_dir else ""
        console.print(
            f"\n{outcome.completed} requests answered, {outcome.failed} failed, "
            f"{outcome.events} events recorded{kept}",
            soft_wrap=True,
        )
    if seconds and asked_per_s and not outcome.completed:
        sys.exit(1)


async def _run(plan: Plan, console: Console, *, time_scale: float, real: bool) -> Outcome:
    orders = REAL_ORDERS if real else demo_orders(time_scale)
    async with SimulatedFleet(orders) as fleet:
        return await run_demo(plan, fleet.nodes, console)


def _free_port(host: str) -> int:
    free = claim(host, 0, 1)
    free.release()
    return free.port


@contextlib.contextmanager
def _directory(data_dir: str | None) -> Generator[str]:
    if data_dir is not None:
        yield str(Path(data_dir).expanduser())
        return
    with tempfile.TemporaryDirectory(prefix="herd-demo-", ignore_cleanup_errors=True) as directory:
        yield directory
