"""Both ends of the link, over real sockets: at least once, in order, whatever dies."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.core.commands import Cancel, Grant, Refuse, Send
from events import (
    CONTROL,
    CarriedRequest,
    FrontConnected,
    FrontLost,
    Lease,
    NodeId,
    RecordingResumed,
    RequestId,
    RequestReceived,
    Source,
    TimerFired,
)
from herd.link import client as client_module
from herd.link.client import LinkClient, LinkFullError
from herd.link.messages import PROTOCOL, Fact, Hello, View
from tests.conftest import Run
from tests.herd.link.ends import SRC, WAIT_S, Control, following, listening, pair, request, until


async def gone(control: Control, front: LinkClient) -> None:
    """Let control die; the front notices."""
    control.link.close()
    await until(lambda: not front.connected)


# One process


def test_a_front_says_what_it_carries_when_it_is_welcomed(on_each_loop: Run[Any]) -> None:
    async def play() -> None:
        async with pair() as (front, control, _):
            assert front.connected
            assert control.link.fronts == 1
            assert control.facts == [(FrontConnected(front=1), SRC, 1)]

    on_each_loop(play())


def test_facts_come_once_and_in_order(on_each_loop: Run[Any]) -> None:
    async def play() -> None:
        async with pair() as (front, control, _):
            for number in range(1000):
                front.tell(request(number))
            await until(lambda: len(control.facts) == 1001)
            assert control.told() == [f"r{number}" for number in range(1000)]
            assert [n for _, _, n in control.facts] == list(range(1, 1002))

    on_each_loop(play())


def test_facts_are_kept_until_they_are_acknowledged(on_each_loop: Run[Any]) -> None:
    async def play() -> None:
        async with pair() as (front, control, _):
            front.tell(request(1))
            await until(lambda: len(control.facts) == 2)
            assert front.kept == 2
            control.link.acknowledge({SRC: 1, Source("f9-nobody"): 4})
            await until(lambda: front.kept == 1)
            control.link.acknowledge({SRC: 2})
            await until(lambda: front.kept == 0)

    on_each_loop(play())


def test_what_control_says_reaches_the_app_in_order(on_each_loop: Run[Any]) -> None:
    grant = Grant(RequestId("r1"), NodeId("studio"), "http://s", Lease("1.1"), 1, 99.5)
    refuse = Refuse(RequestId("r2"), 429, "queue_full", 7)
    cancel = Cancel(RequestId("r3"), Lease("1.2"), "reaped")

    async def play() -> None:
        async with pair() as (_, control, app):
            control.link.send([Send(SRC, grant), Send(SRC, refuse), Send(SRC, cancel)])
            control.link.send([Send(Source("f9-nobody"), grant)])
            await until(lambda: len(app.heard) == 3)
            assert app.heard == [grant, refuse, cancel]

    on_each_loop(play())


def test_a_view_is_shown_when_it_is_another(on_each_loop: Run[Any]) -> None:
    async def play() -> None:
        async with pair() as (front, control, app):
            for waiting in (1, 1, 2):
                control.link.show(View(waiting={"m": waiting}))
            await until(lambda: front.view.waiting == {"m": 2})
            assert app.heard == [View(waiting={"m": 1}), View(waiting={"m": 2})]

    on_each_loop(play())


def test_a_frame_larger_than_one_read_arrives_whole(on_each_loop: Run[Any]) -> None:
    text = "x" * 3_000_000

    async def play() -> None:
        async with pair() as (front, control, _):
            front.tell(RequestReceived(request_id=RequestId("r1"), model=text))
            front.tell(request(2))
            await until(lambda: len(control.facts) == 3)
            assert control.facts[1][0] == RequestReceived(request_id=RequestId("r1"), model=text)

    on_each_loop(play())


def test_a_front_that_leaves_says_so_and_is_reported_once(on_each_loop: Run[Any]) -> None:
    async def play() -> None:
        async with pair() as (front, control, _):
            front.close()
            await until(lambda: control.link.fronts == 0)
            assert control.facts[1:] == [(FrontLost(front_src=SRC, told=True), "control", 0)]

    on_each_loop(play())


def test_too_many_facts_without_an_answer_are_refused(
    on_each_loop: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "MOST_FACTS", 3)

    async def play() -> None:
        async with pair() as (front, control, _):
            front.tell(request(1))
            front.tell(request(2))
            with pytest.raises(LinkFullError, match="back soon"):
                front.tell(request(3))
            await until(lambda: len(control.facts) == 3)
            control.write()
            await until(lambda: front.kept == 0)
            front.tell(request(3))

    on_each_loop(play())


def test_too_many_bytes_too(on_each_loop: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MOST_BYTES", 1000)

    async def play() -> None:
        async with pair() as (front, _, _):
            front.tell(RequestReceived(request_id=RequestId("r1"), model="x" * 1000))
            with pytest.raises(LinkFullError):
                front.tell(request(2))

    on_each_loop(play())


def test_a_front_beside_control_is_told_that_their_link_is_gone(on_each_loop: Run[Any]) -> None:
    async def play() -> None:
        async with pair() as (front, control, _):
            control.link.cut(SRC)
            await asyncio.wait_for(front.gone(), WAIT_S)
            assert not front.connected

    on_each_loop(play())


# Control dies and comes back


def test_what_was_not_written_is_sent_again_to_the_next_control(
    on_each_loop: Run[Any], tmp_path: Path
) -> None:
    path = tmp_path / "control.sock"
    carried = CarriedRequest(RequestId("r0"), "m", NodeId("studio"), Lease("1.1"))

    async def play() -> None:
        async with following(path) as (front, app):
            async with listening(path) as first:
                await asyncio.wait_for(front.welcomed(), WAIT_S)
                front.tell(request(1))
                front.tell(request(2))
                await until(lambda: first.told() == ["r1", "r2"])
                await gone(first, front)  # r2, n = 3, was heard and never written
            front.tell(request(3))
            app.waiting, app.in_flight = (RequestId("r3"),), (carried,)
            async with listening(path, epoch=2, last_n={SRC: 2}) as second:
                await until(lambda: len(second.facts) == 3)
                here = FrontConnected(front=1, waiting=(RequestId("r3"),), in_flight=(carried,))
                assert second.facts == [(request(2), SRC, 3), (request(3), SRC, 4), (here, SRC, 5)]
                assert app.heard == []

    on_each_loop(play())


def test_what_was_written_but_never_acknowledged_is_not_doubled(
    on_each_loop: Run[Any], tmp_path: Path
) -> None:
    path = tmp_path / "control.sock"

    async def play() -> None:
        async with following(path) as (front, _):
            async with listening(path) as first:
                await asyncio.wait_for(front.welcomed(), WAIT_S)
                front.tell(request(1))
                await until(lambda: first.told() == ["r1"])
                await gone(first, front)
            async with listening(path, epoch=2, last_n={SRC: 2}) as second:
                await until(lambda: second.facts)
                assert second.facts == [(FrontConnected(front=1), SRC, 3)]
                assert front.kept == 1, "the rest is known to be written"

    on_each_loop(play())


def test_facts_that_a_dead_control_could_not_write_are_named(
    on_each_loop: Run[Any], tmp_path: Path
) -> None:
    """It acknowledged them while the disk was full, and was killed."""
    path = tmp_path / "control.sock"

    async def play() -> None:
        async with following(path) as (front, _):
            async with listening(path) as first:
                await asyncio.wait_for(front.welcomed(), WAIT_S)
                front.tell(request(1))
                front.tell(request(2))
                await until(lambda: first.told() == ["r1", "r2"])
                first.lose(2)
                await until(lambda: not front.kept)
                await gone(first, front)
            async with listening(path, epoch=2, last_n={SRC: 1}) as second:
                await until(lambda: len(second.facts) == 2)
                lost, back = second.facts
                error = "control ended while it could not record"
                assert lost == (RecordingResumed(1, 2, error), CONTROL, 0)
                assert back == (FrontConnected(front=1), SRC, 4)

    on_each_loop(play())


def test_what_changed_nothing_was_not_lost(on_each_loop: Run[Any], tmp_path: Path) -> None:
    """Heartbeats that say what the last one said are acknowledged, and not written."""
    path = tmp_path / "control.sock"

    async def play() -> None:
        async with following(path) as (front, _):
            async with listening(path) as first:
                await asyncio.wait_for(front.welcomed(), WAIT_S)
                front.tell(request(1))
                await until(lambda: first.told() == ["r1"])
                first.lose(1)
                front.tell(request(2))
                await until(lambda: first.told() == ["r1", "r2"])
                first.write()  # and it says itself what it lost
                await until(lambda: not front.kept)
                await gone(first, front)
            async with listening(path, epoch=2, last_n={SRC: 1}) as second:
                await until(lambda: second.facts)
                assert second.facts == [(FrontConnected(front=1), SRC, 4)]

    on_each_loop(play())


def test_a_front_that_is_cut_off_comes_back(on_each_loop: Run[Any], tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def play() -> None:
        async with following(path) as (front, _), listening(path) as control:
            await until(lambda: control.facts)
            control.link.show(View(settled=True))
            control.link.cut(SRC)
            control.link.cut(Source("f9-nobody"))
            await until(lambda: len(control.facts) == 3)
            events = [event for event, _, _ in control.facts]
            assert events == [FrontConnected(front=1), FrontLost(front_src=SRC), events[0]]
            await until(lambda: front.view.settled)  # a newcomer is shown the fleet at once

    on_each_loop(play())


def test_a_full_front_can_still_say_what_it_carries(
    on_each_loop: Run[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "control.sock"
    monkeypatch.setattr(client_module, "MOST_FACTS", 2)

    async def play() -> None:
        async with following(path) as (front, _):
            front.tell(request(1))
            front.tell(request(2))
            with pytest.raises(LinkFullError):
                front.tell(request(3))
            async with listening(path) as control:
                await until(lambda: len(control.facts) == 3)
                assert control.facts[-1] == (FrontConnected(front=1), SRC, 3)

    on_each_loop(play())


def test_another_protocol_is_refused_and_not_asked_again_at_once(
    on_each_loop: Run[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "control.sock"
    monkeypatch.setattr(client_module, "PROTOCOL", 99)

    async def play() -> None:
        async with following(path) as (front, _), listening(path) as control:
            front.tell(request(1))
            await until(lambda: caplog.records)
            await asyncio.sleep(0.2)
            assert not front.connected
            assert control.facts == []
            assert len(caplog.records) < 20, "it pauses between two attempts"

    on_each_loop(play())
    assert f"speaks link protocol 99, not {PROTOCOL}" in caplog.text


def test_only_its_owner_reaches_the_socket(on_each_loop: Run[Any], tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("left behind")

    async def play() -> None:
        async with listening(path):
            assert path.stat().st_mode & 0o777 == 0o600

    on_each_loop(play())


def test_a_frame_that_no_link_would_send_ends_the_link(on_each_loop: Run[Any]) -> None:
    """Whoever sends it is not herd."""

    def ignore(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
        pass

    async def play() -> None:
        control = Control()
        ours, theirs = socket.socketpair()
        asyncio.get_running_loop().set_exception_handler(ignore)
        await control.link.adopt(ours)
        reader, writer = await asyncio.open_connection(sock=theirs)
        writer.write(b"\xff\xff\xff\xff")
        assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
        writer.close()

    on_each_loop(play())


def test_a_fact_that_comes_twice_counts_once(on_each_loop: Run[Any]) -> None:
    async def play() -> None:
        control = Control(last_n={SRC: 1})
        ours, theirs = socket.socketpair()
        await control.link.adopt(ours)
        _, writer = await asyncio.open_connection(sock=theirs)
        facts = [Fact(n, TimerFired()) for n in (1, 2, 2, 1, 3)]
        body = msgspec.msgpack.encode([Hello(SRC, 1), *facts])
        writer.write(len(body).to_bytes(4, "big") + body)
        await until(lambda: len(control.facts) == 2)
        assert [n for _, _, n in control.facts] == [2, 3]
        writer.close()
        await control.link.alone()

    on_each_loop(play())


def test_facts_before_the_first_word_are_not_taken(on_each_loop: Run[Any]) -> None:
    async def play() -> None:
        control = Control()
        ours, theirs = socket.socketpair()
        await control.link.adopt(ours)
        _, writer = await asyncio.open_connection(sock=theirs)
        body = msgspec.msgpack.encode([[2, 1, {"k": "timer_fired"}]])
        writer.write(len(body).to_bytes(4, "big") + body)
        await asyncio.sleep(0.05)
        assert control.facts == []
        assert control.link.fronts == 0
        writer.close()
        await asyncio.sleep(0.01)

    on_each_loop(play())
