"""What was decided, asked of the log through the front."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from actors.core.state import State
from events import Lease, NodeId, RequestDispatched, RequestId, RequestReceived
from events.base import Recorded
from herd.control.restore import head_of_segment
from herd.http.front import Front
from herd.http.server import listen
from herd.logd.queries import QueryServer
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control
from tests.herd.http.sockets import Client, client
from tests.herd.logd.rig import data_dir, store, take_in, write

ID = "01a20aed-647f-7000-9872-94ba2d886c11"


@contextmanager
def _log(root: Path) -> Generator[duckdb.DuckDBPyConnection]:
    """Give a log of thirty requests that were received and sent."""
    directory = data_dir(root)
    records = [head_of_segment(State(), 1)]
    for number in range(30):
        name = ID if number == 0 else f"{number:08}-647f-7000-9872-94ba2d886c11"
        facts = (
            RequestReceived(request_id=RequestId(name), model="llama3.2:3b"),
            RequestDispatched(
                request_id=RequestId(name),
                model="llama3.2:3b",
                node_id=NodeId("mini"),
                lease=Lease(f"1.{number}"),
            ),
        )
        for fact in facts:
            records.append(Recorded(len(records) + 1, len(records) + 1, fact))
    write(directory, records)
    with store(directory) as connection:
        take_in(connection, directory)
        yield connection


@asynccontextmanager
async def _asked(socket: Path | None) -> AsyncGenerator[Client]:
    front = Front(Control(), logd=socket)
    listener = await listen(front, host="127.0.0.1", port=0)
    try:
        async with client(listener.port) as one:
            yield one
    finally:
        listener.abort()
        front.close()


async def _get(one: Client, path: str) -> tuple[int, Any]:
    head, body = await one.get(path)
    return int(head.split()[1]), msgspec.json.decode(body)


def test_a_request_and_the_last_decisions(run: Run, tmp_path: Path) -> None:
    async def main(log: duckdb.DuckDBPyConnection) -> None:
        server = QueryServer(log, tmp_path / "logd.sock")
        try:
            async with _asked(tmp_path / "logd.sock") as one:
                status, told = await _get(one, f"/dashboard/api/requests/{ID}")
                assert (status, told["request_id"]) == (200, ID)
                assert [each["text"] for each in told["steps"]][1] == "sent to mini"
                status, found = await _get(one, "/dashboard/api/decisions?limit=3")
                assert status == 200
                assert [each["seq"] for each in found["decisions"]] == [61, 59, 57]
                status, found = await _get(one, "/dashboard/api/requests/nobody")
                assert (status, "no such request" in found["error"]) == (404, True)
        finally:
            server.close()

    with _log(tmp_path) as log:
        run(main(log))


@pytest.mark.parametrize(
    "path",
    [
        "requests/%27%20OR%201=1",
        "requests/" + "a" * 65,
        "decisions?limit=0",
        "decisions?limit=-1",
        "decisions?limit=201",
        "decisions?limit=x",
    ],
)
def test_nonsense_is_named(path: str, run: Run) -> None:
    async def main() -> None:
        async with _asked(None) as one:
            status, found = await _get(one, f"/dashboard/api/{path}")
        assert status == 400
        assert "limit" in found["error"] or "id" in found["error"]

    run(main())


def test_without_logd_it_says_so_and_goes_on(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with _asked(tmp_path / "nobody.sock") as one:
            status, found = await _get(one, f"/dashboard/api/requests/{ID}")
            assert (status, "logd does not answer" in found["error"]) == (503, True)
        async with _asked(None) as one:
            assert (await _get(one, "/dashboard/api/decisions"))[0] == 503

    run(main())
