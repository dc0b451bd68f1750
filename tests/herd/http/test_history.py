"""A front's questions to logd: each asked once, bounded, and logd may be away."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import duckdb
import msgspec
import pytest

from herd.http import history
from herd.http.exchange import Exchange, Request
from herd.http.history import History, answer_later
from herd.logd import queries
from herd.logd.queries import QueryServer
from herd.logd.wire import LogdAwayError
from herd.tasks import spawn
from tests.herd.http.conftest import Run

COUNTING = "SELECT nextval('asked') AS asked, $x AS x"
SLOW = "SELECT count(*) AS n FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = $x"


@contextmanager
def logd(path: Path) -> Generator[Path]:
    with duckdb.connect() as connection:
        connection.execute("CREATE SEQUENCE IF NOT EXISTS asked")
        server = QueryServer(connection, path / "logd.sock")
        yield path / "logd.sock"
        server.close()


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(queries.QUERIES, "counting", COUNTING)
    monkeypatch.setitem(queries.QUERIES, "slow", SLOW)
    monkeypatch.setitem(
        queries.QUERIES, "chosen", "SELECT range AS n FROM range(9) WHERE range::VARCHAR IN ($ns)"
    )


def test_the_same_question_is_asked_once_while_it_is_fresh(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "KEPT_S", 0.2)

    async def main() -> None:
        with logd(tmp_path) as path:
            asking = History(path)
            first = await asyncio.gather(*(asking.rows("counting", {"x": 7}) for _ in range(20)))
            assert first == [[{"asked": 1, "x": 7}]] * 20
            assert await asking.rows("counting", {"x": 7}) == first[0]
            assert await asking.rows("counting", {"x": 8}) == [{"asked": 2, "x": 8}]
            await asyncio.sleep(0.3)
            assert await asking.rows("counting", {"x": 7}) == [{"asked": 3, "x": 7}]

    run(main())


def test_more_than_four_questions_at_once_wait_for_one_another(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        with logd(tmp_path) as path:
            asking = History(path)
            found = await asyncio.gather(*(asking.rows("counting", {"x": x}) for x in range(30)))
            assert sorted(int(cast("int", rows[0]["asked"])) for rows in found) == list(
                range(1, 31)
            )

    run(main())


def test_waiting_for_room_ends(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "ROOM_WITHIN_S", 0.1)
    monkeypatch.setattr(queries, "ANSWER_WITHIN_S", 0.5)

    async def main() -> None:
        with logd(tmp_path) as path:
            asking = History(path)
            slow = [spawn(asking.rows("slow", {"x": -x}), name="asks") for x in range(1, 5)]
            await asyncio.sleep(0.05)
            with pytest.raises(LogdAwayError, match="too many questions"):
                await asking.rows("counting", {"x": 1})
            for each in slow:
                with pytest.raises(LogdAwayError, match="took longer"):
                    await each

    run(main())


def test_what_is_kept_is_bounded(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        with logd(tmp_path) as path:
            asking = History(path)
            for x in range(history.MOST_KEPT + 5):
                await asking.rows("counting", {"x": x})
            assert asking.kept == history.MOST_KEPT

    run(main())


def test_a_list_is_a_parameter_too(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        with logd(tmp_path) as path:
            asking = History(path)
            rows = await asking.rows("chosen", {"ns": ["2", "5", "'; DROP"]})
            assert rows == [{"n": 2}, {"n": 5}]

    run(main())


def test_without_logd_the_asker_hears_it_and_an_asker_that_leaves_stops_nobody(
    tmp_path: Path, run: Run
) -> None:
    async def main() -> None:
        with pytest.raises(LogdAwayError, match="keeps no log"):
            await History(None).rows("counting", {"x": 1})
        with pytest.raises(LogdAwayError, match="logd does not answer"):
            await History(tmp_path / "none.sock").rows("counting", {"x": 1})
        with logd(tmp_path) as path:
            asking = History(path)
            leaves = spawn(asking.rows("counting", {"x": 1}), name="asks")
            stays = spawn(asking.rows("counting", {"x": 1}), name="asks")
            await asyncio.sleep(0)
            leaves.cancel()
            assert await stays == [{"asked": 1, "x": 1}]

    run(main())


class _Connection:
    blocked = False
    last = False
    date = b""

    def __init__(self) -> None:
        self.sent = b""
        self.done = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.sent += data

    def answered(self, *, keep: bool) -> None:
        del keep
        self.done.set()

    def abort(self) -> None:
        raise AssertionError

    def hand_over(self, head: bytes) -> asyncio.Transport:
        raise AssertionError(head)

    cut = abort


def test_an_answer_is_200_or_503_naming_logd_or_500(tmp_path: Path, run: Run) -> None:
    async def answered(asking: History, *, fails: bool = False) -> tuple[bytes, bytes]:
        connection = _Connection()

        async def making() -> object:
            if fails:
                raise ZeroDivisionError
            return {"rows": await asking.rows("counting", {"x": 1})}

        answer_later(Exchange(connection, Request(), ""), making())
        await connection.done.wait()
        head, _, body = connection.sent.partition(b"\r\n\r\n")
        return head, body

    async def main() -> None:
        with logd(tmp_path) as path:
            head, body = await answered(History(path))
            assert head.startswith(b"HTTP/1.1 200 ")
            assert msgspec.json.decode(body) == {"rows": [{"asked": 1, "x": 1}]}
            head, body = await answered(History(path), fails=True)
            assert head.startswith(b"HTTP/1.1 500 ")
        head, body = await answered(History(path))
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 2" in head
        assert "logd does not answer" in msgspec.json.decode(body)["error"]

    run(main())
