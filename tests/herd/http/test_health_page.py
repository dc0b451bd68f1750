"""Health, asked of a front whose log was written within the last hour."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.core.state import State
from events import (
    AttemptFailed,
    Event,
    Lease,
    NodeId,
    Recorded,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestId,
    RequestReaped,
    RequestReceived,
    ResidentModel,
)
from herd.clock import wall_s
from herd.control.restore import head_of_segment
from herd.logd.queries import QueryServer
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting, node_view, view
from tests.herd.http.sockets import Client, client
from tests.herd.logd.rig import data_dir, store, take_in, write

STUDIO = NodeId("studio")
LEASE = Lease("1.1")


def life(number: int, *ends: Event, num_ctx: int = 0, cold: bool = False) -> tuple[Event, ...]:
    request_id = RequestId(f"id-{number}")
    return (
        RequestReceived(
            request_id=request_id, model="m", app="editor", num_ctx=num_ctx, body_bytes=80_000
        ),
        RequestDispatched(
            request_id=request_id, model="m", node_id=STUDIO, lease=LEASE, cold=cold, queue_s=1.5
        ),
        *ends,
    )


def answer(number: int) -> RequestCompleted:
    return RequestCompleted(
        request_id=RequestId(f"id-{number}"),
        model="m",
        node_id=STUDIO,
        lease=LEASE,
        ttft_s=0.5,
        service_s=2.5,
        prompt_tokens=8000,
        completion_tokens=40,
    )


STORY = (
    *life(1, answer(1), num_ctx=8192, cold=True),
    *life(2, answer(2)),
    *life(
        3,
        RequestFailed(
            request_id=RequestId("id-3"),
            model="m",
            node_id=STUDIO,
            lease=LEASE,
            phase="stream",
            fault="node",
            status=502,
        ),
    ),
    *life(
        4,
        RequestReaped(
            request_id=RequestId("id-4"), model="m", node_id=STUDIO, lease=LEASE, idle_s=9
        ),
    ),
    *life(
        5,
        AttemptFailed(
            request_id=RequestId("id-5"),
            model="m",
            node_id=STUDIO,
            lease=LEASE,
            phase="connect",
            error="connection refused",
        ),
        RequestFailed(
            request_id=RequestId("id-5"),
            model="m",
            node_id=STUDIO,
            phase="connect",
            fault="node",
            status=502,
        ),
    ),
)


@pytest.fixture
def logd(tmp_path: Path) -> Iterator[Path]:
    directory = data_dir(tmp_path)
    now_us = int(wall_s() * 1e6) - 60_000_000
    head = head_of_segment(State(), now_us)
    told = [Recorded(head.seq + 1 + n, now_us + n, event) for n, event in enumerate(STORY)]
    write(directory, [head, *told])
    with store(directory) as db:
        take_in(db, directory)
        server = QueryServer(db, directory.logd_socket)
        yield directory.logd_socket
        server.close()


async def health(one: Client, status: int = 200) -> Any:
    head, body = await one.get("/dashboard/api/health")
    assert head.startswith(b"HTTP/1.1 %d " % status), body
    return msgspec.json.decode(body)


def test_what_the_log_tells_is_found_with_its_events(logd: Path, run: Run) -> None:
    async def main() -> None:
        control = Control()
        resident = ResidentModel(name="m", context_length=8192)
        control.view = view(node_view("studio", resident=(resident,)))
        async with fronting(control, logd=logd) as listener, client(listener.port) as one:
            told = await health(one)
        found = {each["check_id"]: each for each in told["recommendations"]}
        assert sorted(found) == ["incomplete_streams", "prompt_truncated", "requests_reaped"]
        assert found["incomplete_streams"]["seqs"] == [10]
        assert found["requests_reaped"]["seqs"] == [13]
        assert found["prompt_truncated"]["data"]["app"] == "editor"
        vitals = told["vitals"]
        assert (vitals["total_requests_24h"], vitals["cold_loads_24h"]) == (5, 1)
        assert (vitals["total_retries_24h"], vitals["overall_error_rate_pct"]) == (0, 60.0)
        assert vitals["avg_ttft_ms"] == 500.0
        assert vitals["health_score"] == 60

    run(main())


def test_health_is_told_without_the_log_and_says_so_first(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = view(node_view("studio"), node_view("mini", status="degraded"))
        async with fronting(control) as listener, client(listener.port) as one:
            told = await health(one)
            head, _ = await one.get("/dashboard/api/recommendations")
        found = [each["check_id"] for each in told["recommendations"]]
        assert found[0] == "log_away"
        assert "node_degraded" in found
        assert head.startswith(b"HTTP/1.1 503 "), "advice without figures would be wrong"

    run(main())


def test_recommendations_come_of_the_same_picture(logd: Path, run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.view = view(node_view("studio"))
        async with fronting(control, logd=logd) as listener, client(listener.port) as one:
            head, body = await one.get("/dashboard/api/recommendations")
        assert head.startswith(b"HTTP/1.1 200 "), body
        told = msgspec.json.decode(body)
        assert told["usage"]["top_models"] == [{"model": "m", "requests": 2, "category": "general"}]
        assert told["recommendations"] == []

    run(main())
