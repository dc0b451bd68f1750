"""A mistake of herd's own ends one request, and is logged once."""

import asyncio
import logging

import pytest

from events import AttemptFailed, RequestFailed
from herd.http import flight as flight_module
from herd.http import relay
from herd.http.passing import Passing
from herd.http.reading import Ndjson
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import CHAT, QUIET, Ask, Control, fronting, node, post, streamed
from tests.herd.http.sockets import Client, client, until
from tests.herd.http.stocked import fleet


async def whole(ask: Ask) -> None:
    ask.answer(b'{"done":true}')


async def to_its_end(ask: Ask) -> None:
    """Say no length: the end of the connection is the end of the answer."""
    ask.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b'{"done":true}')
    ask.close()


async def closed(ask: Ask) -> None:
    ask.close()


def wrong(*_: object, **__: object) -> None:
    raise ZeroDivisionError


MISTAKES = {
    "in an answer in one piece": (whole, QUIET, (relay, "usage_of")),
    "in the first piece": (streamed, CHAT, (relay, "reading_of")),
    "at the end of the connection": (to_its_end, QUIET, (relay.Attempt, "_end")),
    "in what is told of a failure": (closed, QUIET, (relay.Attempt, "_fail")),
    "before it is sent": (whole, QUIET, (flight_module, "body_for")),
}


async def ended_with(one: Client) -> bytes:
    """Return the status line, or what stands for an answer that was broken off."""
    try:
        return (await one.answer())[0].partition(b"\r\n")[0]
    except (ConnectionError, asyncio.IncompleteReadError):
        return b"broken"


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_with_an_answer_ends_it_and_frees_its_slot(
    case: str, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    script, body, where = MISTAKES[case]
    monkeypatch.setattr(*where, wrong)
    caplog.set_level(logging.ERROR)

    async def main() -> None:
        caplog.clear()
        async with node(script) as server:
            control = Control(server.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", body)
                begun = case == "at the end of the connection"
                status = b"HTTP/1.1 500 Internal Server Error"
                assert await ended_with(one) == (b"broken" if begun else status)
                failed = await control.heard(RequestFailed)
                assert (failed.fault, failed.status, failed.lease) == ("herd", 500, "1.1")
                assert not any(isinstance(fact, AttemptFailed) for fact in control.facts)
                assert control.front is not None
                assert not control.front.inference.active
                if not begun:
                    assert (await one.get("/healthz"))[0].startswith(b"HTTP/1.1 200 ")
        assert len([each for each in caplog.records if each.name.startswith("herd.")]) == 1

    run(main())


def test_a_mistake_after_the_answer_began_breaks_it_off(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        began = asyncio.Event()

        async def half(ask: Ask) -> None:
            ask.begin()
            ask.chunk(b'{"message":{"content":"a"},"done":false}\n')
            await began.wait()
            ask.chunk(b'{"message":{"content":"b"},"done":false}\n')
            await ask.gone()

        async with node(half) as server:
            control = Control(server.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                await one.head()
                with monkeypatch.context() as patch:
                    patch.setattr(Ndjson, "feed", wrong)
                    began.set()
                    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                        await one.until(b"0\r\n\r\n")
                failed = await control.heard(RequestFailed)
                assert (failed.phase, failed.fault, failed.lease) == ("stream", "herd", "1.1")

    run(main())


def test_a_mistake_with_progress_ends_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with fleet() as herd, client(herd.port) as one:
            with monkeypatch.context() as patch:
                patch.setattr(Passing, "heard", wrong)
                post(one, "/api/pull", b'{"model":"smollm2:135m"}')
                assert await ended_with(one) == b"HTTP/1.1 500 Internal Server Error"

    run(main())


def test_a_mistake_in_the_ending_is_logged_too(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(relay, "usage_of", wrong)
    monkeypatch.setattr(relay.Attempt, "failed", wrong)

    async def main() -> None:
        caplog.clear()
        async with node(whole) as server:
            control = Control(server.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", QUIET)
                await until(lambda: len(caplog.records) == 2)
        assert [each.message for each in caplog.records] == [
            "an answer could not be passed on",
            "nor could its request be ended",
        ]

    run(main())
