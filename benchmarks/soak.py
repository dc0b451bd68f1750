"""A long run with everything going wrong, and its whole log replayed: is every decision made again?

A real herd in front of simulated nodes, clients in a closed loop. Every few seconds something
happens: kill -9 of control, a front or logd; a node frozen, killed, slow, failing, or cutting its
answers off; a node drained and taken back. Now and then `herd run` is stopped and started again on
the same data directory, with another policy and other settings. At the end the log is checked as
`herd replay --check` does, and each `seq` must be there once.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter

from actors.core.policies import POLICIES
from benchmarks.machine import Json, begin, free_port, publish, table
from herd.http.client import FetchError, fetch
from herd.paths import DataDir
from herd.platform import run_loop
from herd.replay.check import Report
from herd.replay.cores import check_on_all_cores
from herd.replay.source import Source
from herd.simulator.faults import Fault
from herd.simulator.fleet import NodeOrder, NodeProcess, start_node
from tests.chaos.running import Herd, in_duckdb

DECISIONS = 1_000_000
CLIENTS = 96
EVERY_S = 4.0
"""Between two troubles."""
ANSWER_WITHIN_S = 60.0
MODEL = "llama3.2:3b"
NODES = {"alpha": "8", "beta": "8", "gamma": "", "delta": "3"}
"""With the slots that herd is told; those of gamma it has to learn."""
KEEP = {"FLEET_LOG_KEEP_DAYS": "365", "FLEET_LOG_MAX_BYTES": str(1 << 40)}
"""Nothing of the log is thrown away meanwhile, if that is a setting here."""
LIVES: tuple[dict[str, str], ...] = (
    {},
    {"FLEET_MAX_RETRIES": "0", "FLEET_MAX_QUEUE": "40"},
    {"FLEET_MAX_RETRIES": "3", "FLEET_QUEUE_TIMEOUT": "1.5", "FLEET_WORKERS": "1"},
    {"FLEET_HEARTBEAT_TIMEOUT": "2", "FLEET_HEARTBEAT_OFFLINE": "4", "FLEET_WORKERS": "3"},
    {"FLEET_STALE_TIMEOUT": "3", "FLEET_HOLD_TIMEOUT": "2"},
    {"FLEET_WORKERS": "0", "FLEET_MAX_QUEUE_TOTAL": "60"},
)
"""What each life of herd has set, beside the policy; in turn."""


def ask(model: str, tokens: int, *, stream: bool, priority: str = "normal") -> bytes:
    """Return one request."""
    body = json.dumps(
        {
            "model": model,
            "stream": stream,
            "messages": [{"role": "user", "content": "hello"}],
            "options": {"num_predict": tokens},
        }
    ).encode()
    head = f"POST /api/chat HTTP/1.1\r\nHost: x\r\nX-Herd-Priority: {priority}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


SMALL = ask(MODEL, 2, stream=False)
URGENT = ask(MODEL, 2, stream=False, priority="interactive")
LONG = ask(MODEL, 60, stream=True, priority="batch")
UNKNOWN = ask("nobody-has:this", 2, stream=False)


class Soak:
    """One herd through all its lives, its nodes, its clients, and what has happened to them."""

    def __init__(
        self, folder: Path, decisions: int, lives: int, seed: int, every_s: float = EVERY_S
    ) -> None:
        """Start nothing yet."""
        self.every_s = every_s
        self.decisions = decisions
        self.lives = lives
        self.chance = random.Random(seed)  # noqa: S311 (a script of troubles, no secret)
        self.port = free_port()
        self.root = folder / "herd"
        self.nodes: dict[str, NodeProcess] = {}
        self.herd = Herd(self.root, [], port=self.port)
        self.answers: Counter[str] = Counter()
        """By status; `broken` for connections that did not end well."""
        self.troubles: Counter[str] = Counter()
        self.policies: list[str] = []
        self.journal_bytes = 0
        """The most that lay in the live journal."""
        self.notes = folder / "notes.json"
        """What was counted so far: a soak that was ended goes on in its folder."""
        self.before_s = 0.0
        self.began_s = perf_counter()
        if self.notes.exists():
            noted = json.loads(self.notes.read_text())
            self.before_s = noted["took_s"]
            self.answers.update(noted["answers"])
            self.troubles.update(noted["troubles"])
            self.troubles["the soak itself ended"] += 1
            self.policies += noted["policies"]

    @property
    def took_s(self) -> float:
        """Seconds so far."""
        return self.before_s + perf_counter() - self.began_s

    @property
    def done(self) -> bool:
        """Whether enough was decided: each answer of 200 was dispatched once at least."""
        return self.answers["200"] >= self.decisions

    async def run(self) -> None:
        """Live all lives, with clients and troubles all the time."""
        for name in NODES:
            await self.start_node(name)
        self.start()
        tasks: list[asyncio.Future[None]] = []
        try:
            await self.herd.ready(len(NODES))
            tasks += [asyncio.ensure_future(self.client(SMALL)) for _ in range(CLIENTS)]
            tasks += [asyncio.ensure_future(self.client(URGENT)) for _ in range(4)]
            tasks += [asyncio.ensure_future(self.client(LONG)) for _ in range(4)]
            tasks += [asyncio.ensure_future(self.impatient()), asyncio.ensure_future(self.lost())]
            await self.trouble()
            await asyncio.wait_for(asyncio.gather(*tasks), 3 * ANSWER_WITHIN_S)
        finally:
            for task in tasks:
                task.cancel()
            self.herd.stop()
            await asyncio.gather(*(node.stop() for node in self.nodes.values()))

    # herd and its nodes

    def start(self) -> None:
        """Start herd with the next policy and settings."""
        life = len(self.policies)
        self.policies.append(list(POLICIES)[life % len(POLICIES)])
        told = {"FLEET_POLICY": self.policies[-1], **KEEP, **LIVES[life % len(LIVES)]}
        nodes = [
            f"{self.nodes[name].url},name={name}" + (f",slots={slots}" if slots else "")
            for name, slots in NODES.items()
        ]
        workers = int(told.pop("FLEET_WORKERS", "2"))
        self.herd = Herd(self.root, nodes, port=self.port, workers=workers)
        before = dict(os.environ)
        os.environ.update(told)
        try:
            self.herd.start()
        finally:
            os.environ.clear()
            os.environ.update(before)

    async def start_node(self, name: str) -> None:
        """Start a node, at its old address if it had one."""
        old = self.nodes.get(name)
        port = int(old.url.rpartition(":")[2]) if old is not None else 0
        order = NodeOrder(profile="ideal", name=name, port=port, step_s=0.001, parallel=64)
        self.nodes[name] = await start_node(order)

    # Clients

    async def client(self, request: bytes) -> None:
        """Ask one after the other until it is enough; connect again whenever that breaks."""
        while not self.done:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                self.answers["no connection"] += 1
                await asyncio.sleep(0.1)
                continue
            try:
                while not self.done:
                    writer.write(request)
                    async with asyncio.timeout(ANSWER_WITHIN_S):
                        status = await answered(reader)
                    self.answers[status] += 1
                    if status != "200":
                        await asyncio.sleep(0.02)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                self.answers["broken"] += 1
            except TimeoutError:
                self.answers["silent"] += 1
            finally:
                writer.close()

    async def impatient(self) -> None:
        """Ask, and leave before the answer is whole."""
        while not self.done:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(LONG)
                await asyncio.sleep(self.chance.random() * 0.05)
                writer.close()
                self.answers["left"] += 1
            await asyncio.sleep(0.05)

    async def lost(self) -> None:
        """Ask for what no node has."""
        while not self.done:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(UNKNOWN)
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    self.answers[await answered(reader)] += 1
                writer.close()
            await asyncio.sleep(0.5)

    # Troubles

    async def trouble(self) -> None:
        """Let one thing after another happen until it is enough."""
        kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "kill control": lambda: self.kill("control"),
            "kill front": lambda: self.kill("front"),
            "kill logd": lambda: self.kill("logd"),
            "freeze a node": self.freeze,
            "kill a node": self.kill_node,
            "drain a node": self.drain,
            "errors": lambda: self.fault(Fault(kind="error", for_s=2.0)),
            "cut answers": lambda: self.fault(Fault(kind="die", after_tokens=1, for_s=2.0)),
            "slow": lambda: self.fault(Fault(kind="slow", factor=20.0, for_s=2.0)),
        }
        line: list[str] = []
        while not self.done:
            await asyncio.sleep(self.every_s)
            if self.answers["200"] >= len(self.policies) * self.decisions / self.lives:
                await self.live_again()
                continue
            if not line:
                line = self.chance.sample(sorted(kinds), len(kinds))
            name = line.pop()
            await kinds[name]()
            self.troubles[name] += 1
            self.look()

    async def live_again(self) -> None:
        """Stop herd in good order, or not, and start it with other settings."""
        if len(self.policies) % 3 == 2:
            for pid in self.herd.pids().values():
                os.kill(pid, signal.SIGKILL)
            self.troubles["kill all of herd"] += 1
        else:
            await asyncio.to_thread(self.herd.stop)
            self.troubles["stop herd"] += 1
        await asyncio.to_thread(self.start)
        await self.herd.ready(len(NODES), timeout_s=60.0)

    async def kill(self, name: str) -> None:
        """Kill -9 a child of herd, and wait for the next; without children, nothing."""
        names = [each for each in self.herd.pids() if each.startswith(name)]
        if names and self.herd.pids().keys() != {"supervisor"}:
            chosen = self.chance.choice(sorted(names))
            pid = self.herd.kill(chosen)
            await self.herd.replaced(chosen, pid, timeout_s=30.0)

    async def freeze(self) -> None:
        """Stop a node's process for a while; its connections stay open."""
        node = self.any_node()
        os.kill(node.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(3.0)
        finally:
            os.kill(node.pid, signal.SIGCONT)

    async def kill_node(self) -> None:
        """Cut a node's power, and bring it back."""
        node = self.any_node()
        node.kill()
        await node.ended()
        await asyncio.sleep(2.0)
        await self.start_node(node.name)

    async def drain(self) -> None:
        """Take a node out of service by the API, and back."""
        name = self.any_node().name
        for draining in (True, False):
            body = json.dumps({"node_id": name, "draining": draining}).encode()
            with contextlib.suppress(FetchError):
                await fetch("POST", f"{self.herd.url}/fleet/drain", body=body, timeout_s=5.0)
            await asyncio.sleep(1.5)

    async def fault(self, fault: Fault) -> None:
        """Make something go wrong on a node."""
        self.any_node().fault(fault)

    def any_node(self) -> NodeProcess:
        """Return one of the nodes."""
        return self.nodes[self.chance.choice(sorted(self.nodes))]

    def look(self) -> None:
        """Say how far it is."""
        size = sum(f.stat().st_size for f in self.herd.directory.journal.glob("*.ndjson"))
        self.journal_bytes = max(self.journal_bytes, size)
        done = self.answers["200"]
        noted: dict[str, Json] = {
            "took_s": self.took_s,
            "answers": self.answers,
            "troubles": self.troubles,
            "policies": self.policies,
        }
        self.notes.write_text(json.dumps(noted))
        print(f"{self.took_s:6.0f} s  {done:,} answers  {dict(self.troubles)}", flush=True)


async def answered(reader: asyncio.StreamReader) -> str:
    """Read one answer; return its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    if (length := fields.get(b"content-length")) is not None:
        await reader.readexactly(int(length))
    else:
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")
    return head.split()[1].decode()


# The log


def once(root: Path, lost: int) -> dict[str, Json]:
    """Count each `seq` through the views that any DuckDB has, and in logd's own database."""
    with Source(root) as source:
        [(count, distinct, first, last)] = source.log.execute(
            "SELECT count(*), count(DISTINCT seq), min(seq), max(seq) FROM events"
        ).fetchall()
    whole = count == distinct == last - first + 1 - lost
    stored = in_duckdb(DataDir(root))
    return {
        "rows": count,
        "each_once": whole,
        "each_once_in_the_database": stored == (count, distinct, first, last),
    }


def replayed(root: Path) -> tuple[Report, float]:
    """Check the whole log; return what was found, and how long it took."""
    began_s = perf_counter()
    with Source(root) as source:
        report = check_on_all_cores(source, source.first_seq)
    return report, perf_counter() - began_s


async def soak(folder: Path, decisions: int, lives: int, seed: int, *, keep: bool) -> bool:
    """Run it, judge its log, show and keep what was found; return whether all was right."""
    result: dict[str, Json] = {"machine": begin("soak"), "seed": seed}
    one = Soak(folder, decisions, lives, seed, EVERY_S if keep else EVERY_S / 4)
    await one.run()
    ran_s = one.took_s
    report, took_s = replayed(one.root)
    lost = sum(last - first + 1 for first, last in report.gaps)
    result |= {
        "ran_s": ran_s,
        "answers": dict(one.answers),
        "troubles": dict(one.troubles),
        "policies": list(one.policies),
        "journal_bytes": one.journal_bytes,
        "events": report.events,
        "facts": report.facts,
        "decisions": report.decisions,
        "dispatches": report.dispatches,
        "divergences": len(report.divergences),
        "skipped": report.skipped,
        "unknown": report.unknown,
        "cut_off": report.cut_off,
        "gaps": report.gaps,
        "stored_states_compared": report.snapshots,
        "check_s": took_s,
        "checked_per_s": report.events / took_s,
        **once(one.root, lost),
    }
    rows = [[key, str(value)] for key, value in result.items() if key != "machine"]
    print(table("the log of the soak", ("", "found"), rows))
    for divergence in report.divergences[:5]:
        print(divergence)
    publish("soak", result, keep=keep)
    return not report.divergences and not report.skipped and result["each_once"] is True


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if the log does not come out again."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--decisions", type=int, default=DECISIONS, help="dispatches, at least")
    parser.add_argument("--lives", type=int, default=8, help="starts of `herd run`")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--folder", type=Path, help="keep the data directory here; go on if one is there"
    )
    parser.add_argument("--quick", action="store_true", help="20,000, nothing kept")
    told = parser.parse_args(arguments)
    folder = told.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    decisions, lives = (20_000, 3) if told.quick else (told.decisions, told.lives)
    good = run_loop(soak(folder, decisions, lives, told.seed, keep=not told.quick))
    if good and told.folder is None:
        shutil.rmtree(folder)
    else:
        print(f"the log is in {folder}/herd")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
