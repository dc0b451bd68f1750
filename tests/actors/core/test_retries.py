"""A failure before the first byte of an answer: another node gets the request, for a while."""

from events import NodeId, RequestDispatched, RequestFailed, TimerFired
from tests.actors.cast import (
    MODEL,
    attempt_failed,
    book,
    completed,
    dispatched,
    failed,
    full,
    granted,
    node,
    received,
    refused,
    rid,
    settings,
    unreachable,
)
from tests.playbook import NOT_RECORDED, after, like


def test_the_next_best_node_gets_the_retry() -> None:
    assert (
        book(*node("studio", slots=1), *node("mini", slots=1, resident=()))
        >> received("r1")
        << dispatched("r1", "studio", "1.1")
        << granted("r1", "studio", "1.1")
        >> after(0.5)
        >> attempt_failed("r1", "studio", "1.1")
        << like(RequestDispatched, node_id="mini", attempt=2, queue_s=0.5, cold=True)
        << granted("r1", "mini", "1.2", 2, score=46.0)
        >> completed("r1", "mini", "1.2")
    )


def test_after_two_retries_the_client_hears_of_the_failure() -> None:
    names = ("a", "b", "c", "d")
    fleet = [fact for name in names for fact in node(name, slots=1)]
    tried = book(*fleet, received("r1"))
    for attempt in (1, 2):
        holder = tried.state.requests[rid("r1")].node_id
        tried.given(attempt_failed("r1", holder, f"1.{attempt}"))
    last = tried.state.requests[rid("r1")]
    assert len({*last.excluded, last.node_id}) == 3, "each attempt goes to another node"
    assert (
        tried
        >> attempt_failed("r1", last.node_id, "1.3", status=500, error="boom")
        << RequestFailed(
            request_id=rid("r1"),
            model=MODEL,
            phase="first_byte",
            fault="node",
            status=502,
            node_id=last.node_id,
            error="boom",
        )
        << refused("r1", 502, "node_failed", error="boom")
    )
    assert (tried.state.waiting, tried.state.in_flight, tried.state.requests) == (0, 0, {})


def test_with_no_other_node_there_is_no_retry() -> None:
    assert (
        full()
        >> attempt_failed("r1", "studio", "1.1", error="boom")
        << like(RequestFailed, request_id="r1", status=502, fault="node")
        << refused("r1", 502, "node_failed", error="boom")
    )


def test_a_busy_node_stays_busy_to_the_client() -> None:
    assert (
        full()
        >> attempt_failed("r1", "studio", "1.1", status=503, error="busy")
        << like(RequestFailed, request_id="r1", status=503)
        << refused("r1", 503, "node_failed", 30, error="busy")
    )


def test_late_word_of_an_old_attempt_changes_nothing() -> None:
    """The lease that it speaks of is another request's, or nobody's, by now."""
    retried = book(*node("studio", slots=1), *node("mini", slots=1, resident=()))
    retried.given(received("r1"), attempt_failed("r1", "studio", "1.1"))
    held = retried.state.requests[rid("r1")]
    assert (held.node_id, held.lease) == ("mini", "1.2")
    assert (
        retried
        >> attempt_failed("r1", "studio", "1.1")
        >> completed("r1", "studio", "1.1")
        >> failed("r1", "studio", "1.1")
    )
    assert (held.node_id, held.lease, held.excluded) == ("mini", "1.2", ["studio"])
    assert retried.state.nodes[NodeId("studio")].circuits[MODEL].failures == 1
    assert retried.state.nodes[NodeId("mini")].circuits == {}
    assert retried >> completed("r1", "mini", "1.2") >> completed("r1", "mini", "1.2")
    assert retried.state.nodes[NodeId("mini")].tallies[MODEL].completed == 1


def test_late_word_does_not_take_a_waiting_request_out_of_its_line() -> None:
    waiting = book(*node("studio", slots=1), *node("mini", slots=1, resident=()))
    waiting.given(received("r0"), received("r1"), attempt_failed("r1", "mini", "1.2"))
    assert waiting >> failed("r1", "mini", "1.2")
    assert list(waiting.state.lines[MODEL].waiting) == ["r1"]


def test_when_the_last_other_node_goes_away_the_failure_is_told() -> None:
    two = book(*node("ada", slots=1), *node("bob", slots=1), received("r1"), received("r2"))
    first, second = two.state.requests[rid("r1")], two.state.requests[rid("r2")]
    two.given(attempt_failed("r1", first.node_id, first.lease, status=0, error="refused"))
    two.given(unreachable(second.node_id), unreachable(second.node_id))
    assert (
        two
        >> TimerFired()
        << like(RequestFailed, request_id="r1", phase="queue", status=502, error="refused")
        << refused("r1", 502, "node_failed", 0, "refused")
        >> TimerFired()
        << NOT_RECORDED
    )


def test_who_has_nowhere_to_go_is_told_once_even_if_its_time_is_up() -> None:
    two = book(
        settings(queue_timeout_s=5.0),
        *node("ada", slots=1),
        *node("bob", slots=1),
        received("r1"),
        received("r2"),
    )
    first, second = two.state.requests[rid("r1")], two.state.requests[rid("r2")]
    two.given(attempt_failed("r1", first.node_id, first.lease, status=0, error="refused"))
    two.given(unreachable(second.node_id), unreachable(second.node_id))
    assert (
        two
        >> after(5.0)
        >> TimerFired()
        << like(RequestFailed, request_id="r1", status=502)
        << refused("r1", 502, "node_failed", 0, "refused")
    )
