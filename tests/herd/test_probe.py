"""The prober: how often it asks, what it reports, when an agent counts as silent."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from events import Event, NodeId, NodeProbed, NodeSilent
from herd.probe import Pace, Prober, probe
from tests.herd.small_server import SmallServer

STUDIO = NodeId("studio")
NEVER_S = 3600.0


class Reports:
    """What a prober reported, to be waited for."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def add(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    async def until(self, wanted: Callable[[list[NodeProbed]], object]) -> list[NodeProbed]:
        async with asyncio.timeout(5):
            while not self.probed() or not wanted(self.probed()):
                self._changed.clear()
                await self._changed.wait()
        return self.probed()

    async def until_silent(self, times: int) -> list[NodeSilent]:
        async with asyncio.timeout(5):
            while len(self.silences()) < times:
                self._changed.clear()
                await self._changed.wait()
        return self.silences()

    def probed(self) -> list[NodeProbed]:
        return [event for event in self.events if isinstance(event, NodeProbed)]

    def silences(self) -> list[NodeSilent]:
        return [event for event in self.events if isinstance(event, NodeSilent)]


Scene = Callable[[SmallServer, Prober, Reports], Awaitable[None]]


def _play(scene: Scene, pace: Pace, *, watch: bool = True) -> None:
    async def play() -> None:
        reports, server = Reports(), SmallServer()
        server.ollama()
        prober = Prober(reports.add, pace)
        async with server.running():
            if watch:
                prober.watch(STUDIO, server.url, agentless=True)
            try:
                await scene(server, prober, reports)
            finally:
                await prober.close()

    asyncio.run(play())


def test_one_probe() -> None:
    async def scene(server: SmallServer, _prober: Prober, _reports: Reports) -> None:
        found = await probe(STUDIO, server.url, want_models=True)
        assert (found.node_id, found.reachable) == (STUDIO, True)
        assert [model.name for model in found.resident or ()] == ["llama3.2:3b"]

    _play(scene, Pace(), watch=False)


def test_looks_at_the_disk_first_and_then_at_memory() -> None:
    async def scene(server: SmallServer, _prober: Prober, reports: Reports) -> None:
        first, second, *_ = await reports.until(lambda probed: len(probed) >= 2)
        assert first.models
        assert first.facts is not None
        assert second.models is None
        assert second.resident == first.resident
        assert server.asked.count("/api/tags") == 1

    _play(scene, Pace(idle_s=0.01, models_s=NEVER_S))


def test_looks_at_the_disk_again_when_it_is_time() -> None:
    async def scene(server: SmallServer, _prober: Prober, _reports: Reports) -> None:
        await server.asked_times("/api/tags", 3)

    _play(scene, Pace(idle_s=0.01, models_s=0.02))


def test_refresh_looks_at_the_disk_at_once() -> None:
    async def scene(server: SmallServer, prober: Prober, reports: Reports) -> None:
        await reports.until(len)
        server.answers["/api/tags"] = (200, {"models": [{"name": "new"}]})
        prober.refresh(STUDIO)
        _, after = await reports.until(lambda probed: len(probed) == 2)
        assert [model.name for model in after.models or ()] == ["new:latest"]

    _play(scene, Pace(idle_s=NEVER_S, models_s=NEVER_S))


def test_a_refresh_during_a_look_is_not_lost() -> None:
    async def scene(server: SmallServer, prober: Prober, _reports: Reports) -> None:
        await server.asked_times("/api/ps", 1)
        prober.refresh(STUDIO)
        await server.asked_times("/api/tags", 2)

    _play(scene, Pace(idle_s=NEVER_S, models_s=NEVER_S))


def test_a_node_that_is_down_is_not_asked_sooner_for_a_refresh() -> None:
    async def scene(server: SmallServer, prober: Prober, reports: Reports) -> None:
        server.answers = {}
        await reports.until(len)
        prober.refresh(STUDIO)
        await asyncio.sleep(0.05)
        assert len(reports.probed()) == 1

    _play(scene, Pace(eager_s=NEVER_S))


@pytest.mark.usefixtures("no_blocking")
def test_a_node_that_is_down_is_asked_eagerly_and_comes_back_whole() -> None:
    async def scene(server: SmallServer, _prober: Prober, reports: Reports) -> None:
        server.answers = {}
        *_, down = await reports.until(lambda probed: len(probed) >= 3)
        assert not down.reachable
        assert down.error
        server.ollama()
        *_, up = await reports.until(lambda probed: probed[-1].reachable)
        assert up.models

    _play(scene, Pace(eager_s=0.01, idle_s=NEVER_S))


def test_an_expected_load_is_watched_until_memory_changes() -> None:
    async def scene(server: SmallServer, prober: Prober, reports: Reports) -> None:
        await reports.until(len)
        prober.expect_load(STUDIO)
        await reports.until(lambda probed: len(probed) >= 4)
        server.answers["/api/ps"] = (200, {"models": [{"name": "loaded"}]})
        *_, last = await reports.until(
            lambda probed: probed[-1].resident and probed[-1].resident[0].name == "loaded:latest"
        )
        seen = len(reports.probed())
        await asyncio.sleep(0.05)
        assert len(reports.probed()) == seen
        assert last.models is None

    _play(scene, Pace(eager_s=0.01, idle_s=NEVER_S, models_s=NEVER_S))


def test_one_question_at_a_time_and_no_answer_is_reported() -> None:
    async def scene(server: SmallServer, _prober: Prober, reports: Reports) -> None:
        await reports.until(len)
        server.silent = True
        before = len(server.asked)
        *_, lost = await reports.until(lambda probed: not probed[-1].reachable)
        assert lost.error == "no answer within 0.1 s"
        assert len(server.asked) == before + 1

    _play(scene, Pace(idle_s=0.01, eager_s=NEVER_S, timeout_s=0.1, models_s=NEVER_S))


def test_a_moved_node_is_asked_at_its_new_place_and_a_forgotten_one_not_at_all() -> None:
    async def scene(server: SmallServer, prober: Prober, reports: Reports) -> None:
        prober.watch(STUDIO, "http://127.0.0.1:1", agentless=True)
        await reports.until(lambda probed: not probed[0].reachable)
        assert server.asked == []
        prober.watch(STUDIO, server.url, agentless=True)
        prober.watch(STUDIO, server.url, agentless=True)  # the same again: no second task
        await reports.until(lambda probed: probed[-1].reachable)
        assert server.asked.count("/api/tags") == 1
        prober.forget(STUDIO)
        seen = len(reports.events)
        await asyncio.sleep(0.05)
        assert len(reports.events) == seen
        prober.refresh(STUDIO)
        prober.expect_load(STUDIO)
        prober.heartbeat(STUDIO)

    _play(scene, Pace(idle_s=0.01, eager_s=NEVER_S))


def test_an_agent_is_only_listened_to() -> None:
    async def scene(server: SmallServer, prober: Prober, reports: Reports) -> None:
        loop = asyncio.get_running_loop()
        prober.watch(STUDIO, server.url, agentless=False)
        first, second = await reports.until_silent(2)
        assert 0.1 <= first.silent_s < second.silent_s
        assert second.silent_s - first.silent_s >= 0.04

        began = loop.time()
        prober.heartbeat(STUDIO)
        _, _, third = await reports.until_silent(3)
        assert loop.time() - began >= 0.1
        assert third.silent_s <= loop.time() - began
        assert server.asked == []

    _play(scene, Pace(silent_after_s=0.1, silent_every_s=0.05), watch=False)


def test_an_agent_that_comes_in_ends_the_asking() -> None:
    async def scene(server: SmallServer, prober: Prober, reports: Reports) -> None:
        await reports.until(len)
        prober.watch(STUDIO, server.url, agentless=False)
        await asyncio.sleep(0.02)
        asked = len(server.asked)
        await asyncio.sleep(0.05)
        assert len(server.asked) == asked

    _play(scene, Pace(idle_s=0.01))


def test_what_a_node_with_an_agent_has_is_looked_at_too() -> None:
    async def scene(server: SmallServer, prober: Prober, reports: Reports) -> None:
        prober.watch(STUDIO, server.url, agentless=False)
        prober.look_at(NodeId("nobody"))
        prober.look_at(STUDIO)
        [found] = await reports.until(len)
        assert found.facts is None, "of those its agent tells"
        assert [model.name for model in found.resident or ()] == ["llama3.2:3b"]
        assert "llama3.2:3b" in [model.name for model in found.models or ()]
        server.answers = {}
        prober.look_at(STUDIO)
        await asyncio.sleep(0.05)
        assert len(reports.probed()) == 1, "whether it answers is its agent's word"

    _play(scene, Pace(idle_s=NEVER_S, models_s=NEVER_S), watch=False)


def test_the_disk_of_a_node_that_is_asked_is_looked_at_at_once() -> None:
    async def scene(server: SmallServer, prober: Prober, reports: Reports) -> None:
        await reports.until(len)
        server.answers["/api/tags"] = (200, {"models": [{"name": "new"}]})
        prober.look_at(STUDIO)
        _, after = await reports.until(lambda probed: len(probed) == 2)
        assert [model.name for model in after.models or ()] == ["new:latest"]

    _play(scene, Pace(idle_s=NEVER_S, models_s=NEVER_S))
