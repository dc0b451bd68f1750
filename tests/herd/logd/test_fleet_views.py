"""What the views make of nodes, loads, applications and herd itself, on small logs by hand."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from events import (
    ActorFailed,
    AttemptFailed,
    Candidate,
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    ConfigurationLoaded,
    Event,
    FrontLost,
    Lease,
    NodeBecameHealthy,
    NodeDegraded,
    NodeDrained,
    NodeForgotten,
    NodeId,
    NodeSlept,
    NodeUndrained,
    NodeWentOffline,
    RecordingResumed,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestId,
    RequestReceived,
    SettingsChanged,
    Source,
    StreamStarted,
    WakePlanned,
)
from herd.analysis import open_log
from tests.herd.journal.sample import log_of
from tests.herd.logd.rig import Rows, data_dir, rows, write

MINI, STUDIO = NodeId("mini"), NodeId("studio")
MODEL = "qwen2.5:7b"
COLD = Candidate(MINI, resident=False, in_flight=0, slots=2, wait_s=12.5, score=40.0)
BUSY = Candidate(STUDIO, resident=True, in_flight=3, slots=4, wait_s=20.0, score=30.5)


def asked(root: Path, events: Sequence[Event], query: str) -> Rows:
    write(data_dir(root), log_of(events))
    with open_log(root) as log:
        return rows(log, query)


def received(name: str, app: str = "") -> RequestReceived:
    return RequestReceived(request_id=RequestId(name), model=MODEL, app=app)


def dispatched(
    name: str, *terms: Candidate, cold: bool = False, attempt: int = 1
) -> RequestDispatched:
    return RequestDispatched(
        request_id=RequestId(name),
        model=MODEL,
        node_id=terms[0].node_id if terms else MINI,
        lease=Lease(f"1.{name}{attempt}"),
        attempt=attempt,
        terms=terms,
        cold=cold,
    )


def test_candidates_are_the_nodes_that_a_placement_weighed(tmp_path: Path) -> None:
    events = [dispatched("x", COLD, BUSY), dispatched("y", BUSY), dispatched("untold")]
    assert asked(
        tmp_path,
        events,
        "SELECT * EXCLUDE recorded_at FROM candidates ORDER BY seq, rank",
    ) == [
        (2, "x", MODEL, "mini", 1, True, False, 0, 2, 12.5, 40.0),
        (2, "x", MODEL, "studio", 2, False, True, 3, 4, 20.0, 30.5),
        (3, "y", MODEL, "studio", 1, True, True, 3, 4, 20.0, 30.5),
    ]


def test_model_loads_say_what_was_predicted_and_what_came(tmp_path: Path) -> None:
    def ended(name: str, attempt: int = 1) -> dict[str, Any]:
        lease = Lease(f"1.{name}{attempt}")
        return {"request_id": name, "model": MODEL, "node_id": MINI, "lease": lease}

    events: list[Event] = [
        dispatched("warm", BUSY),
        dispatched("loaded", COLD, cold=True),
        dispatched("retried", COLD, cold=True),
        dispatched("gone", COLD, cold=True),
        dispatched("running", cold=True),
        StreamStarted(**ended("loaded"), ttft_s=11.5),
        RequestCompleted(**ended("loaded"), ttft_s=11.5, load_s=10.25, service_s=14.0),
        AttemptFailed(**ended("retried"), phase="first_byte", elapsed_s=3.0),
        dispatched("retried", BUSY, attempt=2),
        RequestCompleted(**ended("retried", 2), ttft_s=0.5),
        RequestCancelled(**ended("gone"), phase="first_byte"),
        dispatched("early", COLD, cold=True),
        RequestCancelled(request_id=RequestId("early"), model=MODEL, phase="queue"),
    ]
    assert asked(
        tmp_path,
        events,
        "SELECT * EXCLUDE (recorded_at, ended_at), ended_at IS NULL FROM model_loads ORDER BY seq",
    ) == [
        (3, "mini", MODEL, "loaded", 12.5, 10.25, 11.5, "completed", False),
        (4, "mini", MODEL, "retried", 12.5, None, None, "attempt_failed", False),
        (5, "mini", MODEL, "gone", 12.5, None, None, "cancelled", False),
        (6, "mini", MODEL, "running", None, None, None, "in_flight", True),
        (13, "mini", MODEL, "early", 12.5, None, None, "cancelled", False),
    ]


def test_apps_are_counted_by_their_name(tmp_path: Path) -> None:
    def completed(name: str, ttft_s: float) -> RequestCompleted:
        return RequestCompleted(
            request_id=RequestId(name),
            model=MODEL,
            node_id=MINI,
            lease=Lease(f"1.{name}1"),
            ttft_s=ttft_s,
            service_s=2.0,
            prompt_tokens=10,
            completion_tokens=5,
            usage_source="reported",
        )

    failed = RequestFailed(
        request_id=RequestId("c"), model=MODEL, phase="connect", fault="node", status=502
    )
    events = [
        *(received("a", "notes"), dispatched("a", BUSY), completed("a", 0.5)),
        *(received("b", "notes"), dispatched("b", BUSY), completed("b", 1.5)),
        *(received("c", "notes"), failed),
        received("d"),
        dispatched("adopted", BUSY),  # never received here
    ]

    def seen(*at_ms: int) -> list[datetime]:
        second = datetime(2025, 10, 9, 8, 53, 20)  # noqa: DTZ001 (as DuckDB returns UTC)
        return [second.replace(microsecond=ms * 1000) for ms in at_ms]

    assert asked(tmp_path, events, "FROM apps ORDER BY app") == [
        ("", 1, 0, 0, 0, 0, 0, 0, *seen(10, 10), None, None, None),
        ("notes", 3, 2, 1, 0, 0, 20, 10, *seen(2, 8), 0.0, 1.0, 2.0),  # of those that were measured
    ]


HEALTH: list[tuple[Event, str, str]] = [
    (NodeBecameHealthy(node_id=MINI), "info", "mini is online"),
    (NodeDegraded(node_id=MINI, reason="silent"), "warning", "mini is degraded: silent"),
    (NodeDegraded(node_id=MINI), "warning", "mini is degraded"),
    (NodeWentOffline(node_id=MINI, reason="silent"), "error", "mini is offline: silent"),
    (NodeForgotten(node_id=MINI), "info", "mini left the fleet"),
    (NodeSlept(node_id=MINI, reason="silent"), "info", "mini sleeps: silent"),
    (
        WakePlanned(node_id=MINI, reason="asked"),
        "info",
        "mini is woken, as somebody asked for it",
    ),
    (
        WakePlanned(node_id=MINI, reason="only", model=MODEL),
        "info",
        "mini is woken, since nobody else has qwen2.5:7b",
    ),
    (
        WakePlanned(node_id=MINI, reason="queue", model=MODEL, in_line=6),
        "info",
        "mini is woken, since 6 wait for qwen2.5:7b",
    ),
    (NodeDrained(node_id=MINI, by="admin"), "info", "mini takes no new work"),
    (NodeUndrained(node_id=MINI), "info", "mini takes work again"),
    (
        CircuitOpened(node_id=MINI, model=MODEL, failures=3, open_s=10.0),
        "warning",
        "mini gets no qwen2.5:7b for 10.0 s after 3 failures in a row",
    ),
    (
        CircuitOpened(
            node_id=MINI, model=MODEL, failures=3, open_s=60.0, reason="slow", pace_share=0.105
        ),
        "warning",
        "mini is asked last for qwen2.5:7b: it answers at 10.5 % of its usual pace",
    ),
    (CircuitHalfOpened(node_id=MINI, model=MODEL), "info", "mini may try qwen2.5:7b again"),
    (CircuitClosed(node_id=MINI, model=MODEL), "info", "mini serves qwen2.5:7b again"),
    (
        ActorFailed(actor="scheduler", failed_seq=7, error="KeyError: 'x'"),
        "error",
        "scheduler failed on event 7: KeyError: 'x'",
    ),
    (
        RecordingResumed(lost_from=9, lost_events=3, error="disk full"),
        "error",
        "3 events from 9 on were not recorded: disk full",
    ),
    (
        FrontLost(front_src=Source("f1-aaaaaa")),
        "error",
        "f1-aaaaaa was lost with its connections",
    ),
]


@pytest.mark.parametrize("number", range(len(HEALTH)))
def test_a_health_event_is_a_sentence(tmp_path: Path, number: int) -> None:
    event, severity, what = HEALTH[number]
    node = getattr(event, "node_id", None)
    assert asked(
        tmp_path,
        [received("x"), event],
        "SELECT seq, severity, what, node_id, model FROM health_events",
    ) == [(3, severity, what, node, getattr(event, "model", None) or None)]


def test_settings_are_those_of_each_start_and_each_change(tmp_path: Path) -> None:
    events: list[Event] = [
        ConfigurationLoaded(settings={"port": 11435, "mdns": True, "nodes": "", "a b.c": 0.5}),
        SettingsChanged(key="max_queue", old=512, new=7, by="127.0.0.1"),
    ]
    assert asked(
        tmp_path, events, "SELECT seq, key, value, changed_by FROM settings ORDER BY seq, key"
    ) == [
        (2, "a b.c", "0.5", ""),
        (2, "mdns", "true", ""),
        (2, "nodes", "", ""),
        (2, "port", "11435", ""),
        (3, "max_queue", "7", "127.0.0.1"),
    ]
