"""The demo, in start order: balancer, traffic, picture; then back.

Nodes and balancer are processes of their own, so that any of them can be killed while it runs. The
balancer is a plain `herd run`; what the picture shows comes from its API and its journal.
"""

import asyncio
import contextlib
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator

import msgspec
from rich.console import Console
from rich.live import Live

from herd import platform
from herd.config import Settings
from herd.demo.recent import Recent
from herd.demo.screen import Status, hints, picture
from herd.errors import HerdError
from herd.http.client import FetchError, fetch
from herd.processes.renewing import DEMO
from herd.processes.run_file import local_url
from herd.simulator.fleet import NodeProcess
from herd.simulator.workload import Workload
from herd.tasks import spawn

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 12.0
REFRESH_S = 0.5
PLAIN_EVERY_S = 5.0
SHOWN_REQUESTS = 12
OK = 200


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo is to do."""

    settings: Settings
    title: str
    """First line of the screen; says what the nodes are."""
    model: str
    """What the examples on the screen ask for,"""
    route: str
    """and by which route."""
    workload: Workload | None
    seconds: float
    """How long; 0 means until Ctrl-C."""


class Outcome(msgspec.Struct):
    """What a demo saw."""

    url: str
    completed: int
    failed: int
    events: int


async def run_demo(plan: Plan, nodes: list[NodeProcess], console: Console) -> Outcome:
    """Run until Ctrl-C, the time is up, or the balancer ends."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: KeyboardInterrupt does it
            loop.add_signal_handler(number, ended.set)
    url = local_url("localhost", plan.settings.port)
    recent = Recent(plan.settings.directory.journal)
    async with _balancer(plan.settings, nodes, url) as process:
        tasks = [spawn(_watch(process, ended), name="balancer")]
        if plan.workload is not None:
            tasks.append(spawn(plan.workload.run(), name="traffic"))
        try:
            await _show(plan, url, recent, console, ended)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if process.returncode:
            raise await _why(process)
    recent.refresh()
    return Outcome(url, recent.completed, recent.failed, recent.events)


@contextlib.asynccontextmanager
async def _balancer(
    settings: Settings, nodes: list[NodeProcess], url: str
) -> AsyncGenerator[Process]:
    arguments = ["--host", settings.host, "--port", str(settings.port), "--no-mdns"]
    arguments += ["--data-dir", settings.data_dir, "--workers", str(settings.workers)]
    for node in nodes:
        arguments += ["--node", f"{node.url},name={node.name}"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "herd", "run", *arguments),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        start_new_session=True,
        preexec_fn=platform.die_with_parent if platform.HAS_UNIX_SOCKETS else None,
        env={**os.environ, "FLEET_LOCAL_OLLAMA": "off", DEMO: "1"},
    )
    try:
        await _ready(process, url, nodes)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.communicate(), STOP_TIMEOUT_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _ready(process: Process, url: str, nodes: list[NodeProcess]) -> None:
    """Wait until this balancer, and no other at its address, has every node online."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + START_TIMEOUT_S
    while loop.time() < ends_at:
        if process.returncode is not None:
            raise await _why(process)
        status = await _status(url)
        online = {node.ollama_url for node in status.nodes if node.status == "online"}
        if online >= {node.url for node in nodes}:
            return
        await asyncio.sleep(0.1)
    raise HerdError(f"the balancer at {url} did not become ready in {START_TIMEOUT_S:.0f} s")


async def _why(process: Process) -> HerdError:
    """Return why the balancer ended, as it said itself."""
    said = await process.stderr.read() if process.stderr is not None else b""
    return last_words(said.decode(errors="replace"))


def last_words(said: str) -> HerdError:
    """Return the last error of what `herd run` said, without its mark, for who runs a demo."""
    last = re.split(r"^(?:herd|Error): ", said, flags=re.MULTILINE)[-1]
    what, _, next_step = last.strip().partition("\n")
    return HerdError(
        what or "the balancer ended, and did not say why",
        next_step.strip().replace("herd run", "herd demo"),
    )


async def _watch(process: Process, ended: asyncio.Event) -> None:
    await process.wait()
    ended.set()


async def _show(
    plan: Plan, url: str, recent: Recent, console: Console, ended: asyncio.Event
) -> None:
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + plan.seconds if plan.seconds else float("inf")
    live = (
        Live(console=console, auto_refresh=False, transient=False) if console.is_terminal else None
    )
    if live is None:
        console.print(
            "\n".join((f"{plan.title}   {url}", *hints(url, plan.model, plan.route))),
            soft_wrap=True,
        )
    with live or contextlib.nullcontext():
        while not ended.is_set() and loop.time() < ends_at:
            recent.refresh()
            counts = (
                f"{recent.completed} answered, {recent.failed} failed, {recent.events:,} events"
            )
            if live is not None:
                rows = list(recent.rows.values())[-SHOWN_REQUESTS:][::-1]
                title = f"{plan.title}   {url}   (Ctrl-C ends it)"
                drawn = picture(
                    title, await _status(url), rows, counts, hints(url, plan.model, plan.route)
                )
                live.update(drawn, refresh=True)
            else:
                console.print(counts)
            pause_s = min(REFRESH_S if live is not None else PLAIN_EVERY_S, ends_at - loop.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), max(0.05, pause_s))


async def _status(url: str) -> Status:
    try:
        answer = await fetch("GET", f"{url}/fleet/status", timeout_s=1.0)
        return msgspec.json.decode(answer.body, type=Status)
    except (FetchError, msgspec.MsgspecError):
        return Status()
