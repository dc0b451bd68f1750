"""The pages of figures: the shapes that scripts know, from the log, a page at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from events import ModelFacts, ResidentModel
from herd.http.endpoints import traces
from herd.logd.queries import QueryServer
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Control, fronting, node_view, view
from tests.herd.http.sockets import Client, client
from tests.herd.journal.sample import START_US, busy_log
from tests.herd.logd.rig import data_dir, store, take_in, write

API = "/dashboard/api/"
START_S = START_US // 1_000_000
THEN = f"start_ts={START_S - 3600}&end_ts={START_S + 3600}"


@pytest.fixture
def logd(tmp_path: Path) -> Iterator[Path]:
    """A log of thirty requests: odd ones to qwen2.5:7b, every third to studio."""
    directory = data_dir(tmp_path)
    write(directory, busy_log(91))
    with store(directory) as db:
        take_in(db, directory)
        server = QueryServer(db, directory.logd_socket)
        yield directory.logd_socket
        server.close()


async def got(one: Client, page: str, status: int = 200) -> Any:
    head, body = await one.get(API + page)
    assert head.startswith(b"HTTP/1.1 %d " % status), body
    return msgspec.json.decode(body)


def test_the_figures_of_a_log(logd: Path, run: Run) -> None:
    async def main() -> None:
        control = Control()
        loaded = ResidentModel(name="qwen2.5:7b", size_bytes=1, context_length=32_768)
        control.view = view(node_view("mini", ModelFacts(name="qwen2.5:7b"), resident=(loaded,)))
        async with fronting(control, logd=logd) as listener, client(listener.port) as one:
            overview = await got(one, "overview")
            assert overview["total_requests"] == overview["completed"] == 30
            assert overview["total_tokens"] == 30 * (11 + 40)
            assert (overview["models_count"], overview["nodes_online"]) == (2, 1)
            usage = await got(one, f"usage?{THEN}")
            assert sum(row["request_count"] for row in usage["data"]) == 30
            assert {
                (row["node_id"], row["model"], row["avg_latency_ms"], row["avg_ttft_ms"])
                for row in usage["data"]
            } == {
                (node, model, 2000.0, 500.0)
                for node in ("mini", "studio")
                for model in ("qwen2.5:7b", "llama3.2:latest")
            }
            [hour] = (await got(one, f"trends?{THEN}"))["data"]
            assert hour["hour_bucket"] == START_S // 3600 * 3600
            assert (hour["request_count"], hour["avg_queue_ms"]) == (30, 250.0)
            models = await got(one, f"models?{THEN}")
            assert [row["request_count"] for row in models["daily"]] == [15, 15]
            assert models["summary"][0]["max_latency_ms"] == 2000.0
            apps = await got(one, f"apps?{THEN}")
            assert [(row["tag"], row["total_requests"]) for row in apps["summary"]] == [("", 30)]
            daily = await got(one, f"apps/daily?{THEN}")
            assert daily["data"][0]["total_tokens"] == 30 * 51
            assert await got(one, f"tags?{THEN}") == await got(one, f"apps?{THEN}")
            assert await got(one, f"tags/daily?{THEN}") == daily
            before = f"start_ts={START_S - 10 * 86_400}&end_ts={START_S - 3 * 86_400}"
            assert (await got(one, f"context-usage?{before}"))["models"] == []
            contexts = (await got(one, f"context-usage?{THEN}"))["models"]
            found = {row["model"]: row for row in contexts}
            assert found["qwen2.5:7b"]["recommended_ctx"] == 4096
            assert found["qwen2.5:7b"]["savings_pct"] == 87.5
            assert found["llama3.2:latest"]["allocated_ctx"] is None
            assert found["llama3.2:latest"]["total_tokens"]["p99"] == 51

    run(main())


def test_traces_are_turned_page_by_page(
    logd: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "SPANS", (10, 40))

    async def main() -> None:
        async with fronting(Control(), logd=logd) as listener, client(listener.port) as one:
            page = await got(one, "traces?limit=7")
            seen = list(page["traces"])
            assert seen[0]["status"] == "completed"
            assert seen[0]["scores_breakdown"]["total"] == 90.5
            assert (seen[0]["runner_up"], seen[0]["queue_ms"]) == ("other", 250.0)
            assert seen[0]["fallback_used"] is False
            assert "estimated_tokens" not in seen[0]
            pages = 1
            while (before := page["next_before"]) is not None:
                page = await got(one, f"traces?limit=7&before={before}")
                seen += page["traces"]
                pages += 1
            ids = [trace["id"] for trace in seen]
            assert ids == sorted(ids, reverse=True)
            assert len(set(ids)) == 30
            assert pages == 5
            assert (await got(one, f"traces?after={ids[3]}"))["traces"] == seen[:3]

    run(main())


def test_traces_are_filtered(logd: Path, run: Run) -> None:
    async def main() -> None:
        async with fronting(Control(), logd=logd) as listener, client(listener.port) as one:
            some = (await got(one, "traces?model=qwen2.5:7b&node=studio"))["traces"]
            assert {(trace["model"], trace["node_id"]) for trace in some} == {
                ("qwen2.5:7b", "studio")
            }
            assert len(some) == 5
            none = await got(one, "traces?status=rejected&model=%27%20OR%201")
            assert none == {"traces": [], "next_before": None}
            assert len((await got(one, "traces?status=completed"))["traces"]) == 30

    run(main())


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("traces?limit=0", "limit"),
        ("traces?limit=-1", "limit"),
        ("traces?limit=201", "limit"),
        ("traces?limit=%F0%9D%9F%99", "limit"),
        ("traces?before=x", "before"),
        ("traces?status=gone", "status"),
        ("traces?model=" + "m" * 201, "model"),
        ("usage?days=367", "days"),
        ("usage?start_ts=nan", "start_ts"),
        ("models?start_ts=20&end_ts=10", "start_ts"),
        ("apps?days=0", "days"),
        ("apps/daily?days=1.5", "days"),
        ("tags?start_ts=20&end_ts=10", "start_ts"),
        ("tags/daily?end_ts=x", "end_ts"),
        ("context-usage?days=week", "days"),
        ("context-usage?start_ts=-1", "start_ts"),
        ("trends?hours=2161", "hours"),
        ("trends?start_ts=0", "start_ts"),
    ],
)
def test_what_cannot_be_is_400_and_named(logd: Path, run: Run, page: str, names: str) -> None:
    async def main() -> None:
        async with fronting(Control(), logd=logd) as listener, client(listener.port) as one:
            assert (await got(one, page, 400))["error"].startswith(f"{names} must ")

    run(main())


def test_without_logd_it_is_503_and_the_limits_are_there(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        away = tmp_path / "away.sock"
        control = Control()
        control.view = view(node_view("mini"))
        async with fronting(control, logd=away) as listener, client(listener.port) as one:
            assert "logd does not answer" in (await got(one, "overview", 503))["error"]
            limits = msgspec.json.decode((await one.get("/fleet/limits"))[1])
            assert limits["nodes"][0]["node_id"] == "mini"
            assert limits["nodes"][0]["free_slots"] is None

    run(main())
