"""What is counted of the requests of a benchmark, and how two runs compare."""

from typing import Any

from events import BenchmarkEnded, BenchmarkStarted, MeasuredModel, MeasuredNode, NodeId
from herd.bench import comparing, told
from herd.bench.choosing import Choice, Node, Queue, Status
from herd.bench.counting import Peaks, Sample, by_model, by_node, percentile

ENDED = BenchmarkEnded(
    run_id="bench-1",
    took_s=10.0,
    requests=40,
    failed=2,
    completion_tokens=1000,
    latency_p50_s=0.5,
    models=(MeasuredModel(model="m", slots=3, requests=40, completion_tokens=1000, ttft_s=0.1),),
    nodes=(MeasuredNode(node_id=NodeId("tower"), requests=30, completion_tokens=750),),
)


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert [percentile(values, each) for each in (50, 95, 99)] == [50.0, 95.0, 99.0]
    assert percentile([7.0], 50) == 7.0
    assert percentile([], 99) is None


def test_failures_are_in_no_mean() -> None:
    samples = [
        Sample("m", "tower", latency_s=1.0, ttft_s=0.2, completion_tokens=5),
        Sample("m", "mini", latency_s=3.0, ttft_s=0.4, completion_tokens=5),
        Sample("m", "mini", failed=True, latency_s=99.0),
    ]
    [row] = by_model(samples, [Choice("m")], lambda _: 2)
    assert (row.requests, row.failed, row.completion_tokens, row.slots) == (2, 1, 10, 2)
    assert (row.latency_s, row.ttft_s) == (2.0, 0.3)
    peaks = Peaks()
    for in_flight in (2, 5, 1):
        peaks.look(Status(queues={"a": Queue("m", "mini", in_flight), "b": Queue("n", "mini", 1)}))
    rows = by_node(samples, [Node("mini"), Node("idle")], peaks)
    assert [(row.node_id, row.requests, row.active_peak) for row in rows] == [
        ("mini", 1, 6),
        ("idle", 0, 0),
    ]


def test_a_pace_is_over_the_time_in_which_a_model_or_node_was_measured() -> None:
    samples = [
        Sample("quick", "mini", latency_s=1.0, completion_tokens=50, began_s=100.0),
        Sample("quick", "mini", latency_s=1.0, completion_tokens=50, began_s=101.0),
        Sample("slow", "tower", latency_s=20.0, completion_tokens=50, began_s=100.0),
    ]
    models = by_model(samples, [Choice("quick"), Choice("slow")], lambda _: 1)
    nodes = by_node(samples, [Node("mini"), Node("tower"), Node("idle")], Peaks())
    ended = BenchmarkEnded(run_id="bench-3", took_s=20.0, requests=3, models=models, nodes=nodes)
    run: dict[str, Any] = told.run(ended, 1.0)
    assert [each["tok_s"] for each in run["per_model_results"]] == [50.0, 2.5]
    assert [each["tok_s"] for each in run["per_node_results"]] == [50.0, 2.5, 0.0]


def test_a_run_has_the_keys_that_scripts_know() -> None:
    run = told.run(ENDED, 1_795_000_000.5)
    assert (run["total_requests"], run["total_failures"]) == (42, 2)
    assert (run["requests_per_sec"], run["tokens_per_sec"]) == (4.0, 100.0)
    assert (run["latency_p50_ms"], run["ttft_p50_ms"]) == (500.0, None)
    assert run["per_node_results"] == [
        {"node_id": "tower", "requests": 30, "pct": 75.0, "tok_s": 75.0, "tokens": 750}
    ]
    assert run["error"] is None


def test_a_run_whose_end_nobody_saw_is_told_as_lost() -> None:
    run = told.run(BenchmarkStarted(run_id="bench-2", duration_s=9.0), 1.0)
    assert (run["outcome"], run["error"]) == ("failed", "herd ended before it did")
    assert run["requests_per_sec"] is None


def test_less_latency_is_better_and_less_pace_is_worse() -> None:
    before = told.run(ENDED, 1.0)
    after = {**before, "latency_p50_ms": 250.0, "requests_per_sec": 2.0, "tokens_per_sec": 100.5}
    rows = {str(row["figure"]): row for row in comparing.compared(before, after)}
    assert (rows["latency_p50_ms"]["change_pct"], rows["latency_p50_ms"]["verdict"]) == (
        -50.0,
        "better",
    )
    assert rows["requests_per_sec"]["verdict"] == "worse"
    assert rows["tokens_per_sec"]["verdict"] == "same"
    assert rows["ttft_p99_ms"] == {
        "figure": "ttft_p99_ms",
        "before": None,
        "after": None,
        "change_pct": None,
        "verdict": "unknown",
    }


def test_runs_of_other_models_say_so() -> None:
    before = told.run(ENDED, 1.0)
    assert comparing.unlike(before, before) == []
    other = told.run(BenchmarkEnded(run_id="x", mode="smart", nodes=ENDED.nodes), 2.0)
    assert comparing.unlike(before, other) == [
        "other models: m; then none",
        "another mode: default; then smart",
    ]
