"""A simulated node's disk changes as an Ollama's does."""

import asyncio
import hashlib
import json
from typing import Any

import msgspec

from herd.http.client import Response, fetch
from herd.simulator import profiles
from herd.simulator.node import SimulatedNode
from tests.herd.http.sockets import client
from tests.herd.simulator.conftest import Run
from tests.herd.simulator.talk import BIG, SMALL, ask, chat, lines, post, simulated, told, until

TINY = "smollm2:135m"
SIZE = profiles.SMOLLM.facts.size_bytes


async def names(node: SimulatedNode) -> set[str]:
    return {row["name"] for row in (await told(node, "/api/tags"))["models"]}


async def delete(node: SimulatedNode, model: str) -> Response:
    body = json.dumps({"model": model}).encode()
    return await fetch("DELETE", node.url + "/api/delete", body=body)


def test_a_pull_tells_how_far_it_is_and_the_model_is_there(run: Run) -> None:
    async def main() -> None:
        async with simulated(time_scale=10.0) as node:
            came = lines((await ask(node, "/api/pull", {"model": TINY})).body)
            assert came[0] == {"status": "pulling manifest"}
            assert came[1]["total"] == SIZE
            assert "completed" not in came[1]
            done = [line["completed"] for line in came[2:] if line.get("total") == SIZE]
            assert done[-1] == SIZE
            assert done == sorted(done)
            assert len(set(done)) > 2
            assert came[-1] == {"status": "success"}
            assert TINY in await names(node)
            assert (await told(node, "/api/chat", chat(TINY, stream=False)))["done"]

    run(main())


def test_without_a_stream_only_the_end_is_told(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            asked = {"name": TINY, "stream": False}
            assert await told(node, "/api/pull", asked) == {"status": "success"}
            nope = await ask(node, "/api/pull", {"model": "nope", "stream": False})
            assert nope.status == 500
            assert b"file does not exist" in nope.body

    run(main())


def test_what_is_nowhere_and_what_does_not_fit_ends_with_an_error_line(run: Run) -> None:
    async def main() -> None:
        small = msgspec.structs.replace(profiles.mini(), disk_free_bytes=1_000)
        async with simulated(small) as node:
            assert "error" in lines((await ask(node, "/api/pull", {"model": "nope"})).body)[-1]
            full = lines((await ask(node, "/api/pull", {"model": TINY})).body)[-1]
            assert "no space left" in full["error"]
            assert TINY not in await names(node)

    run(main())


def test_a_second_asker_joins_and_the_last_that_leaves_stops_it(run: Run) -> None:
    async def main() -> None:
        async with simulated(time_scale=1.0) as node:
            async with client(node.port) as first, client(node.port) as second:
                for one in (first, second):
                    one.send(post("/api/pull", {"model": TINY}))
                    await one.until(b'"completed":')
                first.close()
                await second.until(b'"completed":')
                shelf: Any = node.shelf
                assert len(shelf._downloads) == 1
            await until(lambda: not shelf._downloads)
            assert 0 < shelf._partial[TINY] < SIZE, "the next one goes on from there"
            assert TINY not in await names(node)

    run(main())


def test_copy_create_push_and_delete(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            answer = await ask(node, "/api/copy", {"source": SMALL, "destination": "mine"})
            assert (answer.status, answer.body) == (200, b"")
            made = await ask(node, "/api/create", {"model": "yours", "from": SMALL})
            assert lines(made.body)[-1] == {"status": "success"}
            assert {"mine:latest", "yours:latest"} <= await names(node)
            pushed = lines((await ask(node, "/api/push", {"model": "mine"})).body)
            assert pushed[-1] == {"status": "success"}
            assert (await delete(node, "mine")).status == 200
            assert "mine:latest" not in await names(node)
            gone = await delete(node, "mine")
            assert (gone.status, gone.body) == (404, b'{"error":"model \'mine\' not found"}')
            for what, rest in (
                ("source", {"destination": "x"}),
                ("destination", {"source": SMALL}),
            ):
                half = await ask(node, "/api/copy", rest)
                told = b'{"error":"%s \\"\\" is invalid"}' % what.encode()
                assert (half.status, half.body) == (400, told)
            lost = await ask(node, "/api/copy", {"source": "mine", "destination": "x"})
            assert (lost.status, lost.body) == (404, b'{"error":"model \\"mine\\" not found"}')

    run(main())


def test_a_model_is_made_of_blobs(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            data = b"GGUF" * 100
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            path = f"/api/blobs/{digest}"
            assert (await fetch("HEAD", node.url + path)).status == 404
            bad = await fetch("POST", node.url + path, body=b"other")
            assert (bad.status, bad.body) == (400, b'{"error":"digest mismatch"}')
            missing = {"model": "new", "files": {"a.gguf": digest}, "stream": False}
            assert (await ask(node, "/api/create", missing)).status == 400
            assert (await fetch("POST", node.url + path, body=data)).status == 201
            assert (await fetch("POST", node.url + path, body=data)).status == 200
            assert (await fetch("HEAD", node.url + path)).status == 200
            assert await told(node, "/api/create", missing) == {"status": "success"}
            found = (await told(node, "/api/tags"))["models"]
            assert [row["size"] for row in found if row["name"] == "new:latest"] == [len(data)]

    run(main())


def test_a_deleted_model_leaves_the_memory_too(run: Run) -> None:
    async def main() -> None:
        async with simulated() as node:
            await told(node, "/api/chat", chat(BIG, stream=False))
            assert (await told(node, "/api/ps"))["models"]
            await delete(node, BIG)
            assert not (await told(node, "/api/ps"))["models"]
            await asyncio.sleep(0)

    run(main())
