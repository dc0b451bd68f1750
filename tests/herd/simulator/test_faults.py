"""What goes wrong on demand, and heals."""

import asyncio
import json
import socket

import pytest

from herd.http.client import FetchError
from herd.simulator import profiles
from herd.simulator.node import SimulatedNode
from tests.herd.http.sockets import client
from tests.herd.simulator.conftest import Run
from tests.herd.simulator.talk import SMALL, ask, chat, post, simulated, streaming, told, until


def test_refused_connections(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            url = node.url
            node.fault("refuse")
            with pytest.raises(FetchError) as failed:
                await ask(node, "/api/version")
            assert failed.value.phase == "connect"
            node.fault("none")
            assert (await ask(node, "/api/version")).status == 200
            assert node.url == url

    run(main())


def test_refusing_ends_idle_connections_and_lets_streams_end(run: Run) -> None:
    async def main() -> None:
        async with simulated(time_scale=5) as node, client(node.port) as idle:
            idle.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await idle.answer()
            async with streaming(node, chat(options={"num_predict": 30})) as stream:
                node.fault("refuse")
                assert await idle.rest() == b""
                assert b'"done":true' in await stream.rest()

    run(main())


def test_a_fault_heals_by_itself(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            node.fault("refuse", for_s=0.05)
            with pytest.raises(FetchError):
                await ask(node, "/")
            await until(lambda: node.stats().fault == "none")
            assert (await ask(node, "/")).status == 200

    run(main())


def test_refusing_and_healing_in_quick_turns_ends_as_said_last(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            for _ in range(3):
                node.fault("refuse")
                node.fault("none")
            node.fault("refuse")
            await asyncio.sleep(0.02)
            with pytest.raises(FetchError):
                await ask(node, "/")
            node.fault("none")
            assert (await ask(node, "/")).status == 200

    run(main())


def test_healing_waits_for_a_port_that_somebody_took(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            node.fault("refuse")
            await asyncio.sleep(0.01)
            with socket.create_server(("127.0.0.1", node.port)):
                node.fault("none")
                await asyncio.sleep(0.05)
            async with asyncio.timeout(5):
                while not await answers(node):  # noqa: ASYNC110 (the node is watched from outside)
                    await asyncio.sleep(0.005)

    run(main())


async def answers(node: SimulatedNode) -> bool:
    try:
        return (await ask(node, "/")).status == 200
    except FetchError:
        return False


def test_a_frozen_node_accepts_and_answers_nothing_until_it_thaws(run: Run) -> None:
    async def main() -> None:
        async with simulated(time_scale=20) as node:
            await told(node, "/api/generate", {"model": SMALL})
            async with streaming(node, chat()) as stream:
                node.fault("freeze")
                made = node.stats().tokens
                async with client(node.port) as late, client(node.port) as leaves:
                    late.send(b"GET /api/version HTTP/1.1\r\nHost: x\r\n\r\n")
                    leaves.send(post("/api/chat", chat()))
                    await until(lambda: node.stats().in_flight == 3)
                    leaves.close()
                    await until(lambda: node.stats().cancelled == 1)
                    with pytest.raises(TimeoutError):
                        async with asyncio.timeout(0.1):
                            await late.head()
                    assert node.stats().tokens == made
                    assert (await told(node, "/sim/stats"))["fault"] == "freeze"
                    node.fault("none")
                    assert b"200 OK" in (await late.answer())[0]
                await stream.until(b'"done":true')

    run(main())


def test_500_before_the_first_byte_so_many_times(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            node.fault("error", count=2)
            native = await ask(node, "/api/chat", chat())
            assert native.status == 500
            assert "simulated fault" in json.loads(native.body)["error"]
            compatible = await ask(node, "/v1/chat/completions", chat())
            assert json.loads(compatible.body)["error"]["type"] == "api_error"
            assert (await ask(node, "/api/tags")).status == 200
            assert (await ask(node, "/api/chat", chat())).status == 200
            assert node.stats().failed == 2

    run(main())


def test_dying_in_mid_stream(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            node.fault("die", after_tokens=3, count=1)
            async with client(node.port) as raw:
                raw.send(post("/api/chat", chat()))
                await raw.head()
                for _ in range(3):
                    await raw.until(b'"done":false}\n\r\n')
                with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                    await raw.until(b'"done":')
            stats = node.stats()
            assert (stats.failed, stats.running, stats.in_flight) == (1, 0, 0)
            assert (await ask(node, "/api/chat", chat())).status == 200

    run(main())


def test_dying_without_a_byte(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            node.fault("die")
            bodies = [
                ("/api/chat", chat()),
                ("/api/chat", chat(stream=False)),
                ("/api/embed", {"model": "nomic-embed-text", "input": "x"}),
            ]
            for path, body in bodies:
                with pytest.raises(FetchError) as failed:
                    await ask(node, path, body)
                assert failed.value.phase == "first_byte"
            assert node.stats().failed == 3

    run(main())


def test_dying_hits_what_is_under_way(run: Run) -> None:
    async def main() -> None:
        async with simulated(time_scale=2) as node:
            await told(node, "/api/generate", {"model": SMALL})
            async with streaming(node, chat()) as stream:
                node.fault("die")
                with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                    await stream.until(b'"done":true')

    run(main())


def test_an_ideal_node_dies_in_the_middle_as_well(run: Run) -> None:
    async def main() -> None:
        async with simulated(profiles.ideal()) as node:
            node.fault("die", after_tokens=2)
            async with client(node.port) as raw:
                raw.send(post("/api/chat", chat()))
                await raw.head()
                for _ in range(2):
                    await raw.until(b'"done":false}\n\r\n')
                with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                    await raw.until(b"\n")

    run(main())


def test_slow_by_a_factor(run: Run) -> None:
    async def main() -> None:
        async with simulated(time_scale=20) as node:
            body = chat(stream=False, options={"num_predict": 40})
            await told(node, "/api/chat", body)
            before = (await told(node, "/api/chat", body))["eval_duration"]
            node.fault("slow", factor=4)
            after = (await told(node, "/api/chat", body))["eval_duration"]
            assert after == pytest.approx(4 * before, rel=0.01)
            node.fault("none")
            healed = (await told(node, "/api/chat", body))["eval_duration"]
            assert healed == pytest.approx(before, rel=0.01)

    run(main())


def test_faults_over_http(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            fault = await told(node, "/sim/fault", {"kind": "error", "count": 1})
            assert fault == {
                "kind": "error",
                "after_tokens": 0,
                "count": 1,
                "factor": 2.0,
                "for_s": 0.0,
            }
            assert (await ask(node, "/api/chat", chat())).status == 500
            assert (await ask(node, "/api/chat", chat())).status == 200
            await told(node, "/sim/fault", {"kind": "freeze"})
            await told(node, "/sim/fault", {"kind": "none"})
            assert (await ask(node, "/")).status == 200
            for wrong in ({"kind": "explode"}, {"kind": "slow", "factor": 0}, {"sort": "die"}):
                assert (await ask(node, "/sim/fault", wrong)).status == 400
            await told(node, "/sim/fault", {"kind": "refuse", "for_s": 30})
            with pytest.raises(FetchError):
                await ask(node, "/")

    run(main())


def test_garbage_is_a_200_that_is_no_answer(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            node.fault("garbage", count=1)
            answer = await ask(node, "/api/chat", chat(stream=False))
            assert answer.status == 200
            with pytest.raises(UnicodeDecodeError):
                answer.body.decode()
            assert (await told(node, "/api/chat", chat(stream=False)))["done"]
            assert (await told(node, "/sim/stats"))["failed"] == 1

    run(main())
