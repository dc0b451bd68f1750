"""Who counts as asleep and who as dead, and who is woken because somebody asks for it."""

import pytest

from actors.core.waking import AGAIN_S, TRIES
from events import (
    AttemptFailed,
    Event,
    HeartbeatReceived,
    NodeDegraded,
    NodeUndrained,
    RequestFailed,
    TimerFired,
)
from tests.actors.cast import (
    MODEL,
    attempt_failed,
    book,
    dispatched,
    granted,
    heartbeat,
    nid,
    node,
    received,
    refused,
    settings,
)
from tests.actors.sleepers import (
    ON,
    SILENCE,
    agent,
    asked,
    asleep,
    gone,
    silent,
    slept,
    up,
    woken,
)
from tests.playbook import (
    NOT_RECORDED,
    after,
    like,
)


def test_a_node_that_may_be_woken_sleeps_when_it_falls_silent() -> None:
    assert (
        book(ON, agent("studio"))
        >> silent("studio")
        << slept("studio")
        >> silent("studio", 60.0)
        << NOT_RECORDED
        >> agent("studio")
        << up("studio")
    )


@pytest.mark.parametrize(
    "given",
    [
        (settings(wake_on_lan=False), agent("studio")),
        (ON, heartbeat("studio", MODEL)),
        (ON, agent("studio"), agent("studio", draining=True)),
    ],
    ids=["it is switched off", "its owner did not say so", "its agent took its leave"],
)
def test_any_other_is_offline(given: tuple[Event, ...]) -> None:
    assert book(given) >> silent("studio") << gone("studio", SILENCE)


def test_a_node_that_goes_offline_for_another_reason_does_not_sleep() -> None:
    reason = "its agent cannot reach Ollama"
    assert (
        book(ON, agent("studio"))
        >> agent("studio", reachable=False)
        << gone("studio", reason)
        >> silent("studio")
        << NOT_RECORDED
    )


# Who is found asleep before it was silent for long


NO_ANSWER = "no connection within 5 s"


def unreached(name: str, lease: str, error: str = NO_ANSWER) -> AttemptFailed:
    return attempt_failed(name, "studio", lease, phase="connect", status=0, error=error)


def test_who_does_not_reach_one_that_sleeps_waits_until_it_is_awake() -> None:
    assert (
        book(ON, agent("studio"), received("r1"))
        >> unreached("r1", "1.1")
        << slept("studio", NO_ANSWER)
        >> TimerFired()
        << woken("studio", "only", request_id="r1")
        >> silent("studio")
        << NOT_RECORDED
        >> after(12.0)
        >> agent("studio")
        << up("studio")
        << dispatched("r1", "studio", "1.2", attempt=2)
        << granted("r1", "studio", "1.2", attempt=2, probing=True)
    )


def test_who_was_failed_elsewhere_waits_for_one_that_sleeps() -> None:
    fleet = (ON, agent("studio"), silent("studio"), *node("mini", MODEL, slots=1))
    assert (
        book(*fleet, received("r1"))
        >> attempt_failed("r1", "mini", "1.1")
        >> TimerFired()
        << woken("studio", "only", request_id="r1")
        >> after(1.0)
        >> TimerFired()
        << NOT_RECORDED
        >> agent("studio")
        << up("studio")
        << dispatched("r1", "studio", "1.2", attempt=2)
        << granted("r1", "studio", "1.2", attempt=2, probing=True)
    )


def test_one_that_fell_asleep_meanwhile_is_waited_for_too() -> None:
    assert (
        book(ON, agent("studio"), received("r1"), silent("studio"))
        >> unreached("r1", "1.1")
        >> TimerFired()
        << woken("studio", "only")
    )


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (agent("studio"), "connection refused"),
        (heartbeat("studio", MODEL), NO_ANSWER),
        (agent("studio", draining=True), NO_ANSWER),
    ],
    ids=["somebody was there", "its owner did not say so", "its agent took its leave"],
)
def test_who_does_not_reach_any_other_fails(told: HeartbeatReceived, error: str) -> None:
    story = book(ON, agent("studio"), received("r1"), told)
    assert (
        story
        >> unreached("r1", "1.1", error)
        << NodeDegraded(node_id=nid("studio"), reason="refused a connection")
        << like(RequestFailed, request_id="r1", status=502)
        << refused("r1", 502, "node_failed", error=error)
    )


def test_a_network_that_is_broken_is_tried_three_times() -> None:
    story = book(ON, agent("studio"), received("r1"))
    for lease in ("1.1", "1.2"):
        story.given(unreached("r1", lease), after(3.0), agent("studio"))
    assert (
        story
        >> unreached("r1", "1.3")
        << slept("studio", NO_ANSWER)
        << like(RequestFailed, request_id="r1", status=502)
        << refused("r1", 502, "node_failed", error=NO_ANSWER)
    )


# Whom somebody asked for


def test_who_is_asked_for_is_woken_whether_anyone_waits_or_not() -> None:
    story = book(asleep("studio"))
    assert story >> asked("studio") << woken("studio", "asked")
    for attempt in range(2, TRIES + 1):
        assert story >> after(AGAIN_S) >> TimerFired() << woken("studio", "asked", attempt)
    assert (
        story
        >> after(AGAIN_S)
        >> TimerFired()
        << gone("studio")
        >> TimerFired()
        << NOT_RECORDED
        >> asked("studio")
        << slept("studio", "as somebody wakes it")
        << woken("studio", "asked")
        >> agent("studio")
        << up("studio")
        >> asked("studio")
        << NOT_RECORDED
    )


def test_one_whose_agent_took_its_leave_can_be_asked_for() -> None:
    assert (
        book(ON, agent("studio"), agent("studio", draining=True), silent("studio"))
        >> asked("studio")
        << slept("studio", "as somebody wakes it")
        << woken("studio", "asked")
        >> agent("studio")
        << up("studio")
        << NodeUndrained(node_id=nid("studio"), by="its agent")
    )


@pytest.mark.parametrize("name", ["studio", "nobody"])
def test_who_cannot_be_woken_cannot_be_asked_for(name: str) -> None:
    story = book(ON, heartbeat("studio", MODEL), silent("studio"))
    assert story >> asked(name) << NOT_RECORDED
