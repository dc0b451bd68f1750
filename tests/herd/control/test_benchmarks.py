"""The process that measures: begun, heard, stopped; one at a time."""

import asyncio
import contextlib
from typing import Any

import pytest

from events import BenchmarkCancelled, BenchmarkEnded, BenchmarkStarted, Event, Recorded
from herd.control.benchmarks import Benchmarks
from tests.conftest import Run
from tests.herd.simulator.talk import until

STARTED = BenchmarkStarted(run_id="bench-1", duration_s=30.0, model_types=("llm",))
NOWHERE = "http://127.0.0.1:9"


class Scene:
    """What control is told; each fact is recorded at once."""

    def __init__(self, url: str = NOWHERE) -> None:
        self.facts: list[Event] = []
        self.changes = 0
        self.benchmarks = Benchmarks(self._put, url, self._changed)

    def records(self, event: Event) -> None:
        self.benchmarks.recorded(Recorded(1, 0, event))

    def ended(self, run_id: str = "bench-1") -> list[BenchmarkEnded]:
        found = [fact for fact in self.facts if isinstance(fact, BenchmarkEnded)]
        return [each for each in found if each.run_id == run_id]

    @property
    def status(self) -> str:
        assert self.benchmarks.shown is not None
        return self.benchmarks.shown.status

    def _put(self, event: Event) -> None:
        self.facts.append(event)
        self.records(event)

    def _changed(self) -> None:
        self.changes += 1


async def silent() -> asyncio.Server:
    """Take every request and answer none."""

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    return await asyncio.start_server(hear, "127.0.0.1", 0)


def url_of(server: asyncio.Server) -> str:
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_a_fleet_that_is_not_there_ends_it_with_a_reason(on_each_loop: Run[Any]) -> None:
    async def play() -> None:
        scene = Scene()
        scene.records(STARTED)
        assert scene.status == "warming_up"
        await until(lambda: bool(scene.ended()))
        [ended] = scene.ended()
        assert ended.outcome == "failed"
        assert "connection refused" in ended.error
        assert scene.status == "error"
        assert scene.benchmarks.shown is not None
        assert scene.benchmarks.shown.error == ended.error
        assert scene.changes >= 2

    on_each_loop(play())


def test_a_second_one_is_refused_and_the_first_goes_on(on_each_loop: Run[Any]) -> None:
    async def play() -> None:
        server = await silent()
        scene = Scene(url_of(server))
        scene.records(STARTED)
        scene.records(BenchmarkStarted(run_id="bench-2", duration_s=1.0))
        assert [each.outcome for each in scene.ended("bench-2")] == ["refused"]
        assert scene.benchmarks.shown is not None
        assert (scene.benchmarks.shown.run_id, scene.status) == ("bench-1", "warming_up")
        await scene.benchmarks.close()
        assert scene.ended() == [], "herd is stopping: the log says nothing of its end"
        server.close()

    on_each_loop(play())


def test_a_cancelled_one_says_what_it_has_and_another_may_begin(on_each_loop: Run[Any]) -> None:
    async def play() -> None:
        server = await silent()
        scene = Scene(url_of(server))
        scene.records(STARTED)
        scene.records(BenchmarkCancelled(run_id="of another"))
        scene.records(BenchmarkCancelled(run_id="bench-1"))
        await until(lambda: bool(scene.ended()))
        assert scene.ended()[0].outcome == "cancelled"
        assert scene.status == "cancelled"
        scene.records(BenchmarkStarted(run_id="bench-2", duration_s=1.0))
        assert scene.ended("bench-2") == []
        await scene.benchmarks.close()
        server.close()

    on_each_loop(play())


def test_a_process_that_cannot_begin_is_told(
    on_each_loop: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")

    async def play() -> None:
        scene = Scene()
        scene.records(STARTED)
        await until(lambda: bool(scene.ended()))
        assert "did not start" in scene.ended()[0].error

    on_each_loop(play())
