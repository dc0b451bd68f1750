"""Whatever a client says, in whatever pieces: it is answered or refused, and nothing is left."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given

from herd.http.front import LIMITS, Front
from herd.http.server import Limits, Listener
from tests.fuzz.soup import CLIENTS
from tests.fuzz.wires import Heard, connected, left, say, waited, without_errors
from tests.herd.http.fleet import Control
from tests.herd.http.sockets import Echo

SMALL = Limits(head_bytes=300, body_bytes=40, pipelined=3)
REFUSALS = {400, 405, 408, 413, 417, 431, 501, 505}


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@given(CLIENTS)
def test_a_server_answers_refuses_or_closes(
    loop: asyncio.AbstractEventLoop, pieces: list[bytes]
) -> None:
    app = Echo()
    listener = Listener(app, SMALL, loop)
    connection, wire = connected(listener)
    with without_errors():
        say(connection, wire, pieces)
        while not wire.ended:
            waited(connection, listener)
        heard = Heard(bytes(wire.said))
        left(connection, wire)
    listener.abort()
    assert heard.wholes == len(heard.statuses)
    assert heard.statuses[: len(app.seen)] == [200] * len(app.seen)
    assert set(heard.statuses[len(app.seen) :]) <= REFUSALS
    assert len(heard.statuses) <= len(app.seen) + 1, "a refusal is the last word"
    assert not listener.connections


async def _settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def _fronted(pieces: list[bytes]) -> None:
    control = Control()
    front = control.front = Front(control)
    listener = Listener(front, LIMITS, asyncio.get_running_loop())
    try:
        connection, wire = connected(listener)
        for piece in pieces:
            say(connection, wire, (piece,))
            await _settled()
        for _ in range(20):
            if wire.ended:
                break
            waited(connection, listener)
            await _settled()
        assert wire.ended, "it waits for ever"
        heard = Heard(bytes(wire.said))
        left(connection, wire)
        await _settled()
    finally:
        listener.abort()
        front.close()
    assert 500 not in heard.statuses
    assert not front.inference.active, "a slot leaks"
    assert not listener.connections


@given(CLIENTS)
def test_a_front_answers_refuses_or_closes_and_keeps_no_slot(
    loop: asyncio.AbstractEventLoop, pieces: list[bytes]
) -> None:
    with without_errors():
        loop.run_until_complete(_fronted(pieces))
