"""Benchmarks over HTTP: what is asked is checked and told to control; the past is the log's."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from events import (
    BenchmarkCancelled,
    BenchmarkEnded,
    BenchmarkStarted,
    ControlStarted,
    Event,
    ModelFacts,
    Recorded,
    StateSnapshotted,
)
from herd.http.client import fetch
from herd.link.messages import BenchView, View
from herd.logd.queries import QueryServer
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting, node_view, view
from tests.herd.http.sockets import client
from tests.herd.logd.rig import data_dir, store, take_in, write

PATH = "/dashboard/api/benchmarks"
RUNNING = BenchView("bench-9", "smart", "running", 30.0, "asking m", 4.2, 76, 1, 145.6, ("m",))


class Seeing(Control):
    """Shows a benchmark as soon as it is told of one, as control does."""

    def tell(self, event: Event) -> None:
        super().tell(event)
        if isinstance(event, BenchmarkStarted):
            asyncio.get_running_loop().call_later(0.05, self._show, event)

    def _show(self, event: BenchmarkStarted) -> None:
        assert self.front is not None
        shown = BenchView(event.run_id, event.mode, "warming_up", event.duration_s)
        self.view = msgspec.structs.replace(self.view, benchmark=shown)
        self.front.view_changed(self.view)


def fleet() -> View:
    return view(node_view("mini", ModelFacts(name="qwen2.5:7b")))


async def posted(port: int, path: str, body: bytes = b"") -> tuple[int, Any]:
    answer = await fetch("POST", f"http://localhost:{port}{PATH}{path}", body=body)
    return answer.status, msgspec.json.decode(answer.body)


def test_a_start_is_told_to_control_and_seen(run: Run) -> None:
    async def main() -> None:
        control = Seeing()
        control.view = fleet()
        async with fronting(control) as listener:
            body = b'{"mode":"smart","duration":5,"models":["QWEN2.5:7B"]}'
            status, said = await posted(listener.port, "/start", body)
            assert (status, said["status"], said["mode"]) == (200, "started", "smart")
            told = await control.heard(BenchmarkStarted)
            assert told == BenchmarkStarted(
                run_id=said["run_id"],
                mode="smart",
                duration_s=5.0,
                model_types=("llm",),
                models=("qwen2.5:7b",),
                by="127.0.0.1",
            )
            status, said = await posted(listener.port, "/start")
            assert (status, told.run_id in said["error"]) == (409, True)
            status, said = await posted(listener.port, "/cancel")
            assert said == {"status": "cancelling", "run_id": told.run_id}
            assert control.facts[1:] == [BenchmarkCancelled(run_id=told.run_id, by="127.0.0.1")]

    run(main())


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"mode":"wild"}', "$.mode"),
        (b'{"duration":"5"}', "$.duration"),
        (b'{"duration":0}', "duration"),
        (b'{"duration":1e9}', "duration"),
        (b'{"model_types":["image"]}', "model_types"),
        (b'{"models":["phi4"]}', "phi4"),
        (b'{"models":[' + b'"qwen2.5:7b",' * 16 + b'"x"]}', "models"),
        (b"[]", "object"),
    ],
)
def test_what_cannot_be_is_refused_by_name(run: Run, body: bytes, named: str) -> None:
    async def main() -> None:
        control = Control()
        control.view = fleet()
        async with fronting(control) as listener:
            status, said = await posted(listener.port, "/start", body)
            assert status == 400
            assert named in said["error"]
            assert control.facts == []

    run(main())


def test_a_fleet_without_nodes_is_not_measured(run: Run) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener:
            status, said = await posted(listener.port, "/start")
            assert (status, "no node takes work" in said["error"]) == (503, True)
            assert (await posted(listener.port, "/cancel"))[1] == {"status": "idle"}

    run(main())


def test_strangers_start_and_cancel_nothing(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = fleet()
        async with fronting(control) as listener:
            for path in ("/start", "/cancel"):
                url = f"http://localhost:{listener.port}{PATH}{path}"
                stranger = ((b"X-Forwarded-For", b"192.0.2.9"),)
                assert (await fetch("POST", url, headers=stranger)).status == 401
            assert control.facts == []

    run(main())


def test_progress_is_told_in_the_keys_that_scripts_know(run: Run) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            _, body = await one.get(f"{PATH}/progress")
            assert msgspec.json.decode(body) == {"status": "idle", "phase": ""}
            control.view = View(benchmark=RUNNING)
            _, body = await one.get(f"{PATH}/progress")
            said = msgspec.json.decode(body)
            assert said["status"] == "running"
            assert (said["elapsed"], said["duration"], said["tok_per_sec"]) == (4.2, 30.0, 145.6)
            assert (said["requests_completed"], said["requests_failed"]) == (76, 1)
            assert (said["models"], said["error"]) == (["m"], None)

    run(main())


@pytest.fixture
def logd(tmp_path: Path) -> Iterator[Path]:
    """A log of two runs, one that was refused, one whose end nobody saw, and one under way."""
    directory = data_dir(tmp_path)
    told: list[Event] = [
        StateSnapshotted(state=msgspec.Raw(b"{}")),
        BenchmarkStarted(run_id="one", duration_s=10.0),
        BenchmarkStarted(run_id="late", duration_s=10.0),
        BenchmarkEnded(run_id="late", outcome="refused"),
        BenchmarkEnded(run_id="one", took_s=10.0, requests=100, latency_p50_s=0.5),
        BenchmarkStarted(run_id="lost", duration_s=10.0),
        ControlStarted(epoch=2, version="1"),
        BenchmarkStarted(run_id="two", duration_s=10.0),
        BenchmarkEnded(run_id="two", took_s=10.0, requests=200, latency_p50_s=0.25),
        BenchmarkStarted(run_id="now", duration_s=10.0),
    ]
    write(directory, [Recorded(n, n * 1_000_000, event) for n, event in enumerate(told, 1)])
    with store(directory) as db:
        take_in(db, directory)
        server = QueryServer(db, directory.logd_socket)
        yield directory.logd_socket
        server.close()


def test_the_history_is_turned_page_by_page_and_two_runs_compared(logd: Path, run: Run) -> None:
    async def main() -> None:
        async with fronting(Control(), logd=logd) as listener, client(listener.port) as one:

            async def got(path: str, status: int = 200) -> Any:
                head, body = await one.get(PATH + path)
                assert head.startswith(b"HTTP/1.1 %d " % status), body
                return msgspec.json.decode(body)

            page = await got("?limit=2")
            assert [each["run_id"] for each in page["data"]] == ["two", "lost"]
            assert page["data"][0]["timestamp"] == 9.0
            assert page["data"][1]["outcome"] == "failed"
            rest = await got(f"?limit=2&before={page['next_before']}")
            assert [each["run_id"] for each in rest["data"]] == ["one"]
            assert rest["next_before"] is None
            assert (await got("/one"))["data"]["requests_per_sec"] == 10.0
            assert (await got("/none"))["data"] is None
            found = await got("/compare?before=one&after=two")
            figures = {row["figure"]: row["verdict"] for row in found["figures"]}
            assert figures["requests_per_sec"] == figures["latency_p50_ms"] == "better"
            assert "after must be" in (await got("/compare?before=one", 400))["error"]
            assert "limit must be" in (await got("?limit=0", 400))["error"]

    run(main())
