"""A live fleet is measured by its own command; the log has each request and the result."""

import json

from tests.e2e.herds import Herd, command, until
from tests.e2e.nodes import SMALL
from tests.e2e.wire import ask, chat


def bench(herd: Herd, *arguments: str) -> str:
    done = command("bench", "--data-dir", str(herd.data_dir), *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_memory(herd: Herd) -> list[str]:
    nodes = json.loads(ask(herd.url, "/fleet/status").body)["nodes"]
    return [model["name"] for node in nodes for model in node["ollama"]["models_loaded"]]


def test_a_benchmark_is_run_kept_and_compared(herd: Herd) -> None:
    ask(herd.url, "/api/chat", chat(SMALL))

    first = json.loads(bench(herd, "--duration", "1", "--model", SMALL, "--json"))
    # A busy machine may take longer to look at its nodes than a second of benchmark lasts.
    assert until(lambda: SMALL in in_memory(herd), 20.0)
    second = bench(herd, "--duration", "1")

    assert (first["outcome"], first["total_failures"]) == ("done", 0)
    assert first["tokens_per_sec"] > 0
    assert first["per_model_results"][0]["model"] == SMALL
    assert sum(row["requests"] for row in first["per_node_results"]) == first["total_requests"]
    rows = herd.sql(
        "SELECT count(*) AS requests FROM requests WHERE app = 'herd-bench'"
        " AND status = 'completed'"
    )
    assert rows[0]["requests"] > first["total_requests"]
    assert "requests/s" in second
    page = json.loads(bench(herd, "--list", "--json"))
    runs = [run["run_id"] for run in page["data"]]
    assert runs[1] == first["run_id"]
    assert "answer p95" in bench(herd, "--compare", runs[1], runs[0])


def test_one_runs_at_a_time_and_can_be_cancelled(herd: Herd) -> None:
    start = ask(herd.url, "/dashboard/api/benchmarks/start", b'{"mode":"smart","duration":60}')
    run_id = json.loads(start.body)["run_id"]
    refused = command("bench", "--data-dir", str(herd.data_dir))
    assert refused.returncode == 1
    assert run_id in refused.stderr

    def status() -> str:
        return str(json.loads(ask(herd.url, "/dashboard/api/benchmarks/progress").body)["status"])

    assert until(lambda: status() == "running", 20.0)
    assert bench(herd, "--cancel").strip() == "cancelling"
    assert until(lambda: status() == "cancelled", 5.0)
    assert json.loads(bench(herd, "--list", "--json"))["data"]
