"""The same fleets as processes: herd, nginx, HAProxy and ollama-herd before simulated nodes.

The nodes' time runs `--time-scale` times as fast, and so do the arrivals; times are told in the
nodes' time. Much faster than twice, small models load in less time than herd takes for a load.
Every system gets the same requests before the same fleet, started anew, nothing loaded. herd and
ollama-herd are told the same of each node, twice a second: what an agent would say of its slots,
its memory and what is loaded. Whether the model that was asked for has answered is looked at.
"""

import argparse
import asyncio
import contextlib
import json
import math
import re
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import msgspec

from actors.core.state import US
from benchmarks import targets
from benchmarks.machine import Json, begin, publish, quantile, table
from benchmarks.placement.fleets import FLEETS
from benchmarks.placement.play import DEADLINE_S, DEADLINE_SLOWDOWN
from benchmarks.placement.proof import BUSY, CRASH_S, Case
from benchmarks.placement.workload import arrivals, best_s, trace
from benchmarks.targets import MissingError, Target
from events import NodeId
from herd.agent.payload import GIB, Cpu, Memory, build_heartbeat
from herd.clock import wall_s
from herd.http.client import FetchError, fetch
from herd.platform import run_loop
from herd.probe import probe
from herd.simulator.asks import CHARACTERS_PER_TOKEN, TEMPLATE_TOKENS
from herd.simulator.fleet import NodeOrder, NodeProcess, SimulatedFleet, start_node
from herd.simulator.hardware import NodeSpec
from herd.tasks import spawn
from herd.virtual.script import Arrival

SYSTEMS = ("soonest", "resident-first", "least-connections", "nginx", "HAProxy", "ollama-herd")
DIRECT = "direct"
"""The first node itself, with its own queue."""
TIME_SCALE = 2.0
COUNT = 150
SEEDS = 2
TIMEOUT_S = 900.0
SETTLE_S = 0.5
CUT_WITHIN_S = 10.0
"""In the nodes' time: how long after its node was killed an answer ends."""
_NODE = re.compile(rb"(?i)\r\nX-Fleet-Node: ([^\r]*)")


CASES = (Case("home", "conv", BUSY), Case("office", "conv", BUSY))


SHOWN = (
    "slowdown",
    "p95",
    "in time",
    "TTFT p50 s",
    "TTFT p95 s",
    "TTFT most s",
    "worst model",
    "failed",
    "cut",
    "swapped",
    "loads",
)
"""The heads of `Figures`."""


class Answer(NamedTuple):
    """What a client saw, in the nodes' time."""

    ok: bool
    swapped: bool
    """Another model answered than the one that was asked."""
    ttft_s: float
    total_s: float
    """Of a slowdown without a bound, if it failed."""
    node: str
    """Who had begun to answer, where it is said."""
    ended_s: float
    """In the nodes' time, from the begin of the run."""


class Figures(msgspec.Struct, frozen=True):
    """What came of one run."""

    slowdown: float
    """Mean, of those that were answered."""
    slowdown_p95: float
    goodput: float
    """The share of all requests that were answered in time."""
    ttft_p50_s: float
    ttft_p95_s: float
    ttft_most_s: float
    worst_model: float
    """The mean slowdown of the model that fares worst, over that of all."""
    failed: int
    cut: int
    """Of those that failed: whose answer had begun on the node that was killed, just before."""
    swapped: int
    """Answered by another model than the one that was asked: counted as answered, in good time or
    not; what a smaller model answers is not what the client asked for."""
    loads: int


async def measure(
    specs: Sequence[NodeSpec],
    asked: Sequence[Arrival],
    system: str,
    time_scale: float,
    *,
    crash: bool = False,
) -> Figures:
    """Play one workload to one system before a fresh fleet.

    `crash`: the first node is killed in the middle, and started again `CRASH_S` later, if that
    is before the end.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        orders = tuple(_order(folder, spec, time_scale) for spec in specs)
        async with SimulatedFleet(orders) as fleet:
            async with _system(system, folder, specs, fleet.nodes) as target:
                middle_s = (asked[0].at_us + asked[-1].at_us) / 2 / US
                if crash:
                    crashing = _crash(fleet, orders[0], middle_s / time_scale, CRASH_S / time_scale)
                    spawn(crashing, name="crash")
                answers = await _play(target.url, asked, time_scale)
            loads = sum([await _loads(node) for node in fleet.nodes])
    cut = sum(_is_cut(each, specs[0].name, middle_s) for each in answers) if crash else 0
    return _figures(specs, asked, answers, loads, cut)


def _is_cut(answer: Answer, node: str, killed_s: float) -> bool:
    ended_then = killed_s <= answer.ended_s <= killed_s + CUT_WITHIN_S
    return not answer.ok and answer.node == node and ended_then


async def _crash(fleet: SimulatedFleet, order: NodeOrder, after_s: float, for_s: float) -> None:
    await asyncio.sleep(SETTLE_S + after_s)
    gone = fleet.nodes[0]
    gone.kill()
    await gone.ended()
    await asyncio.sleep(for_s)
    port = int(gone.url.rpartition(":")[2])
    fleet.nodes[0] = await start_node(msgspec.structs.replace(order, port=port))


def _order(folder: Path, spec: NodeSpec, time_scale: float) -> NodeOrder:
    path = folder / f"{spec.name}.json"
    path.write_bytes(msgspec.json.encode(spec))
    return NodeOrder(spec=str(path), name=spec.name, time_scale=time_scale)


@contextlib.asynccontextmanager
async def _system(
    name: str, folder: Path, specs: Sequence[NodeSpec], nodes: Sequence[NodeProcess]
) -> AsyncIterator[Target]:
    urls = [node.url for node in nodes]
    if name == DIRECT:
        yield Target(name, urls[0])
        return
    if name == "nginx":
        running = targets.nginx(folder, *urls)
    elif name == "HAProxy":
        running = targets.haproxy(folder, *urls)
    else:
        beats = [partial(_beat, *pair) for pair in zip(specs, urls, strict=True)]
        if name == "ollama-herd":
            running = targets.ollama_herd(folder, beats=beats)
        else:
            running = targets.herd_of(folder / "herd", [], "--policy", name, beats=beats)
    async with running as target:
        yield target


async def _beat(spec: NodeSpec, url: str) -> bytes:
    """Return what an agent says of a node: either system reads the same."""
    found = await probe(NodeId(spec.name), url, want_models=True)
    resident, facts = found.resident or (), spec.facts
    used = sum(each.size_bytes for each in resident)
    total = max(facts.memory_bytes, facts.vram_bytes)
    return build_heartbeat(
        node_id=spec.name,
        ollama_host=url,
        lan_ip="127.0.0.1",
        facts=msgspec.structs.replace(facts, cores=16),
        cpu=Cpu(utilization_pct=5.0),
        memory=Memory(
            total_gb=total / GIB, used_gb=used / GIB, available_gb=max(0.0, (total - used) / GIB)
        ),
        resident=resident,
        models=found.models or (),
        reachable=found.reachable,
        draining=False,
        timestamp_s=wall_s(),
    )


async def _play(url: str, asked: Sequence[Arrival], time_scale: float) -> list[Answer]:
    loop = asyncio.get_running_loop()
    begin_s = loop.time() + SETTLE_S

    async def one(arrival: Arrival) -> Answer:
        await asyncio.sleep(max(0.0, begin_s + arrival.at_us / 1e6 / time_scale - loop.time()))
        return await _ask(url, arrival, time_scale, begin_s)

    return await asyncio.gather(*(one(arrival) for arrival in asked))


async def _ask(url: str, arrival: Arrival, time_scale: float, begin_s: float) -> Answer:
    """Send one streamed chat, unlike all others from its first word on; read it to its end."""
    characters = CHARACTERS_PER_TOKEN * max(1, arrival.prompt_tokens - TEMPLATE_TOKENS)
    prompt = f"{arrival.request.request_id} " + "abc " * (characters // 4 + 1)
    body = json.dumps(
        {
            "model": arrival.request.model,
            "messages": [{"role": "user", "content": prompt[:characters]}],
            "options": {"simulated_tokens": arrival.output_tokens},  # nobody else is told
        }
    ).encode()
    loop = asyncio.get_running_loop()
    began_s, first_s, data, node = loop.time(), math.nan, b"", ""
    host, port = url.partition("://")[2].split(":")
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"POST /api/chat HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
                b"X-Fleet-No-Fallback: true\r\n"  # every system is to serve the model asked for
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise OSError("refused")
            if (named := _NODE.search(head)) is not None:
                node = named[1].decode()
            data = await reader.read(65536)
            first_s = loop.time() - began_s
            while more := await reader.read(65536):
                data = data[-4096:] + more
            writer.close()
    total_s = loop.time() - began_s
    model = re.search(rb'"model":"([^"]*)"', data)
    swapped = model is not None and model[1].decode() != arrival.request.model
    done = b'"done":true' in data
    ended_s = loop.time() - begin_s
    return Answer(
        done, swapped, first_s * time_scale, total_s * time_scale, node, ended_s * time_scale
    )


async def _loads(node: NodeProcess) -> int:
    """Return how often a node has loaded a model; nothing if it does not say."""
    with contextlib.suppress(FetchError):
        answer = await fetch("GET", f"{node.url}/sim/stats", timeout_s=5.0)
        if answer.status == 200:
            return int(json.loads(answer.body)["loads"])
    return 0


def _figures(
    specs: Sequence[NodeSpec],
    asked: Sequence[Arrival],
    answers: Sequence[Answer],
    loads: int,
    cut: int,
) -> Figures:
    slow: list[float] = []
    by_model: defaultdict[str, list[float]] = defaultdict(list)
    met = 0
    for arrival, answer in zip(asked, answers, strict=True):
        least_s = best_s(specs, arrival)
        if answer.ok:
            slow.append(answer.total_s / least_s)
            by_model[arrival.request.model].append(slow[-1])
            met += answer.total_s <= max(DEADLINE_S, DEADLINE_SLOWDOWN * least_s)
    done = [answer for answer in answers if answer.ok]
    first_s = [answer.ttft_s for answer in done]
    mean = fmean(slow) if slow else math.nan
    return Figures(
        slowdown=mean,
        slowdown_p95=quantile(slow, 0.95),
        goodput=met / len(asked),
        ttft_p50_s=quantile(first_s, 0.5),
        ttft_p95_s=quantile(first_s, 0.95),
        ttft_most_s=max(first_s, default=math.nan),
        worst_model=max((fmean(each) for each in by_model.values()), default=math.nan) / mean,
        failed=len(asked) - len(done),
        cut=cut,
        swapped=sum(answer.swapped for answer in done),
        loads=loads,
    )


def workload(case: Case, seed: int, count: int) -> tuple[tuple[NodeSpec, ...], list[Arrival]]:
    """Return a fleet, and so many requests that are asked of it, from 0 on."""
    specs, rows = FLEETS[case.fleet](), trace(case.trace, "held")
    return specs, arrivals(specs, rows, load=case.load, count=count, seed=seed, start_us=0)


async def compare(told: argparse.Namespace) -> None:
    """Play every case to every system in turn, seed by seed."""
    result: dict[str, Json] = begin("placement.real")
    result |= {"time_scale": told.time_scale, "requests": told.requests, "seeds": told.seeds}
    found: dict[tuple[Case, str], list[Figures]] = {}
    missing: set[str] = set()
    for case in CASES[:1] if told.quick else CASES:
        for seed in range(1, told.seeds + 1):
            specs, asked = workload(case, seed, told.requests)
            for system in SYSTEMS:
                if system in missing:
                    continue
                try:
                    figures = await measure(specs, asked, system, told.time_scale)
                except MissingError as error:
                    print(f"left out: {error}")
                    missing.add(system)
                    continue
                found.setdefault((case, system), []).append(figures)
                print(f"{' '.join(map(str, case))}, seed {seed}, {system}: {figures}", flush=True)
    rows: list[tuple[str | float, ...]] = []
    kept: list[Json] = []
    for (case, system), runs in found.items():
        means = {
            name: math.fsum(getattr(each, name) for each in runs) / len(runs)
            for name in Figures.__struct_fields__
        }
        rows.append((case.fleet, case.trace, case.load, system, *means.values()))
        runs_told: list[Json] = [msgspec.to_builtins(each) for each in runs]
        kept.append({**case._asdict(), "system": system, **means, "runs": runs_told})
    print(table("Placement by processes", ("fleet", "trace", "load", "system", *SHOWN), rows))
    result["cases"] = kept
    publish("placement_real", result, keep=not told.quick)


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks placement.real", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one fleet, one seed")
    parser.add_argument("--requests", type=int, default=COUNT)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--time-scale", type=float, default=TIME_SCALE)
    told = parser.parse_args()
    if told.quick:
        told.seeds, told.requests = 1, min(told.requests, 100)
    run_loop(compare(told))


if __name__ == "__main__":
    main()
