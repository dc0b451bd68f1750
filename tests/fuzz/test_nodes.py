"""Whatever a node answers, in whatever pieces: its client gets an end, and its slot is free."""

import asyncio
from collections.abc import Iterator
from unittest.mock import patch

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import (
    AttemptFailed,
    RequestCancelled,
    RequestCompleted,
    RequestFailed,
)
from herd.http.endpoints import inference
from herd.http.front import LIMITS, Front
from herd.http.server import Listener
from herd.http.upstream import Connection, Pool
from herd.http.ways import Receiver
from herd.tasks import spawn
from tests.fuzz.soup import NODES
from tests.fuzz.wires import Heard, Wire, connected, left, say, without_errors
from tests.herd.http.fleet import Control

URL = "http://node.test:1"
BODY = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"hello"}]}'
PATHS = ("/api/chat", "/v1/chat/completions", "/v1/messages", "/v1/responses", "/api/embed")
ENDS = (RequestCompleted, RequestFailed, RequestCancelled)


class Once(Pool):
    """Reaches the node by one connection that it is given, and then not any more."""

    node: Connection | None = None

    def ask(self, head: bytes, body: bytes, receiver: Receiver) -> asyncio.Task[None] | None:
        node, self.node = self.node, None
        if node is None:
            return self.dial(head, body, receiver)
        node.ask(head, body, receiver)
        receiver.connected(node)
        return None

    def dial(self, head: bytes, body: object, receiver: Receiver) -> asyncio.Task[None]:
        del head, body

        async def unreachable() -> None:
            receiver.unreachable("nobody there")

        return spawn(unreachable(), name="connect")


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


async def _settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def _asked(path: str, pieces: list[bytes], *, reset: bool) -> None:
    control = Control(URL)
    front = control.front = Front(control)
    listener = Listener(front, LIMITS, asyncio.get_running_loop())
    pool = Once(URL)
    try:
        node, node_wire = Connection(pool), Wire()
        node.connection_made(node_wire)
        pool.node = node
        connection, wire = connected(listener)
        head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        with patch.object(inference, "Pool", return_value=pool):
            say(connection, wire, (head % (path.encode(), len(BODY)) + BODY,))
            await _settled()
        assert node_wire.said.endswith(b"}")
        for piece in pieces:
            say(node, node_wire, (piece,))
            await _settled()
        node.connection_lost(ConnectionResetError() if reset else None)
        await _settled()
        assert not front.inference.active, "a slot leaks"
        _ended_well(bytes(wire.said), ended=wire.closed)
        if not wire.closed:
            left(connection, wire)
    finally:
        listener.abort()
        front.close()
        await _settled()
    ends = [fact for fact in control.facts if isinstance(fact, ENDS)]
    tried = [fact for fact in control.facts if isinstance(fact, AttemptFailed)]
    assert (len(ends), len(tried)) in {(1, 0), (0, 1)}, control.kinds


def _ended_well(said: bytes, *, ended: bool) -> None:
    """See one answer: a whole one, or one that was broken off for all to see."""
    try:
        heard = Heard(said)
    except httptools.HttpParserError as error:
        raise AssertionError(said) from error
    assert len(heard.statuses) == 1, said
    head = said.partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nx-fleet-node: evil" not in head, "no node says who it is"
    assert heard.wholes == 1 or ended


@given(st.sampled_from(PATHS), NODES, st.booleans())
def test_a_client_gets_an_end_and_the_slot_is_free(
    loop: asyncio.AbstractEventLoop,
    path: str,
    pieces: list[bytes],
    reset: bool,  # noqa: FBT001 (drawn)
) -> None:
    with without_errors():
        loop.run_until_complete(_asked(path, pieces, reset=reset))
