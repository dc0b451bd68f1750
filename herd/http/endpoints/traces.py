"""`/dashboard/api/traces`: the last attempts and requests, the newest first, a page at a time.

`id` is where a row stands in the log: `before=ID` and `after=ID` turn the pages. A filter that
finds little is given up after a million events: `next_before` says where to go on from.
"""

import json
from typing import Final

from herd.http.history import History, Row
from herd.http.parameters import LARGEST, Parameters
from herd.logd.wire import Parameter

MOST: Final = 200
SPANS: Final = (50_000, 1_000_000)
"""Events that are looked through: first few, and more only if they hold no whole page."""

_KINDS: Final = {
    "completed": ["request_completed"],
    "no_output": ["request_completed"],
    "failed": ["request_failed", "request_reaped", "request_interrupted", "attempt_failed"],
    "incomplete": ["request_failed"],
    "client_disconnected": ["request_cancelled"],
    "rejected": ["request_rejected"],
    "retried": ["attempt_failed"],
}
"""What each status in the answer is called in the log."""
_ALL: Final = sorted({kind for kinds in _KINDS.values() for kind in kinds})
_AS_JSON: Final = ("scores_breakdown", "excluded_nodes", "tags")
_LEFT_OUT: Final = frozenset({"estimated_tokens"})


async def page(history: History, given: Parameters) -> dict[str, object]:
    """Return a page. Raises `ParameterError` and `LogdAwayError`."""
    limit = given.whole("limit", 50, least=1, most=MOST)
    before = given.whole("before", LARGEST, least=1)
    after = given.whole("after", 0)
    status = given.choice("status", _KINDS)
    asked: dict[str, Parameter] = {
        "kinds": _KINDS.get(status, _ALL),
        "before": before,
        "after": after,
        "model": given.text("model"),
        "node": given.text("node"),
        "limit": limit,
    }
    found: list[Row] = []
    for span in SPANS:
        found = await history.rows("trace_page", {**asked, "span": span})
        if len(found) == limit:
            break
    if len(found) == limit:
        next_before = _int(found[-1]["seq"])
    else:
        [log] = await history.rows("log_span")
        bound = min(before, _int(log["last_seq"]) + 1) - SPANS[-1]
        next_before = bound + 1 if bound > max(after, _int(log["first_seq"])) else 0
    rows = await _rows(history, found, status) if found else []
    return {"traces": [_trace(row) for row in rows], "next_before": next_before or None}


async def _rows(history: History, found: list[Row], status: str) -> list[Row]:
    ids = sorted({str(row["request_id"]) for row in found})
    seqs = {_int(row["seq"]) for row in found}
    asked: dict[str, Parameter] = {
        "ids": ids,
        "first_id": ids[0],
        "last_id": ids[-1],
        "first": min(seqs),
        "last": max(seqs),
        "status": status,
    }
    rows = await history.rows("traces", asked)
    return [row for row in rows if row["id"] in seqs]


def _trace(row: Row) -> dict[str, object]:
    trace: dict[str, object] = {k: v for k, v in row.items() if k not in _LEFT_OUT}
    for name in _AS_JSON:
        value = row[name]
        trace[name] = json.loads(value) if isinstance(value, str) else None
    trace["fallback_used"] = bool(row["fallback_used"])
    return trace


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
