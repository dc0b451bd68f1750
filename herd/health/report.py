"""All checks, and what they say together.

A warning takes 10 points of 100, something critical 25, an information nothing: an idle fleet
where nothing is wrong has 100. A fleet that can serve nobody has 0.
"""

from typing import Final

import msgspec

from herd.health import circuits, itself, models, nodes, pins, requests
from herd.health.finding import Check, Finding
from herd.health.picture import Picture

CHECKS: Final[tuple[Check, ...]] = (
    nodes.no_node,
    nodes.waiting,
    nodes.offline,
    nodes.degraded,
    nodes.paused,
    nodes.memory_pressure,
    nodes.underutilised,
    nodes.bypassed,
    nodes.version_mismatch,
    nodes.cpu_fallback,
    models.thrashing,
    models.kv_bloat,
    models.context_protection,
    models.context_reload,
    models.prompt_truncated,
    models.grey_failure,
    pins.not_kept,
    requests.error_rate,
    requests.retry_rate,
    requests.timeouts,
    requests.deadlines,
    requests.load_timeouts,
    requests.quick_failures,
    circuits.kept_away,
    circuits.stalled,
    requests.disconnects,
    requests.incomplete_streams,
    requests.reaped,
    itself.recording_off,
    itself.gaps,
    itself.disk_full,
    itself.log_away,
    itself.log_lag,
    itself.clock_skew,
    itself.own_failures,
)
COSTS: Final = {"critical": 25, "warning": 10, "info": 0}
_FAILED: Final = ("request_failed", "request_given_up", "request_reaped", "request_interrupted")
_ENDS: Final = (
    *_FAILED,
    "request_cancelled",
    "request_rejected",
)
_OVERLOADED, _UNABLE = 429, 500
"""What a client did not bring upon itself: the first, and from the second on."""


def findings(picture: Picture) -> list[Finding]:
    """Return what is not well, the worst first."""
    found = [finding for check in CHECKS for finding in check(picture)]
    return sorted(found, key=lambda finding: -COSTS[finding.severity])


def score(found: list[Finding]) -> int:
    """Return 0 to 100."""
    if any(finding.check_id == "no_node" for finding in found):
        return 0
    return max(0, 100 - sum(COSTS[finding.severity] for finding in found))


def report(picture: Picture, now_s: float) -> dict[str, object]:
    """Return `/dashboard/api/health`; `now_s` is seconds since the epoch."""
    found = findings(picture)
    statuses = [node.status for node in picture.view.nodes]
    completed = picture.completed()
    ended = _count(picture, *_ENDS)
    failed = _count(picture, *_FAILED) + sum(
        each.events
        for each in picture.happened("request_rejected")
        if each.status == _OVERLOADED or each.status >= _UNABLE
    )
    total = completed + ended
    broken = [each for each in picture.happened("request_failed") if each.phase == "stream"]
    return {
        "vitals": {
            "nodes_total": len(statuses),
            "nodes_online": statuses.count("online"),
            "nodes_degraded": statuses.count("degraded"),
            "nodes_offline": statuses.count("offline"),
            "nodes_sleeping": statuses.count("sleeping"),
            "overall_error_rate_pct": round(100 * failed / total, 1) if total else 0.0,
            "cold_loads_24h": sum(work.cold for work in picture.work),
            "avg_ttft_ms": round(1000 * sum(work.ttft_s for work in picture.work) / completed, 1)
            if completed
            else None,
            "total_requests_24h": total,
            "total_retries_24h": picture.retries(),
            "client_disconnects_24h": _count(picture, "request_cancelled"),
            "incomplete_streams_24h": sum(each.events for each in broken),
            "image_generations_24h": 0,
            "transcriptions_24h": 0,
            "health_score": score(found),
        },
        "recommendations": [msgspec.structs.asdict(finding) for finding in found],
        "checked_at": now_s,
    }


def _count(picture: Picture, *kinds: str) -> int:
    return sum(each.events for each in picture.happened(*kinds))
