"""A whole control process in one loop: a real journal, a real link, a node that answers."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from actors.core.commands import Cancel, Grant, Refuse
from events import (
    CarriedRequest,
    ControlStarted,
    ControlStopped,
    Event,
    FrontConnected,
    FrontLost,
    NodeBecameHealthy,
    NodeDiscovered,
    NodeForgotten,
    NodeWentOffline,
    Recorded,
    RecoveryEnded,
    RequestCompleted,
    RequestId,
    RequestInterrupted,
    RequestReceived,
    Source,
)
from herd.config import Settings
from herd.control import control as control_module
from herd.control.control import Control
from herd.journal.reader import records
from herd.link.client import LinkClient
from herd.link.messages import View
from herd.link.presence import Presence
from herd.node_address import NodeAddress
from herd.replay.check import check
from tests.conftest import Run
from tests.herd.small_server import SmallServer

MODEL = "llama3.2:3b"
WAIT_S = 5.0


async def until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not reached():  # noqa: ASYNC110 (all of it runs on this loop: a turn is enough)
            await asyncio.sleep(0.001)


class App:
    """A front's app, as far as control can tell."""

    def __init__(self) -> None:
        self.grants: dict[str, Grant] = {}
        self.refusals: list[Refuse | Cancel] = []
        self.waiting: tuple[RequestId, ...] = ()
        self.in_flight: tuple[CarriedRequest, ...] = ()

    def granted(self, grant: Grant) -> None:
        self.grants[grant.request_id] = grant

    def refused(self, refuse: Refuse) -> None:
        self.refusals.append(refuse)

    def cancelled(self, cancel: Cancel) -> None:
        self.refusals.append(cancel)

    def carrying(self) -> tuple[tuple[RequestId, ...], tuple[CarriedRequest, ...]]:
        return self.waiting, self.in_flight

    def view_changed(self, view: View) -> None:
        pass


def settings(root: Path, *urls: str, **more: Any) -> Settings:
    nodes = tuple(NodeAddress(url, slots=1) for url in urls)
    told: dict[str, Any] = {"mdns": False, "local_ollama": False, "workers": 1, "nodes": nodes}
    made = Settings(data_dir=str(root), **told | more)
    made.directory.create()
    return made


@asynccontextmanager
async def control_of(configured: Settings) -> AsyncGenerator[Control, None]:
    control = Control(configured)
    await control.start()
    try:
        yield control
    finally:
        await control.stop()


@asynccontextmanager
async def with_front(control: Control) -> AsyncGenerator[tuple[LinkClient, App], None]:
    """Join a front as the one-process composition does."""
    front, app = LinkClient(Source("f1-aaaaaa"), 1), App()
    ours, theirs = socket.socketpair()
    await control.adopt(ours)
    await front.over(theirs, app)
    await control.recover(1)
    await asyncio.wait_for(front.welcomed(), WAIT_S)
    try:
        yield front, app
    finally:
        front.close()
        await control.fronts_left(WAIT_S)


def log(configured: Settings) -> list[Recorded]:
    return list(records(configured.directory.journal))


def kinds(configured: Settings) -> list[type[Event]]:
    return [type(record.event) for record in log(configured)]


def received(name: str) -> RequestReceived:
    return RequestReceived(request_id=RequestId(name), model=MODEL)


def completed(grant: Grant) -> RequestCompleted:
    return RequestCompleted(
        request_id=grant.request_id, model=MODEL, node_id=grant.node_id, lease=grant.lease
    )


def test_a_request_gets_a_node_and_the_log_tells_of_it(
    on_each_loop: Run[Any], tmp_path: Path
) -> None:
    async def play() -> None:
        server = SmallServer()
        server.ollama()
        async with server.running():
            configured = settings(tmp_path, server.url)
            async with control_of(configured) as control, with_front(control) as (front, app):
                front.tell(received("r1"))
                front.tell(received("r2"))
                await until(lambda: "r1" in app.grants)
                assert app.grants["r1"].url == server.url
                assert "r2" not in app.grants, "one slot"
                front.tell(completed(app.grants["r1"]))
                await until(lambda: "r2" in app.grants)
                front.tell(completed(app.grants["r2"]))
                await until(lambda: front.kept == 0)
                await until(lambda: "completed=2" in repr(front.view.nodes))
                (node,) = front.view.nodes
                assert (node.status, node.slots[MODEL].completed) == ("online", 2)
                assert front.view.settled
            told = kinds(configured)
            assert told[1] == ControlStarted
            assert told[-1] == ControlStopped
            assert told.count(RequestCompleted) == 2
            report = check(log(configured))
            assert (report.divergences, report.skipped) == ([], 0)

    on_each_loop(play())


def test_grants_wait_for_the_fronts_that_are_expected(
    on_each_loop: Run[Any], tmp_path: Path
) -> None:
    async def play() -> None:
        configured = settings(tmp_path)
        async with control_of(configured) as control, with_front(control):
            await until(lambda: RecoveryEnded in kinds(configured))
        told = kinds(configured)
        assert told.index(FrontConnected) < told.index(RecoveryEnded)
        ended = next(r.event for r in log(configured) if isinstance(r.event, RecoveryEnded))
        assert ended.fronts == 1
        assert ended.waited_s < 0.25, "it did not wait longer than it had to"

    on_each_loop(play())


def test_fronts_that_do_not_come_are_not_waited_for_for_ever(
    on_each_loop: Run[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "FRONTS_WAIT_S", 0.1)

    async def play() -> None:
        configured = settings(tmp_path)
        async with control_of(configured) as control:
            await asyncio.wait_for(control.recover(2), 10.0)
        ended = next(r.event for r in log(configured) if isinstance(r.event, RecoveryEnded))
        assert ended.fronts == 0

    on_each_loop(play())


def test_what_a_front_carries_that_lives_is_not_given_up_before_it_ends(
    on_each_loop: Run[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "FRONTS_WAIT_S", 0.1)

    async def play() -> None:
        configured = settings(tmp_path)
        async with control_of(configured) as control, with_front(control) as (front, _):
            front.tell(received("r1"))
            await until(lambda: front.kept == 0)
            await control.stop()  # before the front leaves
        stopped = Presence(configured.directory.sockets, Source("f1-aaaaaa"))
        stopped.enter()
        async with control_of(configured) as control:
            await control.recover(0)
            await until(lambda: kinds(configured).count(RecoveryEnded) == 2)
            *_, ended = (r.event for r in log(configured) if isinstance(r.event, RecoveryEnded))
            assert ended.awaited == ("f1-aaaaaa",)
            assert RequestInterrupted not in kinds(configured)
            stopped.leave()
            await until(lambda: RequestInterrupted in kinds(configured))
        assert not check(log(configured)).divergences

    on_each_loop(play())


def test_a_front_whose_link_breaks_is_lost_once_it_has_ended(
    on_each_loop: Run[Any], tmp_path: Path
) -> None:
    async def play() -> None:
        configured = settings(tmp_path)
        lives = Presence(configured.directory.sockets, Source("f1-aaaaaa"))
        lives.enter()
        async with control_of(configured) as control:
            front, app = LinkClient(Source("f1-aaaaaa"), 1), App()
            ours, theirs = socket.socketpair()
            await control.adopt(ours)
            await front.over(theirs, app)
            await control.recover(1)
            front.tell(received("r1"))
            await until(lambda: front.kept == 0)
            theirs.shutdown(socket.SHUT_RDWR)
            await asyncio.wait_for(front.gone(), WAIT_S)
            await asyncio.sleep(3 * control_module.LOOK_S)
            assert FrontLost not in kinds(configured)
            lives.leave()
            await until(lambda: RequestInterrupted in kinds(configured))
        assert kinds(configured).count(FrontLost) == 1
        assert not check(log(configured)).divergences

    on_each_loop(play())


def test_who_was_stopped_does_not_judge_the_silence_of_others(
    on_each_loop: Run[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fronts get to say how their streams are before any is reaped."""
    monkeypatch.setattr(control_module, "SLEPT_S", 0.4)

    async def play() -> None:
        server = SmallServer()
        server.ollama()
        async with server.running():
            configured = settings(tmp_path, server.url, stale_timeout_s=0.5)
            async with control_of(configured) as control, with_front(control) as (front, app):
                front.tell(received("r1"))
                await until(lambda: "r1" in app.grants)
                grant = app.grants["r1"]
                time.sleep(1.2)  # noqa: ASYNC251 (as if the whole process were stopped)
                await asyncio.sleep(0.1)
                front.tell(completed(grant))
                await until(lambda: front.kept == 0)
        kinds = [type(record.event).__name__ for record in log(configured)]
        assert "RequestCompleted" in kinds
        assert "RequestReaped" not in kinds

    on_each_loop(play())


def test_a_restart_continues_the_log_and_the_streams(
    on_each_loop: Run[Any], tmp_path: Path
) -> None:
    async def play() -> None:
        server = SmallServer()
        server.ollama()
        async with server.running():
            configured = settings(tmp_path, server.url)
            async with control_of(configured) as control, with_front(control) as (front, app):
                front.tell(received("r1"))
                front.tell(received("r2"))
                await until(lambda: "r1" in app.grants)
                await until(lambda: front.kept == 0)
                ours = app.grants["r1"]
                await control.stop()  # before the front leaves: its streams go on
            first = log(configured)
            async with control_of(configured) as again:
                front, app = LinkClient(Source("f1-aaaaaa"), 1), App()
                app.waiting = (RequestId("r2"),)
                app.in_flight = (CarriedRequest(RequestId("r1"), MODEL, ours.node_id, ours.lease),)
                front._n = 3  # pyright: ignore[reportPrivateUsage] (it lived on)
                here, there = socket.socketpair()
                await again.adopt(here)
                await front.over(there, app)
                await again.recover(1)
                front.tell(completed(ours))
                await until(lambda: "r2" in app.grants)
                assert app.grants["r2"].lease == "2.1"
                front.tell(completed(app.grants["r2"]))
                await until(lambda: front.kept == 0)
                front.close()
                await again.fronts_left(WAIT_S)
            assert log(configured)[: len(first)] == first
            report = check(log(configured))
            assert (report.divergences, report.skipped) == ([], 0)
            assert app.refusals == []

    on_each_loop(play())


def test_nodes_are_watched_from_the_first_moment_and_forgotten_when_dropped(
    on_each_loop: Run[Any], tmp_path: Path
) -> None:
    async def play() -> None:
        server = SmallServer()
        server.ollama()
        async with server.running():
            configured = settings(tmp_path, server.url)
            async with control_of(configured):
                await until(lambda: NodeBecameHealthy in kinds(configured))
            assert NodeDiscovered in kinds(configured)
        async with control_of(configured):
            await until(lambda: NodeWentOffline in kinds(configured))
        async with control_of(settings(tmp_path)):
            await until(lambda: NodeForgotten in kinds(configured))

    on_each_loop(play())


def test_a_recovery_that_nobody_heard_of_is_repeated(
    on_each_loop: Run[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actors.core import recovery

    well, failures = recovery.evolve, [ZeroDivisionError("by nothing")]

    def stumble(state: Any, record: Recorded) -> None:
        if isinstance(record.event, RecoveryEnded) and failures:
            raise failures.pop()
        well(state, record)

    monkeypatch.setattr(recovery, "evolve", stumble)

    async def play() -> None:
        configured = settings(tmp_path)
        async with control_of(configured) as control, with_front(control):
            await until(lambda: kinds(configured).count(RecoveryEnded) == 2)

    on_each_loop(play())


def test_a_front_that_was_not_understood_is_asked_again(
    on_each_loop: Run[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actors.core import recovery

    well, failures = recovery.decide, [ZeroDivisionError("by nothing")]

    def stumble(state: Any, record: Recorded) -> Any:
        if isinstance(record.event, FrontConnected) and failures:
            raise failures.pop()
        return well(state, record)

    monkeypatch.setattr(recovery, "decide", stumble)

    async def play() -> None:
        configured = settings(tmp_path)
        front, app = LinkClient(Source("f1-aaaaaa"), 1), App()
        async with control_of(configured) as control:
            await control.listen()
            front.follow(configured.directory.control_socket, app)
            await control.recover(1)
            await until(lambda: kinds(configured).count(FrontConnected) == 2)
            front.close()
            await control.fronts_left(WAIT_S)

    on_each_loop(play())
