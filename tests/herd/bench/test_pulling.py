"""The pulls of a benchmark: progress, what fails, and what is deleted again."""

import asyncio
from typing import Any

import msgspec

from events import NodeId, WantedPull
from herd.bench.pulling import Pulling
from herd.bench.words import Plan, Progress
from tests.conftest import Run
from tests.herd.small_server import SmallServer

ONE, OTHER = (WantedPull(model=name, node_id=NodeId("ada")) for name in ("one:1b", "other:1b"))
LINES = (
    b'{"status":"pulling manifest"}\n'
    b'{"status":"pulling abc","total":90000000,"completed":30000000}\n'
    b'{"status":"success"}\n'
)


def plan(url: str, *pulls: WantedPull, removes: bool = False) -> Plan:
    return Plan("bench-1", url, "smart", 1.0, ("llm",), (), "secret", pulls, removes)


def test_models_are_pulled_told_of_and_deleted_again_where_that_is_wanted(
    on_each_loop: Run[Any],
) -> None:
    async def main() -> None:
        async with SmallServer().running() as server:
            server.answers = {"/api/pull": (200, LINES), "/api/delete": (200, b"")}
            told: list[Progress] = []
            pulling = Pulling(plan(server.url, ONE, OTHER, removes=True), told.append)
            await pulling.pull()
            assert (pulling.pulled, pulling.failures) == ([ONE, OTHER], [])
            assert {each.status for each in told} == {"pulling"}
            assert (30_000_000, 90_000_000) in {(t.completed_bytes, t.total_bytes) for t in told}
            assert told[-1].pulled == ("one:1b",)
            await pulling.clear()
            assert pulling.removed == [ONE, OTHER]
            assert server.asked == ["/api/pull", "/api/pull", "/api/delete", "/api/delete"]
            assert msgspec.json.decode(server.bodies[-1]) == {
                "model": "other:1b",
                "node_id": "ada",
            }

    on_each_loop(main())


def test_what_was_pulled_stays_unless_somebody_said_otherwise(on_each_loop: Run[Any]) -> None:
    async def main() -> None:
        async with SmallServer().running() as server:
            server.answers = {"/api/pull": (200, LINES)}
            pulling = Pulling(plan(server.url, ONE), lambda _: None)
            await pulling.pull()
            await pulling.clear()
            assert (pulling.pulled, pulling.removed) == ([ONE], [])
            assert server.asked == ["/api/pull"]

    on_each_loop(main())


def test_one_that_cannot_be_had_is_told_and_the_others_come(on_each_loop: Run[Any]) -> None:
    async def main() -> None:
        async with SmallServer().running() as server:
            for answer, why in (
                ((200, b'{"error":"no such model"}\n'), "no such model"),
                ((507, {"error": "no room on its disk"}), "no room on its disk"),
                ((200, b'{"status":"pulling manifest"}\n'), "ended with 200 pulling manifest"),
                ((200, b"\xff\n"), "ended with 200"),
            ):
                server.answers = {"/api/pull": answer}
                pulling = Pulling(plan(server.url, ONE, OTHER), lambda _: None)
                await pulling.pull()
                assert pulling.pulled == []
                assert [text.startswith("not pulled: o") for text in pulling.failures] == [True] * 2
                assert why in pulling.failures[0]
            url = server.url
        pulling = Pulling(plan(url, ONE, removes=True), lambda _: None)
        await pulling.pull()
        assert "refused" in pulling.failures[0]
        pulling.pulled = [ONE]
        await pulling.clear()
        assert pulling.removed == []

    on_each_loop(main())


def test_it_can_be_stopped_in_between(on_each_loop: Run[Any]) -> None:
    async def main() -> None:
        async with SmallServer().running() as server:
            server.silent = True
            pulling = Pulling(plan(server.url, ONE), lambda _: None)
            task = asyncio.ensure_future(pulling.pull())
            await server.asked_times("/api/pull", 1)
            task.cancel()
            await asyncio.wait((task,))
            assert pulling.pulled == []

    on_each_loop(main())
