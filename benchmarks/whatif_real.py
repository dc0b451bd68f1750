"""What-if against a real engine: two unequal llama.cpp servers behind a real herd.

Each server has cores of its own: a fixed share of this machine, which the other cannot take
(`benchmarks/apart.py`, needs root); with `--together` both run on all cores, with unequal threads.

In each round the same traffic is sent once under A and then under each B. From A's log alone
what-if predicts the p50 and p95 of each B; what B's log says is the truth. The re-run of A against
A itself is the simulator's own error, in first bytes and in tokens a second.
One B is A again: how far the truth is from itself.
"""

import argparse
import asyncio
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from math import fsum
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from benchmarks.apart import CannotPartError, group
from benchmarks.machine import Json, Row, begin, free_port, publish, quantile, table
from events import NodeId, RequestId
from herd.http.client import FetchError, fetch
from herd.platform import run_loop
from herd.real.node import MODEL, available
from herd.replay.source import Source
from herd.simulator.fleet import NodeProcess, SimulatedFleet
from herd.tasks import spawn
from herd.virtual.script import Outcome
from herd.whatif.change import Change
from herd.whatif.compare import answer
from herd.whatif.evidence import Evidence, gather
from herd.whatif.figures import Figures, figure, figures
from tests.chaos.running import Herd

REQUESTS = 100
QUICK = 40
PER_S = 0.45
ROUNDS = (1, 2, 3)
TIMEOUT_S = 600.0
POLICY = "resident-first"
FIGURES = (("ttft", "p50"), ("ttft", "p95"), ("completion", "p50"), ("completion", "p95"))
SAMPLE = (
    "explain compare summarise the a quiet river engine lighthouse garden between and of with "
    "slowly north seven letters harbour why how does winter theory music table under paper"
)


class RealNode(msgspec.Struct, frozen=True):
    """An engine to be started."""

    name: str
    slots: int
    threads: int
    cores: float | None = None
    """The share of this machine that it has for itself; None is whatever there is."""

    @property
    def called(self) -> str:
        return self.name

    def arguments(self) -> list[str]:
        told = {"--name": self.name, "--slots": str(self.slots), "--threads": str(self.threads)}
        return ["-m", "herd.real", *(word for pair in told.items() for word in pair)]


APART = (RealNode("alpha", 2, 1, 0.7), RealNode("beta", 1, 1, 0.35))
TOGETHER = (RealNode("alpha", 2, 2), RealNode("beta", 1, 1))
ALPHA, BETA = NodeId("alpha"), NodeId("beta")
SAME = Change(settings={"policy": POLICY})
"""A once more: what differs then is the machine's own chance."""
CHANGES = (
    SAME,
    Change(settings={"policy": "round-robin"}),
    Change(settings={"policy": "random"}),
    Change(without=(BETA,)),
)


class Compared(msgspec.Struct, frozen=True):
    """A prediction, and what came true."""

    round: int
    change: str
    a: Figures
    again: Figures
    b: Figures
    whatif: Figures

    def error(self, time: str, point: str) -> float:
        """Return by how much the predicted figure misses the recorded one."""
        return figure(self.whatif, time, point) / figure(self.b, time, point) - 1

    def moved(self, time: str, point: str) -> float:
        """Return by how much B's figure differs from A's in truth."""
        return figure(self.b, time, point) / figure(self.a, time, point) - 1


class Traffic(msgspec.Struct, frozen=True):
    """What is sent."""

    seed: int
    count: int
    per_s: float


def bodies(traffic: Traffic) -> Iterator[tuple[float, bytes]]:
    """Yield requests, and the seconds to wait before each."""
    random = Random(traffic.seed)  # noqa: S311 (traffic, not secrets)
    sample = SAMPLE.split()
    for _ in range(traffic.count):
        words = min(900, max(4, round(random.lognormvariate(4.6, 0.9))))
        body: dict[str, Any] = {
            "model": MODEL,
            "messages": [{"role": "user", "content": " ".join(random.choices(sample, k=words))}],
            "max_tokens": min(200, max(4, round(random.lognormvariate(3.4, 0.7)))),
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": False,
        }
        yield random.expovariate(traffic.per_s), msgspec.json.encode(body)


async def send(url: str, traffic: Traffic) -> int:
    """Send all requests when they are due; return how many were not answered."""
    failed = 0

    async def one(body: bytes) -> None:
        nonlocal failed
        headers = ((b"Content-Type", b"application/json"),)
        try:
            target = f"{url}/v1/chat/completions"
            answered = await fetch("POST", target, headers=headers, body=body, timeout_s=TIMEOUT_S)
            failed += answered.status != 200
        except FetchError:
            failed += 1

    tasks: list[asyncio.Task[None]] = []
    for wait_s, body in bodies(traffic):
        await asyncio.sleep(wait_s)
        tasks.append(spawn(one(body), name="request"))
    await asyncio.gather(*tasks)
    return failed


async def recorded(
    folder: Path, nodes: Sequence[NodeProcess], policy: str, traffic: Traffic
) -> Evidence:
    """Let a herd serve the traffic; return what its log shows."""
    slots = {node.name: node.slots for node in APART}
    named = [f"{node.url},name={node.name},slots={slots[node.name]}" for node in nodes]
    os.environ["FLEET_POLICY"] = policy
    herd = Herd(folder, named, port=free_port())
    herd.start()
    try:
        await herd.ready(len(named))
        failed = await send(herd.url, traffic)
        await asyncio.sleep(2.5)  # the log is complete
    finally:
        herd.stop()
    if failed:
        print(f"{failed} of {traffic.count} requests were not answered")
    with Source(folder) as source:
        head = source.first_head
        return gather(source.state_at(head), source.records(head + 1))


def tokens_per_s(evidence: Evidence, outcomes: Sequence[Outcome]) -> float:
    """Return the median pace of answers after their first token."""
    tokens = {each.received.request_id: each.completion_tokens for each in evidence.asked}
    return quantile([pace for each in outcomes if (pace := _pace(tokens, each))], 0.5)


def _pace(tokens: dict[RequestId, int], outcome: Outcome) -> float:
    made_s = outcome.total_s - outcome.ttft_s
    return (tokens[outcome.request_id] - 1) / made_s if made_s > 0 else 0.0


async def one_round(
    engines: tuple[RealNode, ...], changes: Sequence[Change], traffic: Traffic
) -> tuple[list[Compared], dict[str, float]]:
    """Play A and every B with the same traffic, on the same engines."""
    found: list[Compared] = []
    own: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="herd-whatif-") as name, ExitStack() as shares:
        async with SimulatedFleet(engines) as fleet:
            for engine, node in zip(engines, fleet.nodes, strict=True):
                if engine.cores is not None:
                    own_cores = shares.enter_context(group(engine.name))
                    own_cores.limit(engine.cores)
                    own_cores.take(node.pid)
            play = partial(recorded, traffic=traffic)
            a = await play(Path(name) / "a", fleet.nodes, POLICY)
            for place, change in enumerate(changes):
                nodes = [node for node in fleet.nodes if node.name not in change.without]
                policy = str(change.settings.get("policy", POLICY))
                b = await play(Path(name) / f"b{place}", nodes, policy)
                told, outcomes = answer(a, change)
                assert told.whatif is not None
                real = figures(b.outcomes())
                words = ", ".join(told.change)
                found.append(
                    Compared(traffic.seed, words, told.recorded, told.rerun, real, told.whatif)
                )
                print(f"round {traffic.seed}, {words}: " + _said(found[-1]), flush=True)
                own = {
                    "tokens_per_s_recorded": tokens_per_s(a, outcomes.recorded),
                    "tokens_per_s_rerun": tokens_per_s(a, outcomes.rerun[0]),
                    "ttft_p50_recorded": told.recorded.ttft.p50,
                    "ttft_p50_rerun": told.rerun.ttft.p50,
                    "ttft_p95_recorded": told.recorded.ttft.p95,
                    "ttft_p95_rerun": told.rerun.ttft.p95,
                }
    print(", ".join(f"{key} {value:.3g}" for key, value in own.items()), flush=True)
    return found, own


def _said(each: Compared) -> str:
    return ", ".join(f"{t} {p} {each.error(t, p):+.0%}" for t, p in FIGURES)


async def measure(
    engines: tuple[RealNode, ...],
    changes: Sequence[Change],
    rounds: Sequence[Traffic],
    *,
    keep: bool,
) -> None:
    """Measure, show and keep all of it."""
    result: dict[str, Json] = {
        "machine": begin("whatif_real"),
        "engines": [msgspec.to_builtins(each) for each in engines],
        "requests": rounds[0].count,
        "per_s": rounds[0].per_s,
    }
    found: list[Compared] = []
    own: list[Json] = []
    for traffic in rounds:
        compared, error = await one_round(engines, changes, traffic)
        found += compared
        own.append(error)
    head = ("B", *(f"{t} {p}" for t, p in FIGURES))
    rows: list[Row] = [
        [f"{each.round}: {each.change}", *(f"{each.error(t, p):+.1%}" for t, p in FIGURES)]
        for each in found
    ]
    print(table("Errors of the predicted figures", head, rows))
    errors: dict[str, Json] = {}
    for time, point in FIGURES:
        each_error = [abs(each.error(time, point)) for each in found]
        errors[f"{time}_{point}_error_mean"] = round(fsum(each_error) / len(each_error), 4)
        errors[f"{time}_{point}_error_largest"] = round(max(each_error), 4)
        errors[f"{time}_{point}_within_25_percent"] = sum(error <= 0.25 for error in each_error)
        repeats = [abs(each.moved(time, point)) for each in found if each.change == SAME.words()[0]]
        errors[f"{time}_{point}_chance_mean"] = round(fsum(repeats) / max(1, len(repeats)), 4)
    print("\n" + "\n".join(f"{key}: {value}" for key, value in errors.items()))
    pairs: list[Json] = [msgspec.to_builtins(each) for each in found]
    result |= {"runs": len(found), "errors": errors, "own_error": own, "pairs": pairs}
    publish("whatif_real", result, keep=keep)


def main(arguments: list[str] | None = None) -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whatif_real", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, nothing kept")
    parser.add_argument("--together", action="store_true", help="both engines on all cores")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--per-s", type=float, default=PER_S)
    told = parser.parse_args(arguments)
    if not available():
        raise SystemExit("the real engine is missing: make real")
    engines = TOGETHER if told.together else APART
    changes = CHANGES[:1] if told.quick else CHANGES
    numbers = (1,) if told.quick else ROUNDS
    rounds = [Traffic(each, QUICK if told.quick else told.requests, told.per_s) for each in numbers]
    try:
        with ExitStack() as shares:
            if not told.together:  # herd and its clients are as undisturbed as the engines
                shares.enter_context(group("herd")).take(os.getpid())
            run_loop(measure(engines, changes, rounds, keep=not told.quick))
    except CannotPartError as error:
        raise SystemExit(f"{error}; `--together` needs none") from error


if __name__ == "__main__":
    main()
