"""What goes wrong: hands that each do one thing after another, beside each other.

Each hand has a deck of deeds, shuffled, and deals it again when it is empty: so each deed comes
about as often as it is in the deck, in no order.
"""

import asyncio
import contextlib
import os
import random
import signal
import struct
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import psutil

from actors.core.policies import POLICIES
from herd.http.client import FetchError, fetch
from herd.simulator.faults import Fault
from tests.chaos.clients import recovered
from tests.chaos.world import World

Deed: TypeAlias = Callable[[], Awaitable[None]]

RECOVERS_WITHIN_S = 60.0
NODE_FAULTS = (
    Fault(kind="freeze", for_s=2.0),
    Fault(kind="deadlock", for_s=3.0),
    Fault(kind="refuse", for_s=2.0),
    Fault(kind="error", count=30, for_s=2.0),
    Fault(kind="die", after_tokens=1, for_s=1.5),
    Fault(kind="die", after_tokens=0, for_s=1.5),
    Fault(kind="garbage", count=20, for_s=2.0),
    Fault(kind="slow", factor=10.0, for_s=3.0),
)


@dataclass(frozen=True)
class Pace:
    """How fast it goes, and how long things last; in seconds."""

    herd_s: float
    """Between two deaths in herd's family."""
    nodes_s: float
    weather_s: float
    ground_s: float
    longest_stop_s: float
    """The longest that a single process is stopped, and that everything is, once in a deck."""
    full_s: float
    """How long the disk is full."""


@dataclass
class Troubles:
    """Everything that is done to one world, until it is enough."""

    world: World
    chance: random.Random
    pace: Pace
    enough: Callable[[], bool]
    recoveries: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    """Seconds from each death to the first answer for who asks from then on, by who died."""
    failed: list[str] = field(default_factory=list[str])
    """Deeds that raised."""
    slow: list[str] = field(default_factory=list[str])
    """Deaths after which nobody was answered in time."""

    async def run(self) -> None:
        """Let everything happen."""
        await asyncio.gather(
            self._hand(self.pace.herd_s, self._herd_deck()),
            self._hand(self.pace.nodes_s, self._nodes_deck()),
            self._hand(self.pace.weather_s, self._weather_deck()),
            self._hand(self.pace.ground_s, self._ground_deck()),
        )

    async def _hand(self, every_s: float, deck: Iterable[Deed]) -> None:
        deeds, left = list(deck), list[Deed]()
        while not self.enough():
            await asyncio.sleep(every_s * (0.5 + self.chance.random()))
            left = left or self.chance.sample(deeds, len(deeds))
            try:
                await left.pop()()
            except Exception as error:  # noqa: BLE001 (a deed that fails is a finding, not the end)
                self.failed.append(f"{error!r}, {self._under_way()}")
            self.world.weigh()

    # Deaths in herd's family

    def _herd_deck(self) -> list[Deed]:
        names = ["control"] * 4 + ["front"] * 4 + ["logd"] * 3
        return [
            *(self._killing(name) for name in names),
            lambda: self._start_again("supervisor"),
            lambda: self._start_again("all"),
            self._stop_and_start,
        ]

    def _killing(self, kind: str) -> Deed:
        async def kill() -> None:
            found = {n: p for n, p in self.world.of_herd().items() if n.startswith(kind)}
            if found:
                name = self.chance.choice(sorted(found))
                if self.world.kill(name, found[name]):
                    await self._recovery(kind)

        return kill

    async def _start_again(self, who: str) -> None:
        """Kill the supervisor, or herd as a whole, and start it with the next policy."""
        found = self.world.of_herd()
        victims = {n: p for n, p in found.items() if who in {"all", n}}
        for name, process in victims.items():
            self.world.kill(name, process)
        if victims:
            await self._next_life(who)

    async def _stop_and_start(self) -> None:
        with self.world.trouble("stop herd"):
            await self._next_life("stop herd", stops=True)

    async def _next_life(self, why: str, *, stops: bool = False) -> None:
        names = list(POLICIES)
        policy = names[len(self.world.policies) % len(names)]
        await self.world.start_herd(policy, stops=stops)
        await self._recovery(why)

    async def _recovery(self, who: str) -> None:
        within_s = RECOVERS_WITHIN_S + self.pace.longest_stop_s
        took_s = await recovered(self.world.port, within_s, lambda: not self.enough())
        if took_s is not None:
            self.recoveries.setdefault(who, []).append(took_s)
        elif not self.enough():
            self.slow.append(f"{who}, {self._under_way()}")

    def _under_way(self) -> str:
        names = [each.name for each in self.world.troubles if each.ended_s == float("inf")]
        return f"during {', '.join(names)}" if names else "though nothing else was wrong"

    # Nodes and agents

    def _nodes_deck(self) -> list[Deed]:
        return [self._kill_node, self._kill_node, self._kill_agent, self._drain]

    async def _kill_node(self) -> None:
        name = self.chance.choice(sorted(self.world.nodes))
        node = self.world.nodes[name]
        with self.world.trouble(f"node {name} is gone"):
            self.world.kill(f"node {name}", psutil.Process(node.pid))
            await node.ended()
            await asyncio.sleep(self.chance.random())
            await self.world.start_node(name)

    async def _kill_agent(self) -> None:
        name = self.chance.choice(sorted(self.world.agents))
        agent = self.world.agents[name]
        with self.world.trouble(f"agent {name} is gone"):
            if (code := agent.poll()) is not None:
                self.failed.append(f"agent {name} had ended, with {code}, {self._under_way()}")
            else:
                self.world.kill(f"agent {name}", psutil.Process(agent.pid))
                agent.wait()
            await asyncio.sleep(self.chance.random())
            self.world.start_agent(name)

    async def _drain(self) -> None:
        name = self.chance.choice(sorted(self.world.nodes))
        with self.world.trouble(f"node {name} is drained"):
            for draining in ("true", "false"):
                body = f'{{"node_id": "{name}", "draining": {draining}}}'.encode()
                for _ in range(20):  # a drained node must not be forgotten so
                    with contextlib.suppress(FetchError):
                        url = f"{self.world.herd.url}/fleet/drain"
                        answer = await fetch("POST", url, body=body, timeout_s=5.0)
                        if answer.status < 500:
                            break
                    await asyncio.sleep(0.5)
                await asyncio.sleep(1.0)

    # Weather: what passes by itself

    def _weather_deck(self) -> list[Deed]:
        faults = [self._fault_of(fault) for fault in NODE_FAULTS]
        kinds = ("front", "control", "logd", "supervisor", "agent", "node")
        return [*faults, *(self._stopping(kind) for kind in kinds)]

    def _fault_of(self, fault: Fault) -> Deed:
        async def happen() -> None:
            node = self.world.nodes[self.chance.choice(sorted(self.world.nodes))]
            with self.world.trouble(f"{fault.kind} at node {node.name}"):
                with contextlib.suppress(OSError):
                    node.fault(fault)
                await asyncio.sleep(fault.for_s)

        return happen

    def _stopping(self, kind: str) -> Deed:
        async def stop() -> None:
            found = {n: p for n, p in self.world.pids().items() if n.startswith(kind)}
            if found:
                name = self.chance.choice(sorted(found))
                seconds = 0.5 + self.chance.random() * 3.0
                await self._stopped({name: found[name]}, seconds, name)

        return stop

    async def _stopped(self, pids: dict[str, int], seconds: float, what: str) -> None:
        """Stop processes for a while (SIGSTOP), then let them go on."""
        processes: list[psutil.Process] = []
        with self.world.trouble(f"stop {what}"):
            for pid in pids.values():
                with contextlib.suppress(psutil.Error):
                    process = psutil.Process(pid)
                    process.suspend()
                    processes.append(process)
            try:
                await asyncio.sleep(seconds)
            finally:
                for process in processes:
                    with contextlib.suppress(psutil.Error):
                        process.resume()

    # Ground: what everything stands on

    def _ground_deck(self) -> list[Deed]:
        return [
            self._disk_full,
            self._disk_full,
            self._read_only,
            self._damage,
            self._clock_jumps,
            self._clock_jumps,
            self._everything_stops,
            self._long_stop,
        ]

    async def _everything_stops(self) -> None:
        await self._stopped(self.world.pids(), self.pace.longest_stop_s, "everything")

    async def _long_stop(self) -> None:
        name = self.chance.choice(sorted(self.world.of_herd()) or ["nobody"])
        found = {n: p for n, p in self.world.pids().items() if n == name}
        await self._stopped(found, self.pace.longest_stop_s, name)

    async def _disk_full(self) -> None:
        with self.world.trouble("full disk"):
            with self.world.disk.full(self.world.of_herd()):
                for _ in range(round(self.pace.full_s / 0.2)):
                    await asyncio.sleep(0.2)
                    self.world.disk.fill_again()
            await self._recording_again()

    async def _read_only(self) -> None:
        """Let the folders be read-only while control and logd start anew."""
        with self.world.trouble("read-only"):
            with self.world.disk.read_only():
                for kind in ("control", "logd"):
                    if (process := self.world.of_herd().get(kind)) is not None:
                        self.world.kill(kind, process)
                await asyncio.sleep(self.pace.full_s)
            await self._recording_again()

    async def _recording_again(self) -> None:
        """Wait until what happens is written down again."""
        began_s = time.monotonic()
        while not self.enough():
            with contextlib.suppress(FetchError):
                answer = await fetch("GET", f"{self.world.herd.url}/readyz", timeout_s=2.0)
                if b'"recording":true' in answer.body:
                    took_s = time.monotonic() - began_s
                    self.recoveries.setdefault("recording", []).append(took_s)
                    await asyncio.sleep(1.0)
                    return
            await asyncio.sleep(0.1)
            if time.monotonic() - began_s > RECOVERS_WITHIN_S + self.pace.longest_stop_s:
                self.slow.append(f"recording, {self._under_way()}")
                return

    async def _damage(self) -> None:
        """Kill logd, and scribble over what its database had not checkpointed yet."""
        with self.world.trouble("damaged WAL"):
            if (logd := self.world.of_herd().get("logd")) is None:
                return
            os.kill(logd.pid, signal.SIGSTOP)
            database = self.world.herd.directory.database
            wal = database.with_name(f"{database.name}.wal")
            for _ in range(50):  # right after a checkpoint there is none
                if wal.exists() and wal.stat().st_size > 64:
                    break
                os.kill(logd.pid, signal.SIGCONT)
                await asyncio.sleep(0.05)
                os.kill(logd.pid, signal.SIGSTOP)
            with contextlib.suppress(OSError), wal.open("r+b") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(self.chance.randrange(max(1, size)))
                file.write(self.chance.randbytes(64))
                if self.chance.random() < 0.5:
                    file.truncate(self.chance.randrange(max(1, size)))
            self.world.kill("logd", logd)

    async def _clock_jumps(self) -> None:
        """Move everybody's clock; so that it is read anew, kill control."""
        off_s = self.chance.choice((-3600.0, 3600.0, -20.0, 20.0, 0.0))
        with self.world.trouble(f"clock off by {off_s:g} s"):
            self.world.clock.write_bytes(struct.pack("d", off_s))
            if (control := self.world.of_herd().get("control")) is not None:
                self.world.kill("control", control)
                await self._recovery("control")
