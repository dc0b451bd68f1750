from actors.core.queueing import HOLD, key, keys
from events import (
    DrainRequested,
    NodeBecameHealthy,
    NodeDrained,
    NodeId,
    NodeUndrained,
    RequestDispatched,
    SettingsChanged,
    TimerFired,
)
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    attempt_failed,
    book,
    cancelled,
    completed,
    configured,
    dispatched,
    full,
    granted,
    node,
    probed,
    queued,
    received,
    refused,
    rejected,
    settings,
    unreachable,
)
from tests.playbook import NOT_RECORDED, after, like

# Who may wait


def test_a_request_for_a_free_slot_never_waits() -> None:
    assert (
        book(*node("studio", slots=1))
        >> received("r1")
        << dispatched("r1", "studio", "1.1")
        << granted("r1", "studio", "1.1")
    )


def test_with_no_node_known_everybody_is_held_for_thirty_seconds() -> None:
    assert (
        book()
        >> received("r1")
        << queued("r1", 1, "hold")
        >> after(29.9)
        >> TimerFired()
        << NOT_RECORDED
        >> after(0.1)
        >> TimerFired()
        << rejected("r1", 503, "hold_timeout", 30.0, 30)
        << refused("r1", 503, "hold_timeout", 30)
        >> TimerFired()
        << NOT_RECORDED
    )


def test_an_unknown_model_is_a_404_only_when_every_node_was_heard() -> None:
    two = book(*node("studio", OTHER_MODEL), configured("mini"))
    assert two >> received("r1") << queued("r1", 1, "hold")
    two.given(unreachable("mini"))
    assert (
        two
        >> received("r2")
        << rejected("r2", 404, "unknown_model", 0.0)
        << refused("r2", 404, "unknown_model")
    )
    assert list(two.state.lines[MODEL].waiting) == ["r1"], "who was held before goes on waiting"


def test_a_model_of_an_offline_node_is_held_for_not_denied() -> None:
    away = book(*node("studio"), unreachable("studio"), unreachable("studio"))
    assert away.state.nodes[NodeId("studio")].health == "offline"
    assert away >> received("r1") << queued("r1", 1, "hold")


def test_a_model_deleted_everywhere_is_a_404_again() -> None:
    deleted = book(*node("studio"), probed("studio", OTHER_MODEL))
    assert (
        deleted
        >> received("r1")
        << rejected("r1", 404, "unknown_model", 0.0)
        << refused("r1", 404, "unknown_model")
    )


def test_where_only_other_servers_are_online_ollama_s_own_routes_are_held() -> None:
    both = book(
        *node("studio"),
        configured("ada", 1),
        probed("ada", MODEL, resident=(MODEL,), dialect="openai"),
        unreachable("studio"),
        unreachable("studio"),
    )
    assert (
        both
        >> received("r1")
        << queued("r1", 1, "hold")
        >> after(30)
        >> TimerFired()
        << rejected("r1", 503, "hold_timeout", 30.0, 30)
        << refused("r1", 503, "hold_timeout", 30)
    )


def test_a_drained_node_counts_as_away() -> None:
    drained = book(*node("studio"), DrainRequested(node_id=NodeId("studio"), by="ada"))
    assert drained >> received("r1") << queued("r1", 1, "hold")


def test_at_most_so_many_wait_for_a_model() -> None:
    two = book(settings(max_queue=2), *node("studio", slots=1), received("r1"))
    assert (
        two
        >> received("r2")
        << queued("r2", 1)
        >> received("r3")
        << queued("r3", 2)
        >> received("r4")
        << rejected("r4", 429, "queue_full", 0.0, 30)
        << refused("r4", 429, "queue_full", 30)
    )


def test_at_most_so_many_wait_in_all() -> None:
    many = book(
        settings(max_queue_total=2),
        *node("studio", MODEL, OTHER_MODEL, slots=1),
        received("r1"),
        received("r2"),
        received("s1", OTHER_MODEL),
        received("s2", OTHER_MODEL),
    )
    assert (
        many
        >> received("s3", OTHER_MODEL)
        << rejected("s3", 429, "queue_full", 0.0, 30)
        << refused("s3", 429, "queue_full", 30)
    )


def test_the_limit_can_change_while_people_wait() -> None:
    changed = full("r2")
    changed.given(SettingsChanged(key="max_queue", old=512, new=1))
    assert (
        changed
        >> received("r3")
        << rejected("r3", 429, "queue_full", 0.0, 30)
        << refused("r3", 429, "queue_full", 30)
    )


def test_when_to_come_again_is_the_length_of_the_line_over_its_pace() -> None:
    paced = book(settings(max_queue=3), *node("studio", slots=2))
    paced.given(received("r0"), completed("r0", "studio", "1.1", service_s=8.0))
    paced.given(*(received(name) for name in ("r1", "r2", "r3", "r4", "r5")))
    assert (
        paced
        >> received("r6")
        << rejected("r6", 429, "queue_full", 0.0, 20)  # five ahead, 8 s each, two at once
        << refused("r6", 429, "queue_full", 20)
    )


def test_who_waits_for_a_slot_is_not_held_to_thirty_seconds() -> None:
    assert (
        full("r2")
        >> after(599.9)
        >> completed("r1", "studio", "1.1")
        << dispatched("r2", "studio", "1.2")
        << granted("r2", "studio", "1.2", score=100.0)
    )


def test_a_wait_for_a_slot_ends_after_ten_minutes() -> None:
    waiting = full()
    waiting.given(SettingsChanged(key="stale_timeout_s", old=600.0, new=6000.0))
    assert (
        waiting
        >> received("r2")
        << queued("r2", 1)
        >> after(599.9)
        >> TimerFired()
        << NOT_RECORDED
        >> after(0.1)
        >> TimerFired()
        << rejected("r2", 503, "queue_timeout", 600.0, 30)
        << refused("r2", 503, "queue_timeout", 30)
    )


def test_the_time_on_a_node_that_failed_is_no_wait() -> None:
    """It ran for longer than one may wait, and has just begun to wait for the other node."""
    two = book(*node("studio", slots=1), received("r1"), *node("tower", slots=1), received("r2"))
    two.given(SettingsChanged(key="stale_timeout_s", old=600.0, new=6000.0))
    assert (
        two
        >> after(700.0)
        >> attempt_failed("r1", "studio", "1.1")
        >> after(599.9)
        >> TimerFired()
        << NOT_RECORDED
        >> after(0.1)
        >> TimerFired()
        << rejected("r1", 503, "queue_timeout", 1300.0, 30)
        << refused("r1", 503, "queue_timeout", 30)
    )


def test_a_client_may_wait_for_less() -> None:
    assert (
        full()
        >> received("r2", deadline_s=5.0, waited_s=2.0)
        << queued("r2", 1)
        >> after(2.9)
        >> TimerFired()
        << NOT_RECORDED
        >> after(0.1)
        >> TimerFired()
        << rejected("r2", 503, "deadline", 5.0, 30)
        << refused("r2", 503, "deadline", 30)
    )


# Hold and queue


def test_the_wait_for_a_node_ends_when_one_comes() -> None:
    held = book(*node("mini", OTHER_MODEL), configured("studio"), received("r1"))
    assert (
        held
        >> after(20.0)
        >> probed("studio", MODEL, resident=(MODEL,))
        << NodeBecameHealthy(node_id=NodeId("studio"))
        << like(RequestDispatched, request_id="r1", queue_s=20.0, cold=False)
        << granted("r1", "studio", "1.1", probing=True)
    )


def test_a_pulled_model_ends_the_hold_of_those_who_wait_for_it() -> None:
    held = book(*node("studio", OTHER_MODEL, slots=1), configured("mini"), received("r1"))
    held.given(received("r2"), after(20.0))
    assert key(held.state, MODEL) == HOLD
    assert (
        held
        >> probed("studio", OTHER_MODEL, MODEL, resident=(MODEL,))
        << dispatched("r1", "studio", "1.1")
        << granted("r1", "studio", "1.1")
        >> after(20.0)
        >> TimerFired()
        << NOT_RECORDED  # r2 waits for a slot now, not for a node
    )
    assert key(held.state, MODEL) == MODEL


def test_losing_the_last_node_starts_a_hold() -> None:
    assert (
        full("r2")
        >> after(100.0)
        >> DrainRequested(node_id=NodeId("studio"), by="ada")
        << NodeDrained(node_id=NodeId("studio"), by="ada")
        >> after(29.9)
        >> TimerFired()
        << NOT_RECORDED
        >> after(0.1)
        >> TimerFired()
        << rejected("r2", 503, "hold_timeout", 130.0, 30)
        << refused("r2", 503, "hold_timeout", 30)
    )


def test_who_comes_during_a_hold_has_thirty_seconds_of_their_own() -> None:
    assert (
        book(received("r1"))
        >> after(20.0)
        >> received("r2")
        << queued("r2", 2, "hold")
        >> after(10.0)
        >> TimerFired()
        << rejected("r1", 503, "hold_timeout", 30.0, 30)
        << refused("r1", 503, "hold_timeout", 30)
        >> after(20.0)
        >> TimerFired()
        << rejected("r2", 503, "hold_timeout", 30.0, 30)
        << refused("r2", 503, "hold_timeout", 30)
    )


def test_time_waited_at_the_front_counts() -> None:
    assert (
        book()
        >> received("r1", waited_s=25.0)
        << queued("r1", 1, "hold")
        >> after(5.0)
        >> TimerFired()
        << rejected("r1", 503, "hold_timeout", 30.0, 30)
        << refused("r1", 503, "hold_timeout", 30)
    )


def test_clients_cannot_make_queues() -> None:
    held = book(received("r1", "a"), received("r2", "b"), received("r3", "c"))
    assert keys(held.state) == [HOLD]
    held.given(cancelled("r1", model="a"))
    assert list(held.state.lines) == ["b", "c"], "nothing is left of a model that nobody knows"


# Order


def test_first_come_first_served() -> None:
    assert (
        full("r2", "r3")
        >> completed("r1", "studio", "1.1")
        << dispatched("r2", "studio", "1.2")
        << granted("r2", "studio", "1.2")
        >> completed("r2", "studio", "1.2")
        << dispatched("r3", "studio", "1.3")
        << granted("r3", "studio", "1.3")
        >> completed("r3", "studio", "1.3")
    )


def test_the_oldest_head_of_all_lines_goes_first() -> None:
    """Two models on one node; each has slots of its own."""
    lines = book(*node("studio", MODEL, OTHER_MODEL, slots=1))
    lines.given(DrainRequested(node_id=NodeId("studio"), by="ada"))
    lines.given(received("s1", OTHER_MODEL), received("r1"), received("s2", OTHER_MODEL))
    assert (
        lines
        >> DrainRequested(node_id=NodeId("studio"), draining=False, by="ada")
        << NodeUndrained(node_id=NodeId("studio"), by="ada")
        << dispatched("s1", "studio", "1.1")
        << dispatched("r1", "studio", "1.2")
        << granted("s1", "studio", "1.1")
        << granted("r1", "studio", "1.2")
    )


def test_a_retried_request_keeps_its_old_place() -> None:
    two = book(*node("studio", slots=1), *node("mini", slots=1, resident=()))
    two.given(received("r1"), received("r2"), received("r3"), received("r4"))
    assert (
        two
        >> attempt_failed("r1", "studio", "1.1")
        << dispatched("r3", "studio", "1.3")  # r1 does not want studio any more
        << granted("r3", "studio", "1.3")
        >> completed("r2", "mini", "1.2")
        << dispatched("r1", "mini", "1.4", attempt=2)  # and goes before r4
        << granted("r1", "mini", "1.4", 2, score=46.0)
    )


def test_who_left_the_line_is_not_served() -> None:
    assert (
        full("r2", "r3")
        >> cancelled("r2")
        >> completed("r1", "studio", "1.1")
        << dispatched("r3", "studio", "1.2")
        << granted("r3", "studio", "1.2")
    )


def test_who_left_while_the_grant_was_on_its_way_frees_the_slot_once() -> None:
    """The client leaves, control has bound it already; the front refuses the grant by its lease."""
    gone = full("r2")
    assert (
        gone
        >> cancelled("r1")
        << dispatched("r2", "studio", "1.2")
        << granted("r2", "studio", "1.2")
        >> cancelled("r1", "studio", "1.1")
        << NOT_RECORDED
        >> cancelled("r2", "studio", "1.2")
    )
    assert (gone.state.in_flight, gone.state.waiting, gone.state.requests) == (0, 0, {})


def test_a_client_that_leaves_between_two_attempts_is_gone() -> None:
    between = book(*node("studio", slots=1), *node("mini", slots=1, resident=()))
    between.given(received("r0"), received("r1"), attempt_failed("r1", "mini", "1.2"))
    assert between.state.waiting == 1
    assert between >> cancelled("r1", "mini", "1.2")
    assert (between.state.waiting, list(between.state.requests)) == (0, ["r0"])
