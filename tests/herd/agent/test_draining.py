"""An agent that leaves: it waits for what runs at its node, and not for ever."""

import asyncio

import pytest

from herd.tasks import spawn
from tests.herd.agent.stage import Stage, play


def _running(count: int) -> tuple[int, object]:
    queues = {
        "studio:a": {"node_id": "studio", "in_flight": count},
        "other:a": {"node_id": "other", "in_flight": 7},
    }
    return 200, {"queues": queues}


async def _connected(stage: Stage) -> None:
    async with stage.living():
        await stage.beats()
        await stage.hears("connected")


def test_draining_waits_for_what_runs() -> None:
    async def scene(stage: Stage) -> None:
        await _connected(stage)
        stage.balancer.answers["/fleet/status"] = _running(2)
        draining = spawn(stage.agent.drain(), name="drain")
        beat = await stage.beats()
        assert beat.draining
        await stage.hears("draining: 2 running")
        await stage.beats(2)  # it goes on living while it drains
        assert not draining.done()
        stage.balancer.answers["/fleet/status"] = _running(0)
        async with asyncio.timeout(5):
            await draining
        assert stage.said[-1] == "drained"

    play(scene)


def test_a_fleet_that_shows_itself_to_nobody_tells_its_agents_what_runs() -> None:
    async def scene(stage: Stage) -> None:
        await _connected(stage)
        stage.balancer.answers["/fleet/status"] = (401, {"error": "sign in"})
        stage.balancer.answers["/heartbeat"] = (200, {"status": "ok", "in_flight": 3})
        draining = spawn(stage.agent.drain(), name="drain")
        await stage.hears("draining: 3 running")
        assert not draining.done()
        stage.balancer.answers["/heartbeat"] = (200, {"status": "ok", "in_flight": 0})
        async with asyncio.timeout(5):
            await draining
        assert stage.said[-1] == "drained"

    play(scene)


def test_draining_does_not_wait_for_ever() -> None:
    async def scene(stage: Stage) -> None:
        stage.with_terms(drain_s=0.1)
        await _connected(stage)
        stage.balancer.answers["/fleet/status"] = _running(1)
        async with asyncio.timeout(5):
            await stage.agent.drain()
        assert stage.said[-1] == "left with 1 still running"

    play(scene)


@pytest.mark.parametrize("status", [(200, b"<html>"), None])
def test_draining_ends_with_the_balancer(status: tuple[int, object] | None) -> None:
    async def scene(stage: Stage) -> None:
        await _connected(stage)
        if status is None:
            stage.balancer.answers.pop("/heartbeat")
        else:
            stage.balancer.answers["/fleet/status"] = status
        async with asyncio.timeout(5):
            await stage.agent.drain()
        assert "balancer" in stage.said[-1]

    play(scene)


def test_without_a_balancer_there_is_nothing_to_drain() -> None:
    async def scene(stage: Stage) -> None:
        stage.with_terms(router_url="")
        await stage.agent.drain()
        assert stage.said == []
        assert stage.balancer.asked == []

    play(scene)
