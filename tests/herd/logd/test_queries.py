"""The socket of named queries: bounded in time, in number, in size."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import duckdb
import pytest

from herd.logd import queries
from herd.logd.queries import AT_ONCE, QueryServer
from herd.logd.wire import (
    LENGTH,
    Answer,
    LogdAwayError,
    Question,
    answer_decoder,
    ask,
    frame,
)
from herd.tasks import spawn
from tests.e2e.herds import until

SLOW = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = $x"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setitem(queries.QUERIES, "slow", SLOW)
    monkeypatch.setitem(queries.QUERIES, "quick", "SELECT 42 AS answer")
    monkeypatch.setattr(queries, "ANSWER_WITHIN_S", 0.5)
    with duckdb.connect() as connection:
        server = QueryServer(connection, tmp_path / "logd.sock")
        yield tmp_path / "logd.sock"
        server.close()


async def outcome(path: Path, question: Question) -> str | Answer:
    try:
        return await ask(path, question)
    except LogdAwayError as error:
        return str(error)


def test_a_query_that_takes_too_long_is_ended(path: Path) -> None:
    began = time.monotonic()
    assert "took longer than 0.5 s" in str(asyncio.run(outcome(path, Question("slow", {"x": -1}))))
    assert time.monotonic() - began < 2
    assert asyncio.run(ask(path, Question("quick"))) == Answer(["answer"], [[42]])


def test_who_asks_at_the_end_keeps_nothing_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(queries.QUERIES, "slow", SLOW)
    monkeypatch.setattr(queries, "ANSWER_WITHIN_S", 60.0)
    connection = duckdb.connect(tmp_path / "events.duckdb")
    server = QueryServer(connection, tmp_path / "logd.sock")

    async def ends() -> Answer:
        question = Question("slow", {"x": -1})
        asked = spawn(ask_raw(tmp_path / "logd.sock", question), name="slow")
        assert await asyncio.to_thread(until, lambda: bool(vars(server)["_running"]), 60.0)
        await asyncio.to_thread(server.close)
        connection.close()  # raises while somebody reads
        return await asked

    assert asyncio.run(ends()).error == queries.ENDING
    assert server.answer(Question("quick")).error == queries.ENDING


async def ask_raw(path: Path, question: Question) -> Answer:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(frame(question))
        (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
        return answer_decoder.decode(await reader.readexactly(size))
    finally:
        writer.close()


def test_one_more_than_four_is_told_so_soon(path: Path) -> None:
    with ExitStack() as silent:
        for _ in range(AT_ONCE):
            connection = silent.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(path))
        with pytest.raises(LogdAwayError, match="4 queries are running"):
            asyncio.run(ask(path, Question("quick")))
        time.sleep(0.6)  # they have not asked in time
        assert asyncio.run(ask(path, Question("quick"))).rows == [[42]]


@pytest.mark.parametrize(
    "sent", [b"", b"\0", LENGTH.pack(1 << 30), LENGTH.pack(3) + b"\xc1\xc1\xc1"]
)
def test_nonsense_is_answered_and_does_no_harm(path: Path, sent: bytes) -> None:
    for _ in range(AT_ONCE + 1):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(2)
            assert b"no question" in connection.recv(1000) or sent == b""
    assert asyncio.run(ask(path, Question("quick"))).rows == [[42]]


def test_a_socket_left_by_a_killed_logd_is_replaced(path: Path, tmp_path: Path) -> None:
    del path
    left = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    with duckdb.connect() as connection:
        server = QueryServer(connection, left)
        assert asyncio.run(ask(left, Question("quick"))).rows == [[42]]
        server.close()
    assert not left.exists()
