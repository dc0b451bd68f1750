"""Who counts as asleep and who as dead, and who is woken because somebody asks for it."""

import pytest

from actors.core.waking import AGAIN_S, TRIES
from events import (
    Event,
    NodeUndrained,
    TimerFired,
)
from tests.actors.cast import (
    MODEL,
    book,
    heartbeat,
    nid,
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
)

# Who sleeps


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
