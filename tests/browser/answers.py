"""What a busy herd of three says on each route, for pages that need a past to show."""

import copy
import time
from typing import Any

NOW = int(time.time())  # noqa: TID251 (the page compares it with the browser's clock)
DAY = NOW - NOW % 86_400
HOUR = NOW - NOW % 3_600
MODELS = ("llama3.3:70b", "qwen2.5:7b", "llama3.2:3b", "nomic-embed-text:latest")
APPS = ("editor", "nightly-batch", "notes", "curl")
REQUEST = "01a20aed-647f-7000-9872-94ba2d886c11"


def answers() -> dict[str, Any]:
    """Return a fresh table."""
    return copy.deepcopy(_TABLE)


def node(name: str, chip: str, total: float, used: float, *loaded: tuple[str, float], **more: Any) -> dict[str, Any]:
    return {
        "node_id": name,
        "status": "online",
        "draining": False,
        "origin": "agent",
        "hardware": {"memory_total_gb": total, "vram_total_gb": 0, "cores_physical": 16, "chip": chip},
        "ollama_url": f"http://{name}:11434",
        "cpu": {"cores_physical": 16, "utilization_pct": 31.0},
        "memory": {"total_gb": total, "used_gb": used, "available_gb": total - used},
        "ollama": {
            "models_loaded": [{"name": model, "size_gb": size} for model, size in loaded],
            "models_available": list(MODELS),
            "models_available_sizes": dict(zip(MODELS, (42.5, 4.7, 2.0, 0.27), strict=True)),
            "version": "0.12.3",
        },
        "models_loaded_count": len(loaded),
    } | more


def row(name: str, model: str, used: int, slots: int, done: int, **more: Any) -> dict[str, Any]:
    return {
        "node_id": name,
        "model": model,
        "pending": 0,
        "in_flight": used,
        "completed": done,
        "failed": 0,
        "concurrency": slots,
        "max_concurrent": slots,
        "avg_latency_ms": 4_210.0,
    } | more


def trace(index: int) -> dict[str, Any]:
    status = {3: "failed", 7: "client_disconnected", 9: "rejected"}.get(index, "completed")
    return {
        "request_id": REQUEST if index == 0 else f"{index:08x}-647f-7000-9872-94ba2d886c11",
        "model": MODELS[index % 3],
        "original_model": MODELS[index % 3],
        "node_id": "" if status == "rejected" else ("studio", "tower", "mini")[index % 3],
        "status": status,
        "latency_ms": 800.0 + 391 * index,
        "time_to_first_token_ms": 120.0 + 41 * index,
        "queue_ms": 0.0 if index % 4 else 1_250.0,
        "prompt_tokens": 24 + 133 * index,
        "completion_tokens": 163 + index,
        "retry_count": int(index == 0),
        "fallback_used": False,
        "error_message": "answered 500: model runner has stopped" if status == "failed" else None,
        "timestamp": NOW - 3 * index,
        "tags": [APPS[index % 4]],
        "app": APPS[index % 4],
    }


_TABLE: dict[str, Any] = {
    "/fleet/status": {
        "fleet": {"nodes_total": 3, "nodes_online": 3, "recording": True},
        "nodes": [
            node("studio", "Apple M2 Ultra", 192.0, 71.0, ("llama3.3:70b", 43.1), ("qwen2.5:7b", 5.6)),
            node("tower", "AMD Ryzen 9, RTX 4090", 64.0, 22.0, ("qwen2.5:7b", 5.6), hardware={"vram_total_gb": 24.0, "cores_physical": 16, "chip": "AMD Ryzen 9 with RTX 4090"}),
            node("mini", "Apple M4", 16.0, 14.9, ("llama3.2:3b", 3.1), status="degraded"),
        ],
        "queues": {
            "studio:llama3.3:70b": row("studio", "llama3.3:70b", 4, 4, 1_204),
            "studio:qwen2.5:7b": row("studio", "qwen2.5:7b", 1, 6, 311),
            "tower:qwen2.5:7b": row("tower", "qwen2.5:7b", 3, 4, 2_790, failed=2),
            "tower:llama3.2:3b": row("tower", "llama3.2:3b", 0, 4, 77),
            "mini:llama3.2:3b": row("mini", "llama3.2:3b", 2, 2, 418),
            "*:llama3.3:70b": row("", "llama3.3:70b", 0, 4, 0, pending=7, estimated_wait_ms=14_200),
            "*:mixtral:8x7b": row("", "mixtral:8x7b", 0, 0, 0, pending=1),
        },
        "timestamp": NOW,
    },
    "/dashboard/api/health": {
        "vitals": {
            "nodes_total": 3, "nodes_online": 3, "nodes_degraded": 1, "nodes_offline": 0, "overall_error_rate_pct": 1.4,
            "cold_loads_24h": 6, "avg_ttft_ms": 412.0, "total_requests_24h": 4_800, "total_retries_24h": 31,
            "client_disconnects_24h": 12, "incomplete_streams_24h": 0, "health_score": 87,
        },
        "recommendations": [
            {"check_id": "memory_pressure", "severity": "warning", "title": "Memory of mini is nearly full", "description": "14.9 of 16.0 GiB are in use, so a model that has to be loaded pushes another out.", "fix": "Unload a model there, or set OLLAMA_MAX_LOADED_MODELS=1 on mini.", "node_id": "mini", "data": {"used_gb": 14.9, "total_gb": 16.0, "requests": [REQUEST]}},
            {"check_id": "context_protection_active", "severity": "info", "title": "4 requests were pinned to the context in memory", "description": "The app editor asks for num_ctx 32,768; llama3.3:70b is in memory with 8,192.", "fix": "None needed.", "node_id": None, "data": {"pinned": 4}},
        ],
        "checked_at": NOW,
    },
    "/dashboard/api/traces": {"traces": [trace(index) for index in range(12)]},
    "/dashboard/api/overview": {"total_requests": 128_411, "total_prompt_tokens": 91_200_000, "total_completion_tokens": 18_400_000, "total_tokens": 109_600_000, "models_count": 4},
    "/dashboard/api/trends": {
        "hours": 72,
        "data": [
            {"hour_bucket": HOUR - 3_600 * back, "request_count": 30 + (back * 37) % 90 + 60 * (back % 24 in range(6, 15)), "avg_latency_ms": 2_100.0 + 900 * ((back * 7) % 5), "total_prompt_tokens": 41_000 + 2_000 * ((back * 13) % 17), "total_completion_tokens": 15_000 + 900 * ((back * 5) % 11)}
            for back in range(71, -1, -1)
        ],
    },
    "/dashboard/api/models": {
        "days": 7,
        "daily": [
            {"model_name": model, "day_bucket": DAY - 86_400 * back, "request_count": 400 // (place + 1) + 31 * ((back + place) % 4), "avg_latency_ms": 900.0, "total_prompt_tokens": 9_000, "total_completion_tokens": 40_000 // (place + 1) + 3_100 * (back % 3)}
            for back in range(6, -1, -1)
            for place, model in enumerate(MODELS)
        ],
        "summary": [
            {"model_name": model, "total_requests": 3_100 // (place + 1), "avg_latency_ms": 5_200.0 / (place + 1), "min_latency_ms": 85.0, "max_latency_ms": 61_000.0, "total_prompt_tokens": 2_900_000 // (place + 1), "total_completion_tokens": 640_000 // (place + 1), "first_seen": DAY, "last_seen": NOW - 40 * place}
            for place, model in enumerate(MODELS)
        ],
    },
    "/dashboard/api/context-usage": {
        "days": 7,
        "models": [
            {"model": model, "allocated_ctx": 8_192, "override_ctx": None, "request_count": 900, "prompt_tokens": {"avg": 800, "p50": 512, "p75": 900, "p95": 2_048, "p99": 3_000, "max": 4_001}, "total_tokens": {"p95": 2_600, "p99": 3_400, "max": 4_412, "max_24h": 4_412}, "utilization_pct": 41.5, "recommended_ctx": 4_096 if place else 8_192, "savings_pct": 50 if place else 0}
            for place, model in enumerate(MODELS[:3])
        ],
    },
    "/dashboard/api/model-management": {
        "nodes": [
            {"node_id": name, "models": [{"name": model, "size_gb": size, "last_used": NOW - 3_600 if size > 3 else None, "total_requests": 811, "loaded_in_vram": size > 40, "unused": False} for model, size in zip(MODELS, (39.6, 4.4, 1.9, 0.25), strict=True)], "total_size_gb": 46.1, "disk_available_gb": 212.0, "disk_total_gb": 930.0}
            for name in ("studio", "tower", "mini")
        ]
    },
    "/dashboard/api/apps": {
        "days": 7,
        "data": [
            {"tag": app, "request_count": 2_400 // (place + 1), "completed_count": 2_300 // (place + 1), "failed_count": 11 * (place == 1), "avg_latency_ms": 3_100.0, "avg_ttft_ms": 390.0, "total_prompt_tokens": 1_900_000 // (place + 1), "total_completion_tokens": 410_000 // (place + 1)}
            for place, app in enumerate(APPS)
        ],
        "summary": [{"tag": app, "last_seen": NOW - 30 * place} for place, app in enumerate(APPS)],
    },
    "/dashboard/api/apps/daily": {
        "days": 7,
        "data": [
            {"tag": app, "day_bucket": DAY - 86_400 * back, "request_count": 300 // (place + 1) + 20 * (back % 3), "avg_latency_ms": 900.0, "total_tokens": 90_000 // (place + 1)}
            for back in range(6, -1, -1)
            for place, app in enumerate(APPS)
        ],
    },
    "/dashboard/api/benchmarks": {
        "data": [
            {"run_id": f"bench-{back}", "timestamp": NOW - 86_400 * back, "duration_s": 30.0, "total_requests": 125 + back, "total_failures": 0, "requests_per_sec": 4.2 + back, "tokens_per_sec": 296.5 + 21 * back, "latency_p50_ms": 452.6, "latency_p95_ms": 2_313.6 + 300 * back, "latency_p99_ms": 2_721.1, "ttft_p50_ms": 136.3, "ttft_p95_ms": 988.1, "per_model_results": [{"model": "qwen2.5:7b", "requests": 35, "tok_s": 127.0, "avg_ttft_ms": 149.4}], "per_node_results": [{"node_id": "tower", "requests": 59, "pct": 47.2}]}
            for back in range(3)
        ]
    },
    "/dashboard/api/benchmarks/progress": {"status": "idle", "phase": ""},
    "/dashboard/api/recommendations": {
        "nodes": [
            {
                "node_id": name, "total_ram_gb": ram, "usable_ram_gb": ram - 6, "current_models": ["qwen2.5:7b"],
                "recommendations": [
                    {"model": "qwen2.5:7b", "display_name": "Qwen 2.5 7B", "category": "general", "ram_gb": 5.6, "quality_score": 74.0, "reason": "asked 2,790 times in the last week, and in memory here on 97 % of them", "priority": "high", "already_available": True},
                    {"model": "qwen2.5-coder:7b", "display_name": "Qwen 2.5 Coder 7B", "category": "coding", "ram_gb": 5.5, "quality_score": 76.7, "reason": "the app editor asks a general model for code; this one fits beside it", "priority": "medium", "already_available": False},
                ],
                "disk_total_gb": 930.0, "disk_available_gb": 212.0, "total_recommended_ram_gb": 11.1, "ram_headroom_gb": ram - 17.1,
            }
            for name, ram in (("studio", 192.0), ("tower", 64.0))
        ],
        "usage": {"total_requests_24h": 4_800, "top_models": [{"model": "qwen2.5:7b", "requests": 3_100, "category": "general"}]},
        "generated_at": NOW - 60,
    },
    "/dashboard/api/settings": {
        "router_version": "0.1.0", "router_hostname": "attic",
        "settings": [
            {"key": "predictions", "value": True, "default": True, "changeable": True, "fixed_by": "", "help": "Whether waits and answers are predicted.", "type": "bool"},
            {"key": "policy", "value": "soonest", "default": "resident-first", "changeable": True, "fixed_by": "", "help": "How a node is chosen.", "type": "choice", "choices": ["soonest", "resident-first", "random"]},
            {"key": "max_queue", "value": 512, "default": 512, "changeable": True, "fixed_by": "", "help": "Requests that may wait for one model.", "type": "int"},
            {"key": "hold_timeout_s", "value": 30.0, "default": 30.0, "changeable": True, "fixed_by": "FLEET_HOLD_TIMEOUT", "help": "How long a request waits while no node that is online has its model.", "type": "float", "unit": "s"},
            {"key": "port", "value": 11435, "default": 11435, "changeable": False, "fixed_by": "--port", "help": "The port to listen on.", "type": "int"},
            {"key": "data_dir", "value": "~/.fleet-manager", "default": "~/.fleet-manager", "changeable": False, "fixed_by": "", "help": "Where the log lives.", "type": "str"},
        ],
        "nodes": [{"node_id": "studio", "status": "online", "agent_version": "0.1.0", "ip": "http://studio:11434", "models_loaded_count": 2, "is_router": False}],
    },
    f"/dashboard/api/requests/{REQUEST}": {
        "request_id": REQUEST, "model": "llama3.2:3b", "app": "curl", "route": "/api/chat", "ended": True, "began_at": NOW - 30, "total_s": 0.957,
        "spans": [
            {"what": "waiting", "from_s": 0.0, "to_s": 0.257, "node_id": ""}, {"what": "failed", "from_s": 0.257, "to_s": 0.299, "node_id": "tower"},
            {"what": "waiting", "from_s": 0.299, "to_s": 0.735, "node_id": ""}, {"what": "prompt", "from_s": 0.735, "to_s": 0.8, "node_id": "studio"},
            {"what": "answer", "from_s": 0.8, "to_s": 0.957, "node_id": "studio"},
        ],
        "decisions": [
            {"seq": 4_111, "at_s": 0.735, "attempt": 2, "node_id": "studio", "policy": "resident-first/1", "why": "studio, because mini would have had to load the model, about 2.1 s.", "candidates": [{"node_id": "studio", "resident": True, "in_flight": 2, "slots": 4, "wait_s": 0.0, "score": 88.0}, {"node_id": "mini", "resident": False, "in_flight": 1, "slots": 2, "wait_s": 2.1, "score": 41.5}], "not_listed": 0, "predicted_s": 0.9, "predicted_least_s": 0.4, "predicted_most_s": 1.7}
        ],
        "steps": [
            {"seq": 4_101, "at_s": 0.0, "kind": "request_received", "node_id": "", "text": "received: llama3.2:3b, /api/chat, app curl"},
            {"seq": 4_111, "at_s": 0.735, "kind": "request_dispatched", "node_id": "studio", "text": "sent to studio, attempt 2"},
            {"seq": 4_115, "at_s": 0.957, "kind": "request_completed", "node_id": "studio", "text": "completed: 163 tokens, stop"},
        ],
        "command": f"herd explain {REQUEST}",
    },
}
