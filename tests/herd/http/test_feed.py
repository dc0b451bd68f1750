"""The feed of events: a snapshot, then changes, at most twice a second, resumed after a cut."""

import asyncio
from typing import Any

import msgspec
import pytest

from events import ModelFacts
from herd.http.endpoints import feed
from herd.http.endpoints.feed import PATH
from herd.link.messages import KeyView, View
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting, node_view, view
from tests.herd.http.sockets import Client, client


class Event(msgspec.Struct):
    id: str
    event: str
    data: Any


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "EVERY_S", 0.05)


ELSEWHERE = "X-Forwarded-For: 192.0.2.7\r\n"
"""What a proxy beside herd says of who comes from another machine."""


async def listen(one: Client, last: str = "", lines: str = "") -> None:
    resumes = f"Last-Event-ID: {last}\r\n" if last else ""
    one.send(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n{resumes}{lines}\r\n".encode())
    head = await one.head()
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"text/event-stream" in head
    assert (await frame(one)) == b"retry: 2000"


async def frame(one: Client) -> bytes:
    """Return the next event's lines, whatever chunks it came in."""
    found = await one.until(b"\n\n")
    lines = found.replace(b"\r\n", b"\n").strip().split(b"\n")
    known = (b"id:", b"event:", b"data:", b"retry:", b":")
    return b"\n".join(line for line in lines if line.startswith(known))


async def event(one: Client) -> Event:
    told = dict(line.split(": ", 1) for line in (await frame(one)).decode().split("\n"))
    return Event(told["id"], told["event"], msgspec.json.decode(told["data"]))


def show(control: Control, shown: View) -> None:
    control.view = shown
    assert control.front is not None
    control.front.view_changed(shown)


MINI, STUDIO = node_view("mini"), node_view("studio")
BUSY = msgspec.structs.replace(view(MINI), waiting={"m": 2})


def test_a_snapshot_then_what_changed_then_who_is_gone(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = view(MINI, STUDIO)
        async with fronting(control) as listener, client(listener.port) as one:
            await listen(one)
            first = await event(one)
            assert first.event == "snapshot"
            assert [node["node_id"] for node in first.data["nodes"]] == ["mini", "studio"]
            assert first.data["queue"]["pending"] == 0
            show(control, view(MINI, node_view("studio", ModelFacts(name="new:1"))))
            second = await event(one)
            assert second.event == "delta"
            assert list(second.data["nodes"]) == ["studio"]
            assert second.data["nodes"]["studio"]["ollama"]["models_available"] == ["new:1"]
            assert "queues" not in second.data
            show(control, BUSY)
            third = await event(one)
            assert third.data["nodes"] == {"studio": None}
            assert third.data["queues"]["*:m"]["pending"] == 2
            assert third.data["fleet"]["requests_waiting"] == 2
            assert (await event(one)).data == {"what": ["requests"]}
            show(control, msgspec.structs.replace(BUSY, settings={"policy": "random"}))
            assert (await event(one)).data == {"what": ["settings"]}
            ids = [first.id, second.id, third.id]
            assert len(set(ids)) == 3

    run(main())


def test_many_changes_are_one_event_and_what_is_the_same_is_none(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "EVERY_S", 0.2)

    async def main() -> None:
        control = Control()
        control.view = view(MINI)
        async with fronting(control) as listener, client(listener.port) as one:
            await listen(one)
            await event(one)
            for waiting in range(1, 50):
                show(control, msgspec.structs.replace(BUSY, waiting={"m": waiting}))
                await asyncio.sleep(0)
            told = await event(one)
            assert told.data["queues"]["*:m"]["pending"] == 49
            assert (await event(one)).event == "changed"
            show(control, msgspec.structs.replace(BUSY, waiting={"m": 49}))
            await asyncio.sleep(0.3)
            show(control, view(STUDIO))
            assert (await event(one)).data["nodes"]["mini"] is None

    run(main())


def test_who_comes_again_gets_what_it_missed_or_a_snapshot(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = view(MINI)
        async with fronting(control) as listener, client(listener.port) as stays:
            await listen(stays)
            begin = await event(stays)
            show(control, view(MINI, STUDIO))
            await event(stays)
            async with client(listener.port) as again:
                await listen(again, begin.id)
                missed = await event(again)
                assert missed.event == "delta"
                assert list(missed.data["nodes"]) == ["studio"]
            for unknown in ("0-1", "x", f"{begin.id}9", begin.id.partition("-")[0] + "-x"):
                async with client(listener.port) as again:
                    await listen(again, unknown)
                    assert (await event(again)).event == "snapshot"

    run(main())


def test_a_heartbeat_and_an_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "HEARTBEAT_S", 0.05)

    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            await listen(one)
            await event(one)
            assert await frame(one) == b"event: heartbeat\ndata: {}"
            control.silent = True
            while (told := await frame(one)).startswith(b"event: heartbeat"):
                pass
            assert b'"current":false' in told, "nobody else would say so"
            assert control.front is not None
            control.front.feed.close()
            await one.until(b"0\r\n\r\n")

    run(main())


def test_who_may_not_look_any_more_hears_nothing_more(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = view(MINI)
        async with (
            fronting(control) as listener,
            client(listener.port) as here,
            client(listener.port) as elsewhere,
        ):
            await listen(here)
            await event(here)
            await listen(elsewhere, lines=ELSEWHERE)
            assert (await event(elsewhere)).event == "snapshot"
            keys = (KeyView("laptop", "ab" * 32),)
            show(control, msgspec.structs.replace(control.view, keys=keys))
            assert (await event(here)).data == {"what": ["keys"]}
            assert (await elsewhere.until(b"0\r\n\r\n")).strip() == b"0"
            assert control.front is not None
            assert control.front.feed.readers == 1

    run(main())


def test_slow_readers_are_dropped_others_stay_and_there_are_only_so_many(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST_READERS", 2)
    monkeypatch.setattr(feed, "EVERY_S", 0)

    async def main() -> None:
        control = Control()
        control.view = view(MINI)
        async with (
            fronting(control) as listener,
            client(listener.port) as reads,
            client(listener.port) as slow,
            client(listener.port) as third,
        ):
            await listen(reads)
            slow.send(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % PATH.encode())
            await event(reads)
            assert control.front is not None
            assert (await third.get(PATH))[0].startswith(b"HTTP/1.1 503 ")
            for turn in range(2000):
                show(control, view(node_view("mini", *_models(turn))))
                assert (await event(reads)).event == "delta"
                if control.front.feed.readers == 1:
                    break
            assert control.front.feed.readers == 1

    run(main())


def _models(turn: int) -> list[ModelFacts]:
    return [ModelFacts(name=f"{turn}-{'m' * 400}-{n}:1") for n in range(50)]
