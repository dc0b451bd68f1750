"""`python notebooks/record.py`: record `sample.herd`, the log that the notebooks read.

A plain `herd run` on real sockets, four simulated nodes in real time, four applications, ten
minutes. Nobody wrote an event of it: `STORY` says only what is done to the fleet and when. The
file is then made by `herd incident save`. Nothing in it is personal: all run on this machine, so
the applications keep their names.
"""

import asyncio
import contextlib
import math
import os
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec

from herd import clock
from herd.http.client import FetchError, fetch
from herd.processes.port import claim
from herd.replay.incident import iso
from herd.simulator.faults import Fault
from herd.simulator.fleet import NodeOrder, SimulatedFleet, start_node
from herd.tasks import spawn

SAMPLE = Path(__file__).with_name("sample.herd")
SECONDS = 600.0
SETTLE_S = 12.0
HOST = "127.0.0.1"

FLEET = (
    NodeOrder(profile="studio"),
    NodeOrder(profile="tower"),
    NodeOrder(profile="mini"),
    NodeOrder(profile="mini", name="laptop", seed=1),
)
LIMITS = {"FLEET_MAX_QUEUE": "24", "FLEET_QUEUE_TIMEOUT": "20", "FLEET_WORKERS": "1"}
"""Short lines, so that ten minutes suffice to see one overflow."""

STORY = (
    (0.0, "policy", "round-robin"),
    (150.0, "policy", "resident-first"),
    (300.0, "drain", "tower"),
    (360.0, "slow", "studio"),
    (450.0, "undrain", "tower"),
    (485.0, "restart", "studio"),
)
"""Seconds from the start, what is done, and to whom."""


class App(NamedTuple):
    """A part of the traffic."""

    name: str
    per_s: float
    models: tuple[str, ...]
    """Each as often as it stands here."""
    path: str
    words: int
    """Of a typical prompt."""
    patience_s: float
    """Then its user goes away."""


APPS = (
    App("chat-ui", 2.0, ("llama3.2:3b",) * 3 + ("qwen2.5:7b",) * 2, "/api/chat", 60, 30.0),
    App("code-review", 0.5, ("qwen2.5:7b",), "/v1/chat/completions", 400, 60.0),
    App("search-index", 1.4, ("nomic-embed-text",), "/api/embed", 150, 60.0),
    App("reports", 0.05, ("llama3.3:70b",), "/api/generate", 250, 120.0),
)
_TEXT = "the lighthouse keeper writes down each ship that passes in the night"
WORDS = _TEXT.split()


def load(at_s: float) -> float:
    """Return the share of the usual load: it grows, in waves of two minutes."""
    return 0.7 + 0.6 * at_s / SECONDS + 0.25 * math.sin(2 * math.pi * at_s / 120)


class Recorder:
    """The fleet, the balancer and the traffic."""

    def __init__(self, data_dir: Path, fleet: SimulatedFleet) -> None:
        """Name them; nothing runs yet but the nodes."""
        self._data_dir = data_dir
        self._fleet = fleet
        self._nodes = {node.name: node for node in fleet.nodes}
        free = claim(HOST, 0, 1)
        free.release()
        self._port = free.port
        self._url = f"http://{HOST}:{free.port}"
        self._herd: Process | None = None

    async def run(self, seconds: float) -> None:
        """Play the story and the traffic at once, to the end."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        asking = [
            spawn(self._ask(app, number, began_s, seconds), name=app.name)
            for number, app in enumerate(APPS)
        ]
        for at_s, what, name in STORY:
            await asyncio.sleep(max(0.0, began_s + at_s * seconds / SECONDS - loop.time()))
            print(f"{loop.time() - began_s:5.0f} s  {what} {name}", flush=True)
            await self._do(what, name)
        await asyncio.gather(*asking)
        await asyncio.sleep(SETTLE_S)
        await self._stop()

    async def _do(self, what: str, name: str) -> None:
        match what:
            case "policy":
                await self._stop()
                await self._start(name)
            case "drain" | "undrain":
                asked = {"node_id": name, "draining": what == "drain"}
                body = msgspec.json.encode(asked)
                await fetch("POST", f"{self._url}/fleet/drain", body=body)
            case "slow":
                self._nodes[name].fault(Fault(kind="slow", factor=7.0))
            case _:
                order = next(each for each in FLEET if each.called == name)
                port = int(self._nodes[name].url.rpartition(":")[2])
                self._nodes[name].kill()
                await self._nodes[name].ended()
                await asyncio.sleep(6.0)
                self._nodes[name] = await start_node(msgspec.structs.replace(order, port=port))
                self._fleet.nodes.append(self._nodes[name])

    async def _start(self, policy: str) -> None:
        words = ["--host", HOST, "--port", str(self._port), "--no-mdns", "--policy", policy]
        words += ["--data-dir", str(self._data_dir)]
        for node in self._nodes.values():
            words += ["--node", f"{node.url},name={node.name}"]
        self._herd = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "herd", "run", *words),
            stdin=DEVNULL,
            stdout=DEVNULL,
            env={**os.environ, "FLEET_LOCAL_OLLAMA": "off", **LIMITS},
        )

    async def _stop(self) -> None:
        if self._herd is not None:
            self._herd.terminate()
            await self._herd.wait()

    async def _ask(self, app: App, seed: int, began_s: float, seconds: float) -> None:
        chance = Random(seed)  # noqa: S311 (traffic, not secrets)
        loop = asyncio.get_running_loop()
        under_way: set[asyncio.Task[None]] = set()
        while (at_s := loop.time() - began_s) < seconds:
            await asyncio.sleep(chance.expovariate(app.per_s * load(at_s * SECONDS / seconds)))
            task = spawn(self._send(app, _body(app, chance)), name=app.name)
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)

    async def _send(self, app: App, body: bytes) -> None:
        headers = ((b"Content-Type", b"application/json"), (b"User-Agent", app.name.encode()))
        with contextlib.suppress(FetchError):
            url = self._url + app.path
            await fetch("POST", url, headers=headers, body=body, timeout_s=app.patience_s)


def _body(app: App, chance: Random) -> bytes:
    count = 5 + int(chance.lognormvariate(0, 0.6) * app.words)
    text = " ".join(chance.choices(WORDS, k=min(count, 2000)))
    asked: dict[str, object] = {"model": chance.choice(app.models)}
    match app.path:
        case "/api/embed":
            asked["input"] = text
        case "/api/generate":
            asked["prompt"] = text
        case _:
            asked["messages"] = [{"role": "user", "content": text}]
    return msgspec.json.encode(asked)


async def record(target: Path, seconds: float) -> None:
    """Record for so long, and save it as one file."""
    with tempfile.TemporaryDirectory(prefix="herd-sample-") as directory:
        data_dir = Path(directory)
        async with SimulatedFleet(FLEET) as fleet:
            around = iso(round(clock.wall_s() * 1e6 + seconds * 0.6e6))
            await Recorder(data_dir, fleet).run(seconds)
        words = ["--around", around, "--minutes", "15", "--data-dir", directory, "--keep-clients"]
        saving = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "herd", "incident", "save", *words, "--force", str(target))
        )
        if await saving.wait():
            sys.exit(1)


if __name__ == "__main__":
    asyncio.run(record(SAMPLE, SECONDS))
