"""A herd, its nodes and their agents: real processes, each of which can be killed and stopped.

alpha and beta are named (`--node`), gamma and delta are spoken for by an agent. Whatever is killed
comes back: herd's children by its supervisor, everything else by hand.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from herd.processes import run_file
from herd.simulator.fleet import NodeOrder, NodeProcess, start_node
from herd.tasks import spawn
from tests.chaos.disk import Disk
from tests.chaos.running import Herd

NAMED = {"alpha": ",slots=8", "beta": ""}
"""Beta's slots have to be learned."""
WITH_AGENTS = ("gamma", "delta")
SETTINGS = {
    "FLEET_HOLD_TIMEOUT": "5",
    "FLEET_QUEUE_TIMEOUT": "20",
    "FLEET_STALE_TIMEOUT": "10",
    "FLEET_STALL_TIMEOUT": "5",
    "FLEET_HEARTBEAT_TIMEOUT": "3",
    "FLEET_HEARTBEAT_OFFLINE": "6",
    "FLEET_MAX_RETRIES": "2",
}
AGAIN_S, KEPT_S = 1.0, 30.0
"""Between two looks whether it began, and how long for: what it stands on may be away so long."""
LONGEST_S = 5.0 + 20.0 + 3 * 10.0 + 10.0
"""No request may take longer by these settings: held, queued, three silent nodes, and some air."""


@dataclass
class Trouble:
    """Something that went wrong, from when to when by the monotonic clock."""

    name: str
    began_s: float
    ended_s: float = float("inf")


@dataclass
class World:
    """All of it, and what has been done to it."""

    folder: Path
    port: int
    disk: Disk
    clock: Path
    """The file that says how far everybody's clock is off."""
    kills: Counter[str] = field(default_factory=Counter[str])
    troubles: list[Trouble] = field(default_factory=list[Trouble])
    peaks: dict[str, int] = field(default_factory=dict[str, int])
    """The most memory that each kind of process had, in bytes."""
    policies: list[str] = field(default_factory=list[str])
    nodes: dict[str, NodeProcess] = field(default_factory=dict[str, NodeProcess])
    agents: dict[str, "subprocess.Popen[bytes]"] = field(
        default_factory=dict[str, subprocess.Popen[bytes]]
    )
    stopping: bool = False

    def __post_init__(self) -> None:
        """Have a herd that was not started yet."""
        self.herd = Herd(self.disk.data, [], port=self.port)
        self._one = asyncio.Lock()
        """Held by who starts or stops herd: else its keeper could start one that nobody knows."""

    # Life

    async def start(self) -> None:
        """Start nodes, herd and agents."""
        for name in (*NAMED, *WITH_AGENTS):
            await self.start_node(name)
        await self.start_herd("soonest")
        for name in WITH_AGENTS:
            self.start_agent(name)
        await self.herd.ready(len(self.nodes), timeout_s=60.0)

    async def stop(self) -> None:
        """End everything in good order; whoever was stopped goes on first."""
        for pid in self.pids().values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        for agent in self.agents.values():
            agent.kill()
            agent.wait()
        try:
            async with self._one:
                await asyncio.to_thread(self.herd.stop)
        finally:
            await asyncio.gather(*(node.stop() for node in self.nodes.values()))

    async def start_herd(self, policy: str, *, stops: bool = False) -> None:
        """Start `herd run`, on what the one before has left; with `stops`, end that one first."""
        self.policies.append(policy)
        told = {"FLEET_POLICY": policy, "PYTHONPATH": self._path(), "CHAOS_CLOCK": str(self.clock)}
        async with self._one:
            if stops:
                await asyncio.to_thread(self.herd.stop)
            before, self.herd = (
                self.herd,
                Herd(
                    self.disk.data,
                    [f"{self.nodes[name].url},name={name}{more}" for name, more in NAMED.items()],
                    port=self.port,
                    workers=2,
                    environment=SETTINGS | told,
                    before=self.disk.before,
                ),
            )
            await asyncio.to_thread(before.buried)
            await asyncio.to_thread(self.herd.start)
        spawn(self._keep(self.herd), name="keeper")

    async def _keep(self, herd: Herd) -> None:
        """Start it again if it could not even begin, as a service manager would."""
        for _ in range(round(KEPT_S / AGAIN_S)):
            await asyncio.sleep(AGAIN_S)
            async with self._one:
                if self.stopping or herd is not self.herd:
                    return
                if herd.ended:
                    await asyncio.to_thread(herd.start)

    async def start_node(self, name: str) -> None:
        """Start a node, at its old address if it had one."""
        old = self.nodes.get(name)
        port = int(old.url.rpartition(":")[2]) if old is not None else 0
        order = NodeOrder(profile="ideal", name=name, port=port, step_s=0.005, parallel=16)
        self.nodes[name] = await start_node(order)

    def start_agent(self, name: str) -> None:
        """Start the agent of a node."""
        words = ["--router-url", f"http://127.0.0.1:{self.port}", "--node-id", name]
        words += ["--ollama-host", self.nodes[name].url, "--heartbeat-interval", "1"]
        words += ["--data-dir", str(self.folder / name)]
        told = {"PYTHONPATH": self._path(), "CHAOS_CLOCK": str(self.clock)}
        with (self.folder / f"{name}.out").open("ab") as output:
            self.agents[name] = subprocess.Popen(
                [sys.executable, "-m", "herd", "node", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | told | {"OLLAMA_NUM_PARALLEL": "8"},
            )

    @staticmethod
    def _path() -> str:
        """Return a PYTHONPATH on which the processes find their clock."""
        here = str(Path(__file__).parent / "clock")
        return os.pathsep.join(word for word in (here, os.environ.get("PYTHONPATH", "")) if word)

    # Who there is

    def of_herd(self) -> dict[str, psutil.Process]:
        """Return herd's living processes by their names; never one that only has the same pid."""
        found = run_file.read(self.herd.directory)
        return {} if found is None else run_file.living(found)

    def pids(self) -> dict[str, int]:
        """Return everybody: herd's processes, nodes and agents."""
        agents = {f"agent {name}": it.pid for name, it in self.agents.items() if it.poll() is None}
        nodes = {f"node {name}": it.pid for name, it in self.nodes.items() if it.running}
        return {name: it.pid for name, it in self.of_herd().items()} | agents | nodes

    def weigh(self) -> None:
        """Note how much memory everybody has."""
        for name, pid in self.pids().items():
            with suppress(psutil.Error):
                kind, rss = name.split()[0], psutil.Process(pid).memory_info().rss
                self.peaks[kind] = max(self.peaks.get(kind, 0), rss)

    # What happens

    @contextmanager
    def trouble(self, name: str) -> Generator[Trouble]:
        """Note that something goes wrong, for as long as it does."""
        noted = Trouble(name, time.monotonic())
        self.troubles.append(noted)
        try:
            yield noted
        finally:
            noted.ended_s = time.monotonic()

    def kill(self, name: str, process: psutil.Process) -> bool:
        """Kill -9; return whether it was there."""
        with self.trouble(f"kill {name}"):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                return False
        self.kills[name.partition(" ")[0]] += 1
        return True
