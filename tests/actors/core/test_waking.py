"""Waking: who is woken, for what, and what becomes of those who wait."""

from typing import Any

import pytest

from actors.core.waking import AGAIN_S, TRIES, WAKE_S
from events import (
    DrainRequested,
    Event,
    Limits,
    RequestQueued,
    TimerFired,
    WakePlanned,
)
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    attempt_failed,
    book,
    cancelled,
    completed,
    dispatched,
    granted,
    nid,
    node,
    queued,
    received,
    refused,
    rejected,
    settings,
)
from tests.actors.sleepers import (
    MACS,
    ON,
    agent,
    asleep,
    gone,
    silent,
    slept,
    up,
    woken,
)
from tests.playbook import (
    NOT_RECORDED,
    Playbook,
    after,
    like,
)

TOLD = settings(predictions=True)


# The only one that has a model


def test_the_only_one_with_a_model_is_woken_and_its_request_served() -> None:
    alone: dict[str, Any] = {"predicted_s": 7.5, "predicted_range_s": (2.25, 22.5)}
    beside: dict[str, Any] = {"predicted_s": 8.033, "predicted_range_s": (2.41, 24.1)}
    both: dict[str, Any] = {"probing": True, "predicted_first_s": 0.833}
    story = book(asleep("studio"), TOLD)
    assert (
        story
        >> received("r1")
        << like(RequestQueued, request_id="r1", reason="hold", predicted_wait_s=WAKE_S)
        >> after(0.25)
        >> TimerFired()
        << woken(
            "studio",
            "only",
            wake_s=WAKE_S,
            there_s=WAKE_S,
            wait_s=0.0,
            model=MODEL,
            in_line=1,
            request_id="r1",
        )
        >> after(0.25)
        >> TimerFired()
        << NOT_RECORDED
        >> after(3.5)
        >> received("r2")
        << like(RequestQueued, request_id="r2", reason="hold", predicted_wait_s=WAKE_S - 3.75)
        >> after(20.0)
        >> TimerFired()
        << woken("studio", "only", 2)
        >> after(16.25)
        >> agent("studio")
        << up("studio")
        << dispatched("r1", "studio", "1.1")
        << dispatched("r2", "studio", "1.2")
        << granted("r1", "studio", "1.1", predicted_wait_s=WAKE_S, **both, **alone)
        << granted("r2", "studio", "1.2", predicted_wait_s=26.25, **both, **beside)
    )
    took = story.state.nodes[nid("studio")].sleep.took
    assert (took.count, took.value) == (1, 40.0)


def test_what_it_took_is_what_it_is_said_to_take() -> None:
    story = book(
        asleep("studio"),
        TOLD,
        received("r1"),
        TimerFired(),
        after(12.0),
        agent("studio"),
        cancelled("r1"),
    )
    assert (
        story.given(silent("studio"))
        >> received("r2")
        << like(RequestQueued, predicted_wait_s=12.0)
        >> TimerFired()
        << woken("studio", "only", wake_s=12.0)
        >> after(15.0)
        >> received("r3")
        << like(RequestQueued, predicted_wait_s=1.0)
    )


def test_who_wakes_by_itself_teaches_nothing() -> None:
    story = book(asleep("studio"), received("r1"), TimerFired(), cancelled("r1"), after(3600.0))
    assert story >> agent("studio") << up("studio")
    assert story.state.nodes[nid("studio")].sleep.took.count == 0


def test_a_request_is_held_until_it_is_sure_that_nobody_wakes() -> None:
    story = book(asleep("studio"), received("r1"), TimerFired())
    for attempt in range(2, TRIES + 1):
        assert story >> after(AGAIN_S) >> TimerFired() << woken("studio", "only", attempt)
    waited_s = TRIES * AGAIN_S
    assert (
        story
        >> after(AGAIN_S)
        >> TimerFired()
        << gone("studio")
        >> TimerFired()
        << rejected("r1", 503, "hold_timeout", waited_s, 30)
        << refused("r1", 503, "hold_timeout", 30)
        >> received("r2")
        << queued("r2", 1, "hold")
        >> TimerFired()
        << NOT_RECORDED
        >> agent("studio")
        << up("studio")
        << dispatched("r2", "studio", "1.1")
        << granted("r2", "studio", "1.1", probing=True)
    )


def test_a_deadline_ends_the_wait_and_does_not_keep_the_node_asleep() -> None:
    assert (
        book(asleep("studio"))
        >> received("r1", deadline_s=5.0)
        << queued("r1", 1, "hold")
        >> TimerFired()
        << woken("studio", "only")
        >> after(5.0)
        >> TimerFired()
        << rejected("r1", 503, "deadline", 5.0, 30)
        << refused("r1", 503, "deadline", 30)
    )


def test_packets_for_nobody_are_not_sent_again() -> None:
    assert (
        book(asleep("studio"), received("r1"), TimerFired(), cancelled("r1"))
        >> after(AGAIN_S)
        >> TimerFired()
        << NOT_RECORDED
        >> after(2 * AGAIN_S)
        >> received("r2")
        << queued("r2", 1, "hold")
        >> TimerFired()
        << woken("studio", "only", 1)
    )


def test_an_ollama_that_is_slower_than_its_agent_is_waited_for() -> None:
    assert (
        book(asleep("studio"), received("r1"), TimerFired(), after(35.0))
        >> agent("studio", reachable=False)
        << NOT_RECORDED
        >> agent("studio")
        << up("studio")
        << dispatched("r1", "studio", "1.1")
        << granted("r1", "studio", "1.1", probing=True)
    )


def test_the_fastest_is_woken_and_no_other_until_it_is_there_or_dead() -> None:
    first, second = agent("ada"), agent("bob", resident=())  # bob has to load the model
    assert (
        book(ON, second, first, silent("bob"), silent("ada"), received("r1"), received("r2"))
        >> TimerFired()
        << woken("ada", "only", there_s=WAKE_S)
        >> after(1.0)
        >> TimerFired()
        << NOT_RECORDED
        >> after(TRIES * AGAIN_S)
        >> TimerFired()
        << woken("ada", "only")
    )


def test_after_one_that_is_dead_the_next_is_woken() -> None:
    story = book(asleep("ada", "bob"), received("r1"), TimerFired())
    for _ in range(1, TRIES):
        story.given(after(AGAIN_S), TimerFired())
    assert (
        story
        >> after(AGAIN_S)
        >> TimerFired()
        << gone("ada")
        >> TimerFired()
        << woken("bob", "only", 1)
    )


@pytest.mark.parametrize(
    "why_not",
    [
        DrainRequested(node_id=nid("studio"), by="ada"),
        agent("studio", limits=Limits(macs=MACS, paused="its owner is using it")),
    ],
    ids=["drained", "paused"],
)
def test_who_takes_no_work_is_not_woken_for_any(why_not: Event) -> None:
    assert (
        book(ON, TOLD, agent("studio"), why_not)
        >> silent("studio")
        << slept("studio")
        >> received("r1")
        << like(RequestQueued, reason="hold", predicted_wait_s=0.0)
        >> TimerFired()
        << NOT_RECORDED
    )


def test_one_that_failed_a_request_is_not_woken_for_it() -> None:
    fleet = (ON, agent("ada"), *node("bob", MODEL, slots=1))
    assert (
        book(fleet, received("r1"), attempt_failed("r1", "ada", "1.1"))
        >> silent("ada")
        << slept("ada")
        >> TimerFired()
        << NOT_RECORDED
    )


def test_nobody_is_woken_when_it_was_switched_off_meanwhile() -> None:
    assert (
        book(asleep("studio"), settings(wake_on_lan=False))
        >> received("r1")
        << queued("r1", 1, "hold")
        >> TimerFired()
        << NOT_RECORDED
        >> after(30.0)
        >> TimerFired()
        << rejected("r1", 503, "hold_timeout", 30.0, 30)
        << refused("r1", 503, "hold_timeout", 30)
    )


def test_nobody_is_woken_for_a_model_that_sleepers_do_not_have() -> None:
    assert (
        book(asleep("studio"), node("mini", OTHER_MODEL, slots=1)).given(
            received("r1", OTHER_MODEL), received("r2", OTHER_MODEL)
        )
        >> TimerFired()
        << NOT_RECORDED
    )


# Whose help is worth it


def busy(waiting: int, service_s: float, **sleeper: object) -> Playbook:
    """One node with one slot, whose answers take so long, with a line; and one that sleeps."""
    story = book(ON, agent("ada", **sleeper), silent("ada"), node("bob", MODEL, slots=1))
    for number in range(8):
        story.given(
            received(f"q{number}"),
            after(service_s),
            completed(
                f"q{number}",
                "bob",
                f"1.{number + 1}",
                service_s=service_s,
                usage_source="reported",
            ),
        )
    return story.given(*(received(f"r{number}") for number in range(waiting + 1)))


def test_a_line_that_is_longer_than_waking_takes_is_worth_it() -> None:
    assert busy(5, 10.0) >> TimerFired() << woken("ada", "queue", model=MODEL, in_line=5)


def test_a_shorter_one_is_not() -> None:
    assert busy(2, 10.0) >> TimerFired() << NOT_RECORDED


def test_the_load_counts() -> None:
    long, short = busy(6, 10.0, resident=()), busy(5, 6.5, resident=())
    assert short >> TimerFired() << NOT_RECORDED
    assert long >> TimerFired() << like(WakePlanned, there_s=round(WAKE_S + 1.0 + 4 / 1.5, 3))


def test_nothing_is_said_of_a_line_that_nobody_knows() -> None:
    assert (
        book(ON, agent("ada"), silent("ada"), node("bob", MODEL, slots=1)).given(
            *(received(f"r{number}") for number in range(20))
        )
        >> TimerFired()
        << NOT_RECORDED
    )
