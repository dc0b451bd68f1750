"""Simulated nodes as processes, and traffic through them."""

import asyncio
import contextlib
import json
import os
import signal
import sys

import pytest

from herd.errors import HerdError
from herd.http.client import FetchError, fetch
from herd.simulator.faults import Fault
from herd.simulator.fleet import NodeOrder, SimulatedFleet, demo_orders, start_node
from herd.simulator.workload import Call, Result, Workload

IDEAL = NodeOrder(profile="ideal")


async def stats(url: str) -> dict[str, object]:
    answer = await fetch("GET", f"{url}/sim/stats")
    found: dict[str, object] = json.loads(answer.body)
    return found


def test_the_demos_three_nodes_serve_and_stop() -> None:
    async def main() -> None:
        async with SimulatedFleet(demo_orders(time_scale=200)) as fleet:
            assert [node.name for node in fleet.nodes] == ["studio", "tower", "mini"]
            assert all(node.running for node in fleet.nodes)
            results: list[Result] = []
            workload = Workload(
                fleet["studio"].url, per_s=500, seed=3, most=4, on_result=results.append
            )
            await workload.run(20)
            assert [result.status for result in results] == [200] * 20
            assert (workload.sent, workload.answered, workload.failed) == (20, 20, 0)
            assert (await stats(fleet["studio"].url))["served"] == 20
        assert not any(node.running for node in fleet.nodes)
        assert [await node.ended() for node in fleet.nodes] == [0, 0, 0]

    asyncio.run(main())


def test_faults_reach_a_node_that_refuses_connections() -> None:
    async def main() -> None:
        node = await start_node(IDEAL)
        try:
            node.fault(Fault(kind="refuse"))
            async with asyncio.timeout(5):
                while not await refuses(node.url):  # noqa: ASYNC110 (another process)
                    await asyncio.sleep(0.005)
                node.fault(Fault(kind="none"))
                while await refuses(node.url):  # noqa: ASYNC110 (another process)
                    await asyncio.sleep(0.005)
        finally:
            await node.stop()

    asyncio.run(main())


async def refuses(url: str) -> bool:
    try:
        await fetch("GET", url)
    except FetchError as error:
        return error.phase == "connect"
    return False


def test_a_node_can_be_killed() -> None:
    async def main() -> None:
        node = await start_node(IDEAL)
        node.kill()
        assert await node.ended() == -signal.SIGKILL
        assert not node.running
        await node.stop()

    asyncio.run(main())


def test_nodes_die_with_their_parent() -> None:
    program = (
        "import asyncio, os\n"
        "from herd.simulator.fleet import NodeOrder, start_node\n"
        "async def main():\n"
        "    node = await start_node(NodeOrder(profile='ideal'))\n"
        "    print(node.pid, node.url, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )

    async def main() -> None:
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await parent.communicate()
        pid, url = out.decode().split()
        try:
            async with asyncio.timeout(5):
                while not await refuses(url):  # noqa: ASYNC110 (another process)
                    await asyncio.sleep(0.01)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    asyncio.run(main())


def test_a_node_that_cannot_start_says_so_and_leaves_none_behind(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def main() -> None:
        async with SimulatedFleet((IDEAL,)) as fleet:
            taken = int(fleet.nodes[0].url.rpartition(":")[2])
            both = SimulatedFleet(
                (NodeOrder(profile="mini"), NodeOrder(profile="mini", port=taken))
            )
            with pytest.raises(HerdError, match="the node mini did not start"):
                await both.__aenter__()
            assert not any(node.running for node in both.nodes)

    asyncio.run(main())
    assert "Choose another --port" in capfd.readouterr().err


def test_every_flag_reaches_the_node() -> None:
    async def main() -> None:
        order = NodeOrder(
            profile="mini", name="tiny", parallel=3, max_queue=0, step_s=0.0, seed=5, time_scale=9
        )
        long = NodeOrder(profile="ideal", answer_tokens=1234)
        node = await start_node(order)
        try:
            found = await stats(node.url)
            assert (found["name"], found["simulated"]) == ("tiny", True)
            body = b'{"model":"llama3.2:3b","prompt":"x","stream":false}'
            busy = await fetch("POST", f"{node.url}/api/generate", body=body)
            assert busy.status == 503
        finally:
            await node.stop()
        node = await start_node(long)
        try:
            whole = await fetch("POST", f"{node.url}/api/generate", body=body)
            assert json.loads(whole.body)["eval_count"] == 1234
        finally:
            await node.stop()

    asyncio.run(main())


def test_it_says_where_it_listens_and_ends_on_sigterm() -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "herd.simulator", "--profile", "tower"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        url = json.loads(await process.stdout.readline())["url"]
        assert b"tower: a simulated Ollama node with llama3.2:3b" in await process.stderr.readline()
        assert (await fetch("GET", url)).body == b"Ollama is running"
        process.terminate()
        assert await process.wait() == 0

    asyncio.run(main())


def test_the_same_seed_is_the_same_traffic() -> None:
    def drawn(seed: int) -> list[tuple[str, str, bytes]]:
        workload = Workload("http://localhost:1", seed=seed)
        return [(call.path, call.model, call.body) for call in (workload.draw() for _ in range(50))]

    assert drawn(1) == drawn(1) != drawn(2)
    models = {model for _, model, _ in drawn(1)}
    assert models == {"llama3.2:3b", "qwen2.5:7b", "llama3.3:70b", "nomic-embed-text"}
    lengths = [len(body) for _, _, body in drawn(1)]
    assert max(lengths) > 5 * min(lengths)


def test_a_workload_bounds_openais_answers_if_told_to() -> None:
    workload = Workload("http://localhost:1", tokens=9)
    bounds = {json.loads(c.body).get("max_tokens") for c in calls(workload) if "v1" in c.path}
    assert bounds == {9}
    assert not any(b"max_tokens" in call.body for call in calls(Workload("http://localhost:1")))


def calls(workload: Workload) -> list[Call]:
    return [workload.draw() for _ in range(50)]


def test_a_workload_counts_what_fails_and_stops_when_it_is_cancelled() -> None:
    async def main() -> None:
        results: list[Result] = []
        workload = Workload("http://127.0.0.1:9", per_s=500, on_result=results.append)
        await workload.run(3)
        assert (workload.answered, workload.failed) == (0, 3)
        assert all(result.error.startswith("connect: ") for result in results)
        endless = asyncio.ensure_future(Workload("http://127.0.0.1:9", per_s=500).run())
        await asyncio.sleep(0.05)
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless

    asyncio.run(main())


def test_a_workload_leaves_out_what_would_be_too_much() -> None:
    async def main() -> None:
        node = await start_node(NodeOrder(profile="ideal", step_s=0.001))
        try:
            workload = Workload(node.url, per_s=2000, most=2)
            await workload.run(6)
            peak = (await stats(node.url))["peak_in_flight"]
            assert isinstance(peak, int)
            assert peak <= 2
        finally:
            await node.stop()

    asyncio.run(main())
