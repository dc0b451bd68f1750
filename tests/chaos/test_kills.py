"""kill -9 each process under load: nothing acknowledged is lost, nobody is lied to."""

import asyncio
import os
import signal
import socket
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from events import RecoveryEnded
from herd.platform import run_loop
from herd.simulator.fleet import NodeOrder, SimulatedFleet
from tests.chaos.running import (
    Herd,
    Stream,
    in_duckdb,
    journal,
    replayed,
    stream,
    unfinished,
)

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

MODEL = "llama3.2:3b"
STREAMS = 64
FLEET = (
    NodeOrder(profile="ideal", name="alpha", step_s=0.05, parallel=64),
    NodeOrder(profile="ideal", name="beta", step_s=0.05, parallel=64),
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def with_streams(
    root: Path, kill: Callable[[Herd, list[Stream]], Awaitable[None]], *, workers: int = 1
) -> tuple[Herd, list[Stream]]:
    """Run `kill` while 64 streams are live, then end everything in good order."""
    async with SimulatedFleet(FLEET) as fleet:
        nodes = [f"{node.url},name={node.name},slots=64" for node in fleet.nodes]
        herd = Herd(root, nodes, port=free_port(), workers=workers)
        herd.start()
        try:
            await herd.ready(len(nodes))
            live = [Stream() for _ in range(STREAMS)]
            tasks = [asyncio.ensure_future(stream(herd.port, MODEL, 80, one)) for one in live]
            await asyncio.wait_for(asyncio.gather(*(one.started.wait() for one in live)), 20)
            await kill(herd, live)
            await asyncio.wait_for(asyncio.gather(*tasks), 60)
            await quiet(herd)
        finally:
            herd.stop()
        return herd, live


async def quiet(herd: Herd, timeout_s: float = 10.0) -> None:
    """Wait until control counts no request in flight."""
    ends_at = time.monotonic() + timeout_s
    while time.monotonic() < ends_at:
        status = await herd.status()
        if status and not sum(queue["in_flight"] for queue in status["queues"].values()):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"slots are still taken: {await herd.status()}")


def exactly_once(herd: Herd) -> None:
    """Assert that the database holds each record of the journal once, and each request ended."""
    log = journal(herd.directory)
    count, distinct, first, last = in_duckdb(herd.directory)
    assert (count, distinct, first, last) == (log[-1].seq, log[-1].seq, 1, log[-1].seq)
    assert [record.seq for record in log] == list(range(log[0].seq, log[-1].seq + 1))
    assert not unfinished(log)
    report = replayed(herd.directory)
    assert not report.divergences, report.divergences[:1]


def test_control_dies_and_no_stream_breaks(tmp_path: Path) -> None:
    resumed_s: list[float] = []

    async def kill(herd: Herd, live: list[Stream]) -> None:
        assert all(not one.done for one in live)
        for _ in range(2):
            pid = herd.kill("control")
            began = time.monotonic()
            fresh = Stream()
            await asyncio.wait_for(stream(herd.port, MODEL, 1, fresh), 10)
            assert fresh.done, fresh
            resumed_s.append(fresh.first_byte_at - began)
            await herd.replaced("control", pid)

    herd, live = run_loop(with_streams(tmp_path / "data", kill))
    assert all(one.done and one.lines == 81 and not one.error for one in live), live[:3]
    assert statistics.median(resumed_s) < 3.0  # the target, 1 s, is measured in benchmarks/
    exactly_once(herd)


def test_a_front_that_is_stopped_while_control_dies_loses_nothing(tmp_path: Path) -> None:
    """It is late by more than control waits for it; each of its requests still ends once."""

    async def kill(herd: Herd, live: list[Stream]) -> None:
        del live
        front = herd.pids()["front 1"]
        os.kill(front, signal.SIGSTOP)
        try:
            pid = herd.kill("control")
            await herd.replaced("control", pid)
            ends_at = time.monotonic() + 30
            while not awaited(herd) and time.monotonic() < ends_at:  # noqa: ASYNC110 (of a log)
                await asyncio.sleep(0.1)
        finally:
            os.kill(front, signal.SIGCONT)
        assert awaited(herd), "control did not wait"

    def awaited(herd: Herd) -> bool:
        ended = [r.event for r in journal(herd.directory) if isinstance(r.event, RecoveryEnded)]
        return bool(ended[-1].awaited)

    herd, live = run_loop(with_streams(tmp_path / "data", kill, workers=2))
    assert all(one.done and one.lines == 81 and not one.error for one in live), live[:3]
    kinds = [type(record.event).__name__ for record in journal(herd.directory)]
    assert kinds.count("RequestInterrupted") == 0
    assert kinds.count("RequestCompleted") == len(live)
    exactly_once(herd)


def test_a_front_dies_and_only_its_connections_break(tmp_path: Path) -> None:
    async def kill(herd: Herd, live: list[Stream]) -> None:
        del live
        pid = herd.kill("front 1")
        await herd.replaced("front 1", pid)

    herd, live = run_loop(with_streams(tmp_path / "data", kill, workers=2))
    whole = [one for one in live if one.done]
    broken = [one for one in live if not one.done]
    assert broken, "no stream was on front 1"
    assert whole, "no stream was on front 2"
    assert all(one.lines == 81 for one in whole)
    interrupted = [
        record
        for record in journal(herd.directory)
        if type(record.event).__name__ == "RequestInterrupted"
    ]
    assert len(interrupted) == len(broken)
    exactly_once(herd)


def test_logd_dies_and_nothing_stalls(tmp_path: Path) -> None:
    async def kill(herd: Herd, live: list[Stream]) -> None:
        del live
        for _ in range(3):
            pid = herd.kill("logd")
            fresh = Stream()
            await asyncio.wait_for(stream(herd.port, MODEL, 1, fresh), 5)
            assert fresh.done
            await herd.replaced("logd", pid)

    herd, live = run_loop(with_streams(tmp_path / "data", kill))
    assert all(one.done and not one.error for one in live)
    exactly_once(herd)


def test_the_supervisor_dies_and_another_takes_over(tmp_path: Path) -> None:
    async def kill(herd: Herd, live: list[Stream]) -> None:
        del live
        family = [psutil.Process(pid) for name, pid in herd.pids().items() if name != "supervisor"]
        herd.kill("supervisor")
        herd.start()
        await herd.ready(len(FLEET))
        gone, left = psutil.wait_procs(family, timeout=6)
        assert not left, left
        assert len(gone) == len(family)
        await herd.ready(len(FLEET))  # before, a front that was about to end may have said so
        fresh = Stream()
        await asyncio.wait_for(stream(herd.port, MODEL, 1, fresh), 5)
        assert fresh.done

    herd, live = run_loop(with_streams(tmp_path / "data", kill))
    assert all(one.done or one.error for one in live), "a cut stream was told a clean end"
    exactly_once(herd)


def test_all_processes_die_at_once(tmp_path: Path) -> None:
    async def kill(herd: Herd, live: list[Stream]) -> None:
        del live
        for pid in herd.pids().values():
            os.kill(pid, signal.SIGKILL)
        herd.start()
        await herd.ready(len(FLEET))

    herd, live = run_loop(with_streams(tmp_path / "data", kill))
    assert not any(one.done for one in live)
    exactly_once(herd)
