"""The soak: everything goes wrong at once, for minutes or for an hour, and must come out right."""

import asyncio
import random
import shutil
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from herd.http.client import FetchError, fetch
from herd.tasks import spawn
from tests.chaos.clients import Crowd
from tests.chaos.disk import Disk
from tests.chaos.rude import Rude
from tests.chaos.troubles import Pace, Troubles
from tests.chaos.verdict import Verdict, judge
from tests.chaos.world import World

CALM_S = 8.0
"""After the last trouble, before slots are counted."""
LINE_S = 30.0


@dataclass(frozen=True)
class Size:
    """How much of it."""

    kills: int
    most_s: float
    """After so long it is enough, however many were killed."""
    least_s: float
    clients: int
    connections: int
    """At once, in the flood."""
    disk_bytes: int
    pace: Pace


SHORT = Size(
    kills=100,
    most_s=300.0,
    least_s=80.0,
    clients=16,
    connections=500,
    disk_bytes=400 << 20,
    pace=Pace(herd_s=0.5, nodes_s=0.7, weather_s=1.5, ground_s=4.0, longest_stop_s=6.0, full_s=3.0),
)
LONG = Size(
    kills=1000,
    most_s=3600.0,
    least_s=3000.0,
    clients=24,
    connections=5000,
    disk_bytes=2 << 30,
    pace=Pace(
        herd_s=2.5, nodes_s=4.0, weather_s=3.0, ground_s=20.0, longest_stop_s=60.0, full_s=10.0
    ),
)


@dataclass
class Soak:
    """One run, and what was found."""

    folder: Path
    size: Size
    seed: int
    port: int
    leaks: list[str] = field(default_factory=list[str])
    took_s: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)

    async def run(self) -> Verdict:
        """Run all of it and judge; raises nothing for what it finds."""
        chance = random.Random(self.seed)  # noqa: S311 (a script of troubles, no secret)
        clock = self.folder / "clock"
        clock.write_bytes(struct.pack("d", 0.0))
        self.disk = Disk(self.folder, self.size.disk_bytes)
        try:
            return await self._run(chance, clock)
        finally:
            self.disk.close()

    async def _run(self, chance: random.Random, clock: Path) -> Verdict:
        self.world = World(self.folder, self.port, self.disk, clock)
        self.crowd = Crowd(self.port, self.size.clients, random.Random(self.seed + 1))  # noqa: S311 (as above)
        self.rude = Rude(self.port, random.Random(self.seed + 2), self.size.connections)  # noqa: S311 (as above)
        began_s = time.monotonic()

        def enough() -> bool:
            age_s = time.monotonic() - began_s
            done = self.world.kills.total() >= self.size.kills and age_s >= self.size.least_s
            return self.world.stopping or done or age_s >= self.size.most_s

        self.troubles = Troubles(self.world, chance, self.size.pace, enough)
        try:
            await self.world.start()
            clients = [
                spawn(self.crowd.run(), name="crowd"),
                spawn(self.rude.run(), name="rude"),
                spawn(self._say(began_s), name="say"),
            ]
            try:
                await self.troubles.run()
            finally:
                self.crowd.stopping = self.rude.stopping = self.world.stopping = True
                _, late = await asyncio.wait(clients, timeout=180.0)
                for task in late:
                    task.cancel()
                self.leaks += [f"{task.get_name()} did not come to an end" for task in late]
            await self._calm()
        finally:
            self.took_s = time.monotonic() - began_s
            await self.world.stop()
        self.verdict = await asyncio.to_thread(
            judge, self.world.herd.directory, self.crowd.told, self.world.troubles, self.world.peaks
        )
        if self.verdict.wrong:
            kept = self.folder / "log"
            await asyncio.to_thread(_keep, self.world.herd.directory.root, kept)
        slow = [f"nobody was answered for a minute after {who}" for who in self.troubles.slow]
        self.verdict.wrong += [*self.leaks, *slow, *self.troubles.failed]
        return self.verdict

    async def _calm(self) -> None:
        """See that nobody holds anything once nobody asks."""
        await asyncio.sleep(CALM_S)
        until = time.monotonic() + 30.0
        while (held := await self._held()) and time.monotonic() < until:  # noqa: ASYNC110 (asked)
            await asyncio.sleep(0.5)
        if held:
            self.leaks.append(f"still taken when idle: {held}")

    async def _held(self) -> dict[str, Any]:
        status = await self.world.herd.status()
        if not status:
            return {"herd": "does not answer"}
        held: dict[str, Any] = {
            name: queue
            for name, queue in status["queues"].items()
            if queue["in_flight"] or queue["pending"]
        }
        for name, node in self.world.nodes.items():
            try:
                answer = await fetch("GET", f"{node.url}/sim/stats", timeout_s=2.0)
            except FetchError as error:
                held[name] = error.text
            else:
                if b'"in_flight":0,' not in answer.body:
                    held[name] = answer.body.decode()
        return held

    async def _say(self, began_s: float) -> None:
        while not self.world.stopping:
            await asyncio.sleep(LINE_S)
            ends = Counter(each.end for each in self.crowd.told)
            age_s = time.monotonic() - began_s
            sys.stderr.write(f"{age_s:5.0f} s  {dict(self.world.kills)}  {dict(ends)}\n")

    def figures(self) -> dict[str, Any]:
        """Return what there is to tell, as JSON has it."""
        told, verdict = self.crowd.told, self.verdict
        return {
            "seed": self.seed,
            "took_s": round(self.took_s),
            "real_full_disk": self.disk.small,
            "kills": dict(self.world.kills) | {"all": self.world.kills.total()},
            "troubles": dict(Counter(_kind(each.name) for each in self.world.troubles)),
            "rude": dict(self.rude.did) | {"most_connections": self.rude.most_open},
            "policies": dict(Counter(self.world.policies)),
            "requests": len(told),
            "told": dict(Counter(each.end for each in told)),
            "failures": dict(Counter(_cause(each.why) for each in told if each.end == "failure")),
            "recovery_s": {
                who: {
                    "times": len(all_s),
                    "p50": quantile(all_s, 0.5),
                    "p99": quantile(all_s, 0.99),
                }
                for who, all_s in self.troubles.recoveries.items()
            },
            "most_memory_mb": {kind: most >> 20 for kind, most in self.world.peaks.items()},
            "events": verdict.report.events,
            "ends_in_the_log": dict(verdict.ends),
            "events_not_recorded": verdict.lost_events,
            "requests_not_recorded": verdict.unrecorded,
            "successes_that_a_dead_front_did_not_tell": verdict.untold,
            "dispatches_replayed": verdict.report.dispatches,
            "divergences": len(verdict.report.divergences),
            "cut_off": verdict.report.cut_off,
            "wrong": verdict.wrong[:20],
            "wrong_in_all": len(verdict.wrong),
        }


def quantile(values: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)


def _keep(data: Path, kept: Path) -> None:
    """Copy a log from a disk that is about to be given back."""
    shutil.copytree(data, kept, ignore=shutil.ignore_patterns("*.sock"), dirs_exist_ok=True)


def _kind(name: str) -> str:
    """Return a trouble's name without who had it."""
    words = name.split()
    return (
        "node or agent " + " ".join(words[2:])
        if words[0] in {"node", "agent"}
        else (name.partition(" at ")[0])
    )


def _cause(why: str) -> str:
    """Return the beginning of an error, without names and numbers."""
    return "".join(letter for letter in why[:60] if not letter.isdigit()).strip()
