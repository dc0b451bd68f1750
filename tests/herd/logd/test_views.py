"""What the views make of a log in which everything happens once."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import pytest

from events import (
    KINDS,
    AttemptFailed,
    Candidate,
    Event,
    Lease,
    LeaseVoided,
    NodeBecameHealthy,
    NodeDegraded,
    NodeDiscovered,
    NodeDrained,
    NodeId,
    NodeMoved,
    NodeWentOffline,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestId,
    RequestInterrupted,
    RequestQueued,
    RequestReaped,
    RequestReceived,
    RequestRejected,
    StreamStarted,
)
from herd.analysis import open_log
from tests.herd.journal.sample import START_US, log_of
from tests.herd.logd.rig import Rows, data_dir, rows, write

MINI, STUDIO = NodeId("mini"), NodeId("studio")
CHAT, EMBED = "llama3.2:latest", "nomic-embed-text:latest"
ROUTES = {"embedded": "/api/embed", "cancelled": "/v1/messages", "rejected": "/v1/responses"}


def terms(chosen: NodeId, score: float, other: NodeId, other_score: float) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(node, resident=True, in_flight=1, slots=4, wait_s=0.5, score=value)
        for node, value in ((chosen, score), (other, other_score))
    )


def dispatched(name: str, node: NodeId, attempt: int = 1, model: str = CHAT) -> Event:
    return RequestDispatched(
        request_id=RequestId(name),
        model=model,
        node_id=node,
        lease=Lease(f"1.{name}{attempt}"),
        attempt=attempt,
        queue_s=0.5 * (attempt - 1),
        terms=terms(node, 90.0, STUDIO if node == MINI else MINI, 80.0),
        more=3,
        cold=attempt == 2,
    )


def received(name: str, model: str = CHAT) -> Event:
    return RequestReceived(
        request_id=RequestId(name),
        model=model,
        asked_model="llama3.2" if model == CHAT else "",
        route=ROUTES.get(name, "/v1/chat/completions"),
        client="192.0.2.7",
        app="notes" if name == "retried" else "",
    )


def story() -> list[Event]:
    retried, silent, embedded = (RequestId(name) for name in ("retried", "silent", "embedded"))
    cut, cancelled, reaped = (RequestId(name) for name in ("cut", "cancelled", "reaped"))
    rejected, interrupted = RequestId("rejected"), RequestId("interrupted")
    return [
        NodeDiscovered(node_id=MINI, url="http://mini:11434", origin="agent"),
        NodeBecameHealthy(node_id=MINI),
        NodeDiscovered(node_id=STUDIO, url="http://studio:11434", origin="flag", slots=4),
        NodeBecameHealthy(node_id=STUDIO),
        # A retry, then an answer.
        received("retried"),
        dispatched("retried", MINI),
        AttemptFailed(
            request_id=retried,
            model=CHAT,
            node_id=MINI,
            lease=Lease("1.retried1"),
            phase="first_byte",
            status=500,
            error="out of memory",
            elapsed_s=0.25,
        ),
        dispatched("retried", STUDIO, 2),
        StreamStarted(
            request_id=retried, model=CHAT, node_id=STUDIO, lease=Lease("1.retried2"), ttft_s=1.5
        ),
        RequestCompleted(
            request_id=retried,
            model=CHAT,
            node_id=STUDIO,
            lease=Lease("1.retried2"),
            ttft_s=1.5,
            service_s=4.0,
            prompt_tokens=10,
            completion_tokens=30,
            usage_source="reported",
            finish="stop",
        ),
        # Answers without tokens: wrong for a chat, right for an embedding.
        received("silent"),
        dispatched("silent", STUDIO),
        RequestCompleted(
            request_id=silent,
            model=CHAT,
            node_id=STUDIO,
            lease=Lease("1.silent1"),
            service_s=1.0,
            usage_source="reported",
        ),
        received("embedded", EMBED),
        dispatched("embedded", STUDIO, model=EMBED),
        RequestCompleted(
            request_id=embedded,
            model=EMBED,
            node_id=STUDIO,
            lease=Lease("1.embedded1"),
            service_s=0.1,
            prompt_tokens=7,
            usage_source="reported",
        ),
        # Other ends.
        received("cut"),
        dispatched("cut", STUDIO),
        RequestFailed(
            request_id=cut,
            model=CHAT,
            phase="stream",
            fault="node",
            status=502,
            node_id=STUDIO,
            lease=Lease("1.cut1"),
            error="connection reset",
            ttft_s=0.2,
            service_s=0.75,
            completion_tokens=5,
        ),
        received("cancelled"),
        RequestQueued(request_id=cancelled, model=CHAT, position=1, reason="slots"),
        RequestCancelled(request_id=cancelled, model=CHAT, phase="queue"),
        received("rejected"),
        RequestRejected(
            request_id=rejected, model=CHAT, status=429, reason="queue_full", retry_after_s=3
        ),
        received("reaped"),
        dispatched("reaped", STUDIO),
        RequestReaped(
            request_id=reaped, model=CHAT, node_id=STUDIO, lease=Lease("1.reaped1"), idle_s=600
        ),
        received("interrupted"),
        dispatched("interrupted", STUDIO),
        RequestInterrupted(
            request_id=interrupted,
            model=CHAT,
            reason="front_lost",
            node_id=STUDIO,
            lease=Lease("1.interrupted1"),
        ),
        # Still there at the end.
        received("voided"),
        dispatched("voided", STUDIO),
        LeaseVoided(
            request_id=RequestId("voided"), model=CHAT, node_id=STUDIO, lease=Lease("1.voided1")
        ),
        received("running"),
        dispatched("running", STUDIO),
        NodeMoved(node_id=MINI, url="http://mini.local:11434"),
        NodeDegraded(node_id=STUDIO, reason="silent"),
        NodeWentOffline(node_id=MINI, reason="silent"),
        NodeDrained(node_id=STUDIO, by="admin"),
    ]


Ask: TypeAlias = Callable[[str], Rows]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    write(data_dir(tmp_path), log_of(story()))
    with open_log(tmp_path) as log:
        yield lambda query: rows(log, query)


def test_traces_have_the_columns_and_units_of_ollama_herd(ask: Ask) -> None:
    [(names,)] = ask("SELECT list(column_name) FROM (DESCRIBE request_traces)")
    assert " ".join(names) == (
        "id request_id model original_model node_id score scores_breakdown status latency_ms"
        " time_to_first_token_ms prompt_tokens completion_tokens retry_count fallback_used"
        " excluded_nodes client_ip original_format error_message timestamp tags finish_reason"
        " estimated_tokens"
    )
    [trace] = ask(
        "SELECT id, model, original_model, node_id, score, scores_breakdown::VARCHAR, latency_ms,"
        " time_to_first_token_ms, prompt_tokens, completion_tokens, retry_count, fallback_used,"
        " excluded_nodes::VARCHAR, client_ip, timestamp, tags::VARCHAR, finish_reason"
        " FROM request_traces WHERE request_id = 'retried' AND status = 'completed'"
    )
    breakdown = '{"resident":true,"in_flight":1,"slots":4,"wait_s":0.5,"total":90.0}'
    assert trace == (
        *(11, CHAT, "llama3.2", "studio", 90.0, breakdown, 4000.0),
        *(1500.0, 10, 30, 1, 0, '["mini"]', "192.0.2.7"),
        *(START_US // 1_000_000, '["notes"]', "stop"),
    )


def test_every_attempt_and_end_is_a_trace_in_ollama_herds_words(ask: Ask) -> None:
    assert ask(
        "SELECT request_id, status, node_id, latency_ms, original_format, error_message"
        " FROM request_traces ORDER BY id"
    ) == [
        ("retried", "retried", "mini", 250.0, "openai", "out of memory"),
        ("retried", "completed", "studio", 4000.0, "openai", None),
        ("silent", "no_output", "studio", 1000.0, "openai", None),
        ("embedded", "completed", "studio", 100.0, "embed", None),
        ("cut", "incomplete", "studio", 750.0, "openai", "connection reset"),
        ("cancelled", "client_disconnected", "", None, "anthropic", None),
        ("rejected", "rejected", "", None, "responses", "queue_full"),
        ("reaped", "failed", "studio", 1.0, "openai", "no progress for 600 s"),
        ("interrupted", "failed", "studio", 1.0, "openai", "front_lost"),
    ]


def failed_attempt(name: str, number: int) -> AttemptFailed:
    return AttemptFailed(
        request_id=RequestId(name),
        model=CHAT,
        node_id=MINI,
        lease=Lease(f"1.{name}{number}"),
        phase="connect",
        error="refused",
        elapsed_s=0.25,
    )


def test_a_failed_attempt_that_nothing_followed_is_failed_and_not_retried(tmp_path: Path) -> None:
    gone, late = RequestId("gone"), RequestId("late")
    write(
        data_dir(tmp_path),
        log_of(
            [
                *(received("gone"), dispatched("gone", MINI), failed_attempt("gone", 1)),
                *(dispatched("gone", MINI, 2), failed_attempt("gone", 2)),
                RequestFailed(
                    request_id=gone,
                    model=CHAT,
                    phase="connect",
                    fault="node",
                    status=502,
                    node_id=MINI,
                    error="refused",
                ),
                *(received("late"), dispatched("late", MINI), failed_attempt("late", 1)),
                RequestRejected(request_id=late, model=CHAT, status=503, reason="hold_timeout"),
            ]
        ),
    )
    with open_log(tmp_path) as log:
        assert rows(
            log,
            "SELECT request_id, status, retry_count, latency_ms, error_message"
            " FROM request_traces ORDER BY id",
        ) == [
            ("gone", "retried", 0, 250.0, "refused"),
            ("gone", "failed", 1, 250.0, "refused"),
            ("late", "failed", 0, 250.0, "refused"),
            ("late", "rejected", 0, None, "hold_timeout"),
        ]


def test_an_end_told_twice_is_one_trace(tmp_path: Path) -> None:
    twice = RequestCancelled(request_id=RequestId("x"), model=CHAT, phase="queue")
    late = RequestCancelled(request_id=RequestId("x"), model=CHAT, phase="connect", node_id=MINI)
    write(data_dir(tmp_path), log_of([received("x"), twice, dispatched("x", MINI), late]))
    with open_log(tmp_path) as log:
        assert rows(log, "SELECT status, node_id FROM request_traces") == [
            ("client_disconnected", "mini")
        ]
        assert rows(log, "SELECT status, phase FROM requests") == [("cancelled", "connect")]


def test_a_request_is_one_row_from_its_coming_to_its_end(ask: Ask) -> None:
    assert ask(
        "SELECT request_id, status, node_id, attempts, retries, http_status, phase, error"
        " FROM requests ORDER BY received_at"
    ) == [
        ("retried", "completed", "studio", 2, 1, 200, None, None),
        ("silent", "completed", "studio", 1, 0, 200, None, None),
        ("embedded", "completed", "studio", 1, 0, 200, None, None),
        ("cut", "failed", "studio", 1, 0, 502, "stream", "connection reset"),
        ("cancelled", "cancelled", None, 0, 0, None, "queue", None),
        ("rejected", "rejected", None, 0, 0, 429, None, "queue_full"),
        ("reaped", "reaped", "studio", 1, 0, None, None, "no progress for 600 s"),
        ("interrupted", "interrupted", "studio", 1, 0, None, None, "front_lost"),
        ("voided", "waiting", "studio", 0, 0, None, None, None),
        ("running", "in_flight", "studio", 1, 0, None, None, None),
    ]
    assert ask(
        "SELECT model, asked_model, route, stream, client, app, queue_s, ttft_s, service_s,"
        " prompt_tokens, completion_tokens, usage_source, finish, cold, ended_at - received_at"
        " FROM requests WHERE request_id = 'retried'"
    ) == [
        (
            *(CHAT, "llama3.2", "/v1/chat/completions", True, "192.0.2.7", "notes"),
            *(0.5, 1.5, 4.0, 10, 30, "reported", "stop", True, timedelta(milliseconds=5)),
        )
    ]


def test_defaults_that_no_line_holds_are_those_of_the_events(tmp_path: Path) -> None:
    plain = RequestReceived(request_id=RequestId("x"), model=CHAT)
    placed = RequestDispatched(
        request_id=RequestId("x"), model=CHAT, node_id=MINI, lease=Lease("1.1")
    )
    done = RequestCompleted(request_id=RequestId("x"), model=CHAT, node_id=MINI, lease=Lease("1.1"))
    write(data_dir(tmp_path), log_of([plain, placed, done]))
    with open_log(tmp_path) as log:
        [row] = rows(log, "SELECT route, stream, http_status, queue_s FROM requests")
        assert row == (plain.route, plain.stream, done.status, placed.queue_s)
        [row] = rows(log, "SELECT attempt, cold, probing, policy, candidates FROM decisions")
        expected = (placed.attempt, placed.cold, placed.probing, placed.policy, placed.more)
        assert row == expected


def test_a_decision_names_the_runner_up(ask: Ask) -> None:
    assert ask(
        "SELECT attempt, node_id, score, runner_up, runner_up_score, candidates, cold, queue_s"
        " FROM decisions WHERE request_id = 'retried' ORDER BY seq"
    ) == [
        (1, "mini", 90.0, "studio", 80.0, 5, False, 0.0),
        (2, "studio", 90.0, "mini", 80.0, 5, True, 0.5),
    ]


def test_nodes_are_as_the_log_last_said(ask: Ask) -> None:
    assert ask(
        "SELECT node_id, url, origin, status, draining, dispatched, completed, failed,"
        " completion_tokens FROM nodes ORDER BY node_id"
    ) == [
        ("mini", "http://mini.local:11434", "agent", "offline", False, 1, 0, 1, 0),
        ("studio", "http://studio:11434", "flag", "degraded", True, 8, 3, 1, 30),
    ]


def test_queue_depth_counts_whoever_has_no_slot(ask: Ask) -> None:
    depths = ask(f"SELECT waiting FROM queue_depth WHERE model = '{CHAT}' ORDER BY seq")  # noqa: S608 (ours)
    assert [depth for (depth,) in depths] == [
        *(1, 0, 1, 0),  # retried: waits twice
        *(1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0),
        *(1, 0, 1, 2, 1),  # voided goes back to waiting, and is still there
    ]


def test_a_grant_that_never_reached_its_front_is_no_attempt(tmp_path: Path) -> None:
    lost = LeaseVoided(
        request_id=RequestId("again"), model=CHAT, node_id=STUDIO, lease=Lease("1.again1")
    )
    again = dispatched("again", STUDIO)
    write(data_dir(tmp_path), log_of([received("again"), again, lost, again]))
    with open_log(tmp_path) as log:
        assert rows(log, "SELECT attempts, retries FROM requests") == [(1, 0)]
        assert rows(log, "SELECT retries FROM daily") == [(0,)]


def test_ttft_and_throughput(ask: Ask) -> None:
    assert ask("SELECT request_id, cold, queue_s, ttft_s, wait_s FROM ttft ORDER BY 1") == [
        ("cut", False, 0.0, 0.2, 0.2),
        ("retried", True, 0.5, 1.5, 2.0),
    ]
    assert ask("SELECT * EXCLUDE minute FROM throughput ORDER BY model") == [
        (CHAT, 2, 1, 1, 1, 10, 35, 35 / 60),
        (EMBED, 1, 0, 0, 0, 7, 0, 0.0),
    ]


def test_hot_columns_are_fields_of_the_events() -> None:
    """A column whose field was renamed would be empty for ever after."""
    fields = {name for kind in KINDS.values() for name in kind.__struct_fields__}
    hot = {"request_id", "node_id", "model", "queue_s", "ttft_s", "service_s", "status"}
    assert hot | {"prompt_tokens", "completion_tokens", "usage_source"} <= fields
