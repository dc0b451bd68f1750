"""A simulated node on a real socket: loads, queues, streams, clients that leave."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from herd.simulator import profiles
from herd.simulator.node import SimulatedNode
from herd.simulator.physics import BUSY
from tests.herd.http.sockets import client
from tests.herd.simulator.conftest import Run
from tests.herd.simulator.talk import (
    BIG,
    EMBED,
    SMALL,
    ask,
    chat,
    lines,
    post,
    simulated,
    streaming,
    told,
    until,
)


def test_an_empty_prompt_loads_and_keep_alive_0_unloads(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            loaded = await told(node, "/api/generate", {"model": SMALL, "keep_alive": -1})
            assert (loaded["done"], loaded["done_reason"]) == (True, "load")
            assert loaded["load_duration"] > 0
            assert "eval_count" not in loaded
            (resident,) = (await told(node, "/api/ps"))["models"]
            assert resident["name"] == SMALL
            assert resident["size"] == resident["size_vram"] > 2_019_393_189
            assert resident["context_length"] == 8192
            expires = datetime.fromisoformat(resident["expires_at"])
            assert expires > datetime(2300, 1, 1, tzinfo=UTC)
            gone = await told(node, "/api/chat", {"model": SMALL, "messages": [], "keep_alive": 0})
            assert gone["done_reason"] == "unload"
            assert (await told(node, "/api/ps")) == {"models": []}
            again = await told(node, "/api/chat", {"model": SMALL, "messages": [], "keep_alive": 0})
            assert again["done_reason"] == "unload"
            assert node.stats().loads == 1

    run(main())


def test_expires_at_is_in_real_time(run: Run) -> None:
    async def main() -> None:
        async with simulated(time_scale=10) as node:
            await told(node, "/api/embed", {"model": EMBED, "input": "", "keep_alive": "200s"})
            (resident,) = (await told(node, "/api/ps"))["models"]
            left = datetime.fromisoformat(resident["expires_at"]) - datetime.now(UTC)  # noqa: TID251 (compared with the node's)
            assert timedelta(seconds=18) < left <= timedelta(seconds=20)

    run(main())


def test_a_model_leaves_when_its_keep_alive_is_over(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            await told(node, "/api/generate", {"model": SMALL, "keep_alive": "1000s"})
            assert (await told(node, "/api/ps"))["models"]
            await until(lambda: not node.engine.machine.runners)
            assert (await told(node, "/api/ps")) == {"models": []}

    run(main())


def test_another_num_ctx_reloads(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            for context in (8192, 8192, 4096):
                asked = chat(stream=False, options={"num_ctx": context, "num_predict": 1})
                await told(node, "/api/chat", asked)
            assert node.stats().loads == 2
            assert (await told(node, "/api/ps"))["models"][0]["context_length"] == 4096

    run(main())


def test_too_many_waiting_for_a_load_is_503(run: Run) -> None:
    async def main() -> None:
        spec = msgspec.structs.replace(profiles.studio(), max_queue=1)
        async with simulated(spec, time_scale=1) as node, client(node.port) as first:
            first.send(post("/api/chat", chat(BIG)))
            await until(lambda: node.stats().waiting == 1)
            answer = await ask(node, "/api/chat", chat(BIG))
            assert (answer.status, json.loads(answer.body)) == (503, {"error": BUSY})
            generated = await ask(node, "/api/generate", {"model": BIG, "prompt": "x"})
            assert json.loads(generated.body) == {"error": BUSY}
            other = await ask(node, "/v1/chat/completions", chat(BIG))
            assert json.loads(other.body)["error"]["type"] == "api_error"
            assert node.stats().refused == 3

    run(main())


def test_nothing_is_sent_before_the_first_token(run: Run) -> None:
    async def main() -> None:
        async with simulated(time_scale=20) as node, client(node.port) as waiting:
            waiting.send(post("/api/chat", chat(BIG)))
            await until(lambda: node.stats().waiting == 1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await waiting.head()
            assert b"200 OK" in await waiting.head()
            assert node.stats().loads == 1

    run(main())


def test_each_token_is_a_chunk_of_its_own(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node, client(node.port) as raw:
            raw.send(post("/api/chat", chat(options={"num_predict": 4})))
            await raw.head()
            sizes: list[int] = []
            while size := int(await raw.reader.readline(), 16):
                chunk = (await raw.reader.readexactly(size + 2))[:-2]
                assert chunk.count(b"\n") == 1
                sizes.append(size)
            assert len(sizes) == 5

    run(main())


def test_a_client_that_leaves_frees_its_slot_at_once(run: Run) -> None:
    async def main() -> None:
        async with simulated(profiles.mini(), time_scale=5) as node:
            await told(node, "/api/generate", {"model": SMALL})
            async with (
                client(node.port) as behind,
                client(node.port) as leaves_too,
                client(node.port) as one_piece,
            ):
                async with streaming(node, chat()):
                    leaves_too.send(post("/api/chat", chat()))
                    one_piece.send(post("/api/chat", chat(stream=False)))
                    await until(lambda: node.stats().waiting == 2)
                    behind.send(post("/api/chat", chat(options={"num_predict": 1})))
                    await until(lambda: node.stats().waiting == 3)
                    leaves_too.close()
                    await until(lambda: node.stats().waiting == 2)
                made = node.stats().tokens
                await until(lambda: node.stats().cancelled == 2)
                one_piece.close()
                await behind.answer()
                stats = node.stats()
                assert (stats.running, stats.waiting, stats.in_flight) == (0, 0, 0)
                assert stats.cancelled == 3
                assert stats.tokens <= made + 3

    run(main())


def test_a_thousand_streams_in_one_process(run: Run) -> None:
    async def main() -> None:
        async with simulated(profiles.ideal(0.02), time_scale=1) as node:
            body = chat(options={"num_predict": 5})

            async def one() -> bytes:
                async with client(node.port) as raw:
                    raw.send(post("/api/chat", body))
                    return (await raw.answer())[1]

            node.fault("slow", factor=1e9)
            tasks = len(asyncio.all_tasks())
            answers = [asyncio.ensure_future(one()) for _ in range(1000)]
            await until(lambda: node.stats().running == 1000, within_s=15)
            assert len(asyncio.all_tasks()) == tasks + 1000
            node.fault("none")
            bodies = await asyncio.gather(*answers)
            assert all(lines(body)[-1]["eval_count"] == 5 for body in bodies)
            stats = node.stats()
            assert (stats.served, stats.peak_running, stats.peak_in_flight) == (1000, 1000, 1000)

    run(main())


def test_stats_tell_what_happened(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            await told(node, "/api/chat", chat(stream=False, options={"num_predict": 4}))
            await ask(node, "/api/chat", chat(model="nope"))
            stats = await told(node, "/sim/stats")
            assert stats["name"] == "studio"
            assert stats["simulated"] is True
            counted = {key: stats[key] for key in ("requests", "served", "refused", "loads")}
            assert counted == {"requests": 2, "served": 1, "refused": 1, "loads": 1}
            assert (stats["tokens"], stats["peak_in_flight"], stats["peak_running"]) == (4, 1, 1)

    run(main())


def test_a_node_that_listens_on_ipv6() -> None:
    assert SimulatedNode(profiles.mini(), host="::1", port=7).url == "http://[::1]:7"
