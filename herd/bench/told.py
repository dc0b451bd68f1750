"""A benchmark as `/dashboard/api/benchmarks` tells it, pure: ollama-herd's keys, and ours."""

from events import BenchmarkEnded, BenchmarkStarted, MeasuredModel, MeasuredNode

_GIB = 1024**3
_MS = 1000


def run(event: BenchmarkEnded | BenchmarkStarted, at_s: float) -> dict[str, object]:
    """Return a run that ended at this instant; of one whose end nobody saw, that it is lost."""
    if isinstance(event, BenchmarkStarted):
        lost = BenchmarkEnded(
            run_id=event.run_id,
            mode=event.mode,
            outcome="failed",
            error="herd ended before it did",
        )
        return _run(lost, at_s)
    return _run(event, at_s)


def _run(ended: BenchmarkEnded, at_s: float) -> dict[str, object]:
    took_s = ended.took_s
    return {
        "run_id": ended.run_id,
        "timestamp": at_s,
        "mode": ended.mode,
        "outcome": ended.outcome,
        "error": ended.error or None,
        "models_pulled": ended.pulled,
        "models_removed": ended.removed,
        "duration_s": round(took_s, 1),
        "total_requests": ended.requests + ended.failed,
        "total_failures": ended.failed,
        "total_prompt_tokens": ended.prompt_tokens,
        "total_completion_tokens": ended.completion_tokens,
        "requests_per_sec": _pace(ended.requests, took_s),
        "tokens_per_sec": _pace(ended.completion_tokens, took_s),
        "latency_p50_ms": _ms(ended.latency_p50_s),
        "latency_p95_ms": _ms(ended.latency_p95_s),
        "latency_p99_ms": _ms(ended.latency_p99_s),
        "ttft_p50_ms": _ms(ended.ttft_p50_s),
        "ttft_p95_ms": _ms(ended.ttft_p95_s),
        "ttft_p99_ms": _ms(ended.ttft_p99_s),
        "fleet_snapshot": {
            "nodes": [
                {
                    "node_id": node.node_id,
                    "cores": node.cores or None,
                    "memory_total_gb": round(node.memory_bytes / _GIB, 2) or None,
                }
                for node in ended.nodes
            ],
            "models": [
                {
                    "name": model.model,
                    "size_gb": round(model.size_bytes / _GIB, 2) or None,
                    "concurrency": model.slots,
                    "model_type": model.model_type,
                }
                for model in ended.models
            ],
        },
        "per_model_results": [_model(model, took_s) for model in ended.models],
        "per_node_results": [_node(node, ended) for node in ended.nodes],
        "peak_utilization": [
            {"node_id": node.node_id, "active_peak": node.active_peak} for node in ended.nodes
        ],
    }


def _model(model: MeasuredModel, took_s: float) -> dict[str, object]:
    return {
        "model": model.model,
        "model_type": model.model_type,
        "requests": model.requests,
        "failures": model.failed,
        "tok_s": _pace(model.completion_tokens, model.took_s or took_s),
        "avg_latency_ms": _ms(model.latency_s),
        "avg_ttft_ms": _ms(model.ttft_s),
    }


def _node(node: MeasuredNode, ended: BenchmarkEnded) -> dict[str, object]:
    return {
        "node_id": node.node_id,
        "requests": node.requests,
        "pct": round(100 * node.requests / ended.requests, 1) if ended.requests else 0.0,
        "tok_s": _pace(node.completion_tokens, node.took_s or ended.took_s),
        "tokens": node.completion_tokens,
    }


def _pace(count: int, took_s: float) -> float | None:
    return round(count / took_s, 2) if took_s else None


def _ms(value_s: float | None) -> float | None:
    return None if value_s is None else round(value_s * _MS, 1)
