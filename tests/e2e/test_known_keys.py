"""The keys that scripts written for ollama-herd read, each page with a row of everything.

Left out are keys of what herd has not (MLX, images, transcription, its seven scores), and those of
an agent's own facts (`cpu`, `memory`), which are there for a node with an agent.
"""

import json
from typing import Any

import pytest

from tests.e2e.herds import Herd, until
from tests.e2e.nodes import SMALL
from tests.e2e.wire import ask, chat

QUEUE = (
    "pending in_flight concurrency model node_id completed failed stats_samples avg_latency_ms "
    "avg_prompt_tokens avg_completion_tokens"
)
LOADED = "name size_gb requests_active parameter_size quantization context_length runner digest"
TOKENS = "total_prompt_tokens total_completion_tokens"

KEYS: dict[str, dict[str, str]] = {
    "/fleet/status": {
        "": "fleet nodes queues timestamp",
        "fleet": "nodes_total nodes_online models_loaded requests_active",
        "nodes": "node_id status hardware ollama_url ollama models_loaded_count free_slots "
        "hot_model_cap",
        "nodes.hardware": "memory_total_gb cores_physical chip memory_bandwidth_gbps arch",
        "nodes.ollama": "models_loaded models_available models_available_sizes max_loaded_models "
        "num_parallel requests_active version",
        "nodes.ollama.models_loaded": LOADED,
        "queues.*": QUEUE + " request_type max_concurrent",
    },
    "/fleet/queue": {
        "": "queue_depth pending in_flight completed failed estimated_wait_ms nodes_online queues "
        "timestamp",
        "queues.*": QUEUE + " backend max_queue_depth rejected warm_hit_rate cold_request_pct "
        "cache_hit_rate cache_sample_count",
    },
    "/fleet/limits": {
        "": "max_retries hot_model_cap nodes timestamp",
        "nodes": "node_id status hot_model_cap models_loaded free_slots",
    },
    "/dashboard/api/health": {
        "": "vitals recommendations checked_at",
        "vitals": "nodes_total nodes_online nodes_degraded nodes_offline overall_error_rate_pct "
        "cold_loads_24h avg_ttft_ms total_requests_24h total_retries_24h client_disconnects_24h "
        "incomplete_streams_24h image_generations_24h transcriptions_24h health_score",
    },
    "/dashboard/api/traces": {
        "traces": "request_id model original_model node_id score scores_breakdown status "
        "latency_ms time_to_first_token_ms prompt_tokens completion_tokens retry_count "
        "fallback_used excluded_nodes client_ip original_format error_message timestamp tags",
    },
    "/dashboard/api/usage": {
        "": "days data",
        "data": "node_id model day_bucket request_count avg_latency_ms avg_ttft_ms total_retries "
        f"total_fallbacks {TOKENS}",
    },
    "/dashboard/api/trends": {
        "": "hours data",
        "data": f"hour_bucket request_count avg_latency_ms avg_ttft_ms {TOKENS}",
    },
    "/dashboard/api/overview": {
        "": "total_requests total_tokens models_count total_prompt_tokens total_completion_tokens",
    },
    "/dashboard/api/models": {
        "": "days daily summary",
        "daily": f"model_name day_bucket request_count avg_latency_ms {TOKENS}",
        "summary": "model_name total_requests avg_latency_ms min_latency_ms max_latency_ms "
        f"{TOKENS} first_seen last_seen",
    },
    "/dashboard/api/apps": {
        "": "days data summary",
        "data": f"tag request_count avg_latency_ms avg_ttft_ms {TOKENS}",
        "summary": f"tag total_requests avg_latency_ms {TOKENS} first_seen last_seen",
    },
    "/dashboard/api/apps/daily": {
        "": "days data",
        "data": "tag day_bucket request_count avg_latency_ms total_tokens",
    },
    "/dashboard/api/context-usage": {
        "": "days models",
        "models": "model allocated_ctx override_ctx request_count prompt_tokens total_tokens "
        "utilization_pct recommended_ctx savings_pct",
        "models.prompt_tokens": "avg p50 p75 p95 p99 max",
        "models.total_tokens": "p95 p99 max max_24h",
    },
    "/dashboard/api/recommendations": {
        "": "nodes usage fleet_summary uncovered_categories generated_at",
        "nodes": "node_id total_ram_gb usable_ram_gb current_models recommendations "
        "total_recommended_ram_gb ram_headroom_gb disk_total_gb disk_available_gb",
        "usage": "total_requests_24h category_breakdown top_models category_coverage",
        "usage.top_models": "model requests category",
    },
    "/dashboard/api/model-management": {
        "": "nodes",
        "nodes": "node_id status models total_size_gb",
        "nodes.models": "name display_name size_gb parameter_size quantization loaded_in_vram "
        "category last_used days_unused total_requests unused",
    },
}


@pytest.mark.parametrize("page", KEYS)
def test_the_keys_that_scripts_know_are_there(herd: Herd, page: str) -> None:
    ask(herd.url, "/api/chat", chat(SMALL))
    missing: set[str] = set()

    def whole() -> bool:
        nonlocal missing
        said = json.loads(ask(herd.url, page).body)
        missing = {
            f"{place} {key}".strip()
            for place, keys in KEYS[page].items()
            for key in keys.split()
            if key not in found(said, place)
        }
        return not missing

    assert until(whole, 10.0), missing


def found(said: Any, place: str) -> set[str]:
    """Return the keys at a place; of a list, those that each of its rows has."""
    rows: list[dict[str, Any]] = [said]
    for name in filter(None, place.split(".")):
        below: list[Any] = [[*row.values()] if name == "*" else row.get(name, []) for row in rows]
        rows = []
        for one in below:
            rows += one if isinstance(one, list) else [one]
    return set[str].intersection(*(set(row) for row in rows)) if rows else set()
