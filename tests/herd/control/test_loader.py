"""Planned loads, carried out at nodes: what is asked of them, and what is told of it."""

import asyncio

import msgspec

from actors.core.state import Node
from events import Event, LoadFinished, LoadPlanned, ModelFacts, NodeId
from herd.control.loader import Loader
from herd.simulator import profiles
from herd.simulator.node import SimulatedNode
from tests.conftest import Run
from tests.herd.small_server import DEEP, SmallServer

SMALL, MIDDLE, EMBED = (
    model.facts.name for model in (profiles.LLAMA_3B, profiles.QWEN_7B, profiles.NOMIC)
)


def a_node(url: str) -> Node:
    models = (profiles.LLAMA_3B, profiles.QWEN_7B, profiles.NOMIC)
    return Node(NodeId("ada"), url, "flag", models={each.facts.name: each.facts for each in models})


def plan(model: str, *leaving: str) -> LoadPlanned:
    return LoadPlanned(
        node_id=NodeId("ada"),
        model=model,
        reason="queue",
        gain_s=9.0,
        cost_s=1.0,
        leaving=leaving,
    )


async def told(planned: LoadPlanned, url: str) -> LoadFinished:
    """The one fact that comes of it."""
    facts: asyncio.Queue[Event] = asyncio.Queue()
    loader = Loader(facts.put_nowait)
    loader.start(planned, a_node(url))
    async with asyncio.timeout(10):
        fact = await facts.get()
    await loader.close()
    assert isinstance(fact, LoadFinished)
    return fact


def test_a_node_loads_and_unloads_what_it_is_asked_for(on_each_loop: Run[None]) -> None:
    async def main() -> None:
        ada = SimulatedNode(profiles.tower(), time_scale=200.0)
        await ada.start()
        try:
            for model, leaving in ((SMALL, ()), (EMBED, ()), (MIDDLE, (SMALL, EMBED))):
                found = await told(plan(model, *leaving), ada.url)
                assert (found.node_id, found.model, found.error) == ("ada", model, "")
                assert found.load_s > 0
            resident = [each.model.facts.name for each in ada.engine.up_to_date().resident()]
            assert resident == [MIDDLE]
        finally:
            await ada.stop()

    on_each_loop(main())


def test_it_is_asked_as_ollama_has_it(on_each_loop: Run[None]) -> None:
    async def main() -> None:
        async with SmallServer().running() as server:
            server.answers = {
                "/api/generate": (200, {"done": True, "load_duration": 2_500_000_000}),
                "/api/embed": (200, b"not JSON"),
            }
            found = await told(plan(SMALL, MIDDLE, EMBED), server.url)
            assert found.load_s == 2.5
            assert list(
                zip(server.asked, map(msgspec.json.decode, server.bodies), strict=True)
            ) == [
                ("/api/generate", {"model": MIDDLE, "keep_alive": 0}),
                ("/api/embed", {"model": EMBED, "input": [], "keep_alive": 0}),
                ("/api/generate", {"model": SMALL}),
            ]
            pinned = msgspec.structs.replace(plan(SMALL), reason="pinned")
            assert (await told(pinned, server.url)).error == ""
            assert msgspec.json.decode(server.bodies[-1]) == {"model": SMALL, "keep_alive": -1}
            found = await told(plan(EMBED), server.url)
            assert found.error == ""
            assert found.load_s < 2
            server.answers["/api/embed"] = (200, DEEP)
            assert (await told(plan(EMBED), server.url)).error == ""

    on_each_loop(main())


def test_what_went_wrong_is_told(on_each_loop: Run[None]) -> None:
    async def main() -> None:
        async with SmallServer().running() as server:
            url = server.url
            server.answers = {"/api/generate": (500, {"error": "secret prompt"})}
            found = await told(plan(SMALL), url)
            assert (found.error, found.load_s) == ("answered 500", 0.0)
        found = await told(plan(SMALL), url)
        assert "refused" in found.error

    on_each_loop(main())


def test_nothing_is_left_under_way(on_each_loop: Run[None]) -> None:
    async def main() -> None:
        facts: list[Event] = []
        async with SmallServer().running() as server:
            server.silent = True
            loader = Loader(facts.append)
            loader.start(plan(SMALL), a_node(server.url))
            await server.asked_times("/api/generate", 1)
            await loader.close()
        assert facts == []

    on_each_loop(main())


def test_only_models_that_embed_are_asked_so() -> None:
    assert "embedding" in profiles.NOMIC.facts.capabilities
    assert "embedding" not in ModelFacts(name="x").capabilities
