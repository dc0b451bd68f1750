"""A long run with everything in it, replayed: every recorded decision comes out again."""

import asyncio
import json
import socket
import sys
from collections import Counter
from pathlib import Path

import pytest

from herd.platform import run_loop
from herd.simulator.faults import Fault
from herd.simulator.fleet import NodeOrder, SimulatedFleet
from tests.chaos.running import Herd, in_duckdb, journal, replayed, unfinished

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

REQUESTS = 10_000
CLIENTS = 96
SLOTS = 8
BODY = json.dumps(
    {
        "model": "llama3.2:3b",
        "stream": False,
        "messages": [{"role": "user", "content": "hello"}],
        "options": {"num_predict": 4},
    }
).encode()
ASK = b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


async def client(port: int, left: list[int], statuses: Counter[int]) -> None:
    """Ask one after the other on one connection until none is left to be asked."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while left[0] > 0:
        left[0] -= 1
        writer.write(ASK)
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(
            line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
        )
        await reader.readexactly(int(fields[b"content-length"]))
        statuses[int(head.split()[1])] += 1
    writer.close()


async def incident(root: Path, port: int) -> Counter[int]:
    orders = tuple(
        NodeOrder(profile="ideal", name=name, step_s=0.002, parallel=64)
        for name in ("alpha", "beta", "gamma")
    )
    statuses: Counter[int] = Counter()
    async with SimulatedFleet(orders) as fleet:
        nodes = [f"{node.url},name={node.name},slots={SLOTS}" for node in fleet.nodes]
        herd = Herd(root, nodes, port=port, workers=2)
        herd.start()
        try:
            await herd.ready(len(nodes))
            left = [REQUESTS]
            load = [asyncio.ensure_future(client(port, left, statuses)) for _ in range(CLIENTS)]
            await asyncio.sleep(0.5)
            fleet["beta"].fault(Fault(kind="error", count=40))
            await asyncio.sleep(0.5)
            fleet["gamma"].kill()
            await asyncio.sleep(0.5)
            herd.kill("control")
            await asyncio.wait_for(asyncio.gather(*load), 200)
        finally:
            herd.stop()
    return statuses


def test_ten_thousand_requests_replay_without_a_divergence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    statuses = run_loop(incident(tmp_path / "data", port))
    herd = Herd(tmp_path / "data", [], port=port)
    assert statuses.total() == REQUESTS
    assert statuses[200] > REQUESTS * 0.99, statuses
    log = journal(herd.directory)
    kinds = Counter(type(record.event).__name__ for record in log)
    assert kinds["RequestReceived"] == REQUESTS
    assert kinds["RequestQueued"] > 100
    assert kinds["AttemptFailed"] >= 10
    assert kinds["ControlStarted"] == 2
    assert kinds["NodeDegraded"]
    assert kinds["NodeWentOffline"]
    assert not unfinished(log)
    count, distinct, first, last = in_duckdb(herd.directory)
    assert (count, distinct, first, last) == (len(log), len(log), 1, log[-1].seq)
    report = replayed(herd.directory)
    assert report.dispatches > REQUESTS
    assert not report.divergences, report.divergences[:1]
    assert not report.skipped
    sys.stderr.write(f"{report.dispatches} dispatches replayed; {dict(kinds)}\n")
