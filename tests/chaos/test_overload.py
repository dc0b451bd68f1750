"""Ten times more than there is, a log that nobody takes in, a slow disk: herd stays quick."""

import asyncio
import json
import os
import signal
from pathlib import Path
from statistics import median

import psutil
import pytest

from herd.http.client import fetch
from herd.platform import run_loop
from herd.simulator.fleet import NodeOrder, SimulatedFleet
from herd.tasks import spawn
from tests.chaos.clients import Ask, Told, ask
from tests.chaos.running import Herd, journal, unfinished
from tests.chaos.test_kills import exactly_once, free_port, quiet

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

SLOTS, TOKENS, STEP_S = 4, 10, 0.04
CAPACITY_PER_S = 2 * SLOTS / (TOKENS * STEP_S)
FLEET = tuple(
    NodeOrder(profile="ideal", name=name, step_s=STEP_S, parallel=SLOTS)
    for name in ("alpha", "beta")
)
NORMAL = Ask("/api/chat", stream=False, tokens=TOKENS)
URGENT = Ask("/api/chat", stream=False, tokens=TOKENS, priority="interactive")
OVERLOAD_S = 15.0
LINE = 40
MOST_GROWN_BYTES = 32 << 20
LOGD_STOPPED_S = 10.0
SLOW_DISK_S, SYNC_S = 8.0, 1.5


def running(root: Path, fleet: SimulatedFleet, **environment: str) -> Herd:
    nodes = [f"{node.url},name={node.name},slots={SLOTS}" for node in fleet.nodes]
    return Herd(root, nodes, port=free_port(), environment=environment)


async def open_loop(port: int, what: Ask, per_s: float, for_s: float) -> list[Told]:
    """Ask so often, whatever becomes of those who asked before."""
    asking: list[asyncio.Task[Told]] = []
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while (age_s := loop.time() - began_s) < for_s:
        while len(asking) < age_s * per_s:
            asking.append(spawn(ask(port, what), name="ask"))
        await asyncio.sleep(0.005)
    return list(await asyncio.gather(*asking))


def weight(herd: Herd) -> dict[str, int]:
    return {
        name: psutil.Process(pid).memory_info().rss
        for name, pid in herd.pids().items()
        if name.startswith(("front", "control"))
    }


def test_ten_times_too_much_is_refused_at_once_and_people_are_served(tmp_path: Path) -> None:
    async def main() -> None:
        async with SimulatedFleet(FLEET) as fleet:
            herd = running(tmp_path / "data", fleet, FLEET_MAX_QUEUE=str(LINE))
            herd.start()
            try:
                await herd.ready(len(FLEET))
                await open_loop(herd.port, NORMAL, 10 * CAPACITY_PER_S, 5.0)
                before = weight(herd)
                flood, people = await asyncio.gather(
                    open_loop(herd.port, NORMAL, 10 * CAPACITY_PER_S, OVERLOAD_S),
                    open_loop(herd.port, URGENT, CAPACITY_PER_S / 5, OVERLOAD_S),
                )
                after = weight(herd)
                await quiet(herd)
                again = await ask(herd.port, NORMAL)
            finally:
                herd.stop()
            assert again.end == "success", again
            assert {told.end for told in people} == {"success"}, people
            served = [took_s(told) for told in flood if told.end == "success"]
            refused = [told for told in flood if told.end == "failure"]
            assert len(served) > OVERLOAD_S * CAPACITY_PER_S / 2, "the nodes were not used"
            assert len(refused) > len(flood) / 2
            assert {told.status for told in refused} <= {429, 503}
            waits_s = [int(told.retry_after) for told in refused]
            assert min(waits_s) >= 1
            assert max(waits_s) <= 4 * LINE / CAPACITY_PER_S + 2, "longer than the line takes"
            assert median(took_s(told) for told in refused) < median(served)
            slowest = sorted(took_s(told) for told in people)[len(people) * 95 // 100]
            assert slowest < median(served), "people waited as long as everybody"
            grown = {name: after[name] - before[name] for name in before}
            assert max(grown.values()) < MOST_GROWN_BYTES, grown
            exactly_once(herd)

    run_loop(main())


def took_s(told: Told) -> float:
    return told.ended_s - told.began_s


def test_logd_is_stopped_and_nobody_waits_for_it(tmp_path: Path) -> None:
    """Health says so, the log file too; nothing is lost, and it catches up."""

    async def main() -> None:
        async with SimulatedFleet(FLEET) as fleet:
            herd = running(tmp_path / "data", fleet)
            herd.start()
            try:
                await herd.ready(len(FLEET))
                logd = herd.pids()["logd"]
                os.kill(logd, signal.SIGSTOP)
                load = spawn(
                    open_loop(herd.port, NORMAL, CAPACITY_PER_S / 2, LOGD_STOPPED_S), name="load"
                )
                url = f"{herd.url}/dashboard/api/health"
                health = json.loads((await fetch("GET", url, timeout_s=10.0)).body)
                ready = json.loads((await fetch("GET", f"{herd.url}/readyz")).body)
                told = await load
                unread = len(journal(herd.directory))
                os.kill(logd, signal.SIGCONT)
                await quiet(herd)
            finally:
                herd.stop()
            assert {each.end for each in told} == {"success"}, told
            assert unread > 2 * len(told), "nothing was written while logd was stopped"
            worst = health["recommendations"][0]
            assert (worst["check_id"], worst["severity"]) == ("log_away", "critical")
            assert ready["recording"] is True
            assert "logd does not answer" in herd.directory.jsonl.read_text()
            assert not unfinished(journal(herd.directory))
            exactly_once(herd)

    run_loop(main())


def test_a_slow_disk_slows_nobody(tmp_path: Path) -> None:
    """Each sync takes longer than an answer, each write 2 ms: a worn card, a disk far away."""

    async def main() -> None:
        slow = {
            "PYTHONPATH": f"{Path(__file__).parent / 'slow'}{os.pathsep}{Path.cwd()}",
            "CHAOS_SYNC_S": str(SYNC_S),
            "CHAOS_WRITE_S": "0.002",
        }
        async with SimulatedFleet(FLEET) as fleet:
            herd = running(tmp_path / "data", fleet, **slow)
            herd.start()
            try:
                await herd.ready(len(FLEET))
                told = await open_loop(herd.port, NORMAL, CAPACITY_PER_S / 2, SLOW_DISK_S)
                await quiet(herd)
            finally:
                herd.stop()
            assert {each.end for each in told} == {"success"}, told
            assert median(took_s(each) for each in told) < SYNC_S, "they waited for the disk"
            assert not unfinished(journal(herd.directory))
            exactly_once(herd)

    run_loop(main())
