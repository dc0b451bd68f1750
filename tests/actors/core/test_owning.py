"""What the owner of a node allows: pauses, requests, memory, and what he leaves of his machine."""

from typing import Any

import pytest

from actors.core.owning import exhausted, free, keeps, limit_of, pauses
from actors.core.planning import due
from actors.core.policies import POLICIES
from actors.core.pulling import begin
from actors.core.slots import Slots
from actors.core.soonest import soonest
from actors.core.state import State
from events import (
    HeartbeatReceived,
    Limits,
    NodePaused,
    NodeResumed,
    PullStarted,
    RequestQueued,
    SettingsChanged,
    SlotsChanged,
    TimerFired,
)
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    SIZE_BYTES,
    attempt_failed,
    book,
    completed,
    dispatched,
    granted,
    heartbeat,
    in_memory,
    nid,
    node,
    on_disk,
    probed,
    queued,
    received,
    refused,
    rejected,
)
from tests.actors.core.fleets import LARGE, SMALL, a_node, a_state, first, working_on
from tests.playbook import NOT_RECORDED, after, like

IN_USE = "its owner is using it"


def agent(name: str, *models: str, resident: tuple[str, ...] | None = None, **limits: Any) -> Any:
    had = models or (MODEL,)
    return heartbeat(
        name,
        limits=Limits(**limits),
        models=on_disk(*had),
        resident=in_memory(*(had if resident is None else resident)),
    )


def by_policy(name: str) -> SettingsChanged:
    return SettingsChanged(key="policy", old="", new=name)


def goes(state: State) -> str:
    choice = soonest(state, first(state))
    return "" if choice is None else choice.node.node_id


def paused(name: str, *models: str) -> HeartbeatReceived:
    told: HeartbeatReceived = agent(name, *models, paused=IN_USE)
    return told


# Pauses


def test_a_pause_and_its_end_are_told_once() -> None:
    assert (
        book(agent("studio"))
        >> paused("studio")
        << NodePaused(node_id=nid("studio"), reason=IN_USE)
        >> paused("studio")
        << NOT_RECORDED
        >> agent("studio", paused="serves 22:00-07:00 only")
        << NodePaused(node_id=nid("studio"), reason="serves 22:00-07:00 only")
        >> agent("studio")
        << NodeResumed(node_id=nid("studio"))
    )


def test_a_paused_node_gets_nothing_and_the_other_all() -> None:
    story = book(by_policy("soonest"), paused("studio"), agent("mini"))
    for number in range(3):
        story.given(received(f"r{number}"))
    assert story.state.nodes[nid("mini")].in_flight == 2
    assert story.state.nodes[nid("studio")].in_flight == 0
    assert [name for name, it in story.state.requests.items() if not it.lease] == ["r2"]


@pytest.mark.parametrize("policy", list(POLICIES))
def test_under_no_policy_anything_goes_to_a_paused_node(policy: str) -> None:
    story = book(by_policy(policy), agent("ada"), paused("bob"))
    story.given(*(received(f"r{number}") for number in range(6)))
    assert story.state.nodes[nid("bob")].in_flight == 0
    assert story.state.nodes[nid("ada")].in_flight == 2


def test_what_runs_there_is_finished() -> None:
    assert (
        book(agent("studio"), received("r1"))
        >> paused("studio")
        << NodePaused(node_id=nid("studio"), reason=IN_USE)
        >> completed("r1", "studio", "1.1")
    )


def test_where_only_a_paused_node_has_the_model_a_request_is_held_and_goes_when_it_may() -> None:
    assert (
        book(paused("studio"))
        >> received("r1")
        << queued("r1", 1, "hold")
        >> after(29.0)
        >> agent("studio")
        << NodeResumed(node_id=nid("studio"))
        << dispatched("r1", "studio", "1.1")
        << granted("r1", "studio", "1.1", probing=True)
    )


def test_a_client_is_told_why_it_waited_in_vain() -> None:
    assert (
        book(paused("studio"), agent("mini", OTHER_MODEL))
        >> received("r1")
        << like(RequestQueued, reason="hold")
        >> after(30.0)
        >> TimerFired()
        << rejected("r1", 503, "paused", 30.0, 30)
        << refused("r1", 503, "paused", 30)
    )


def test_one_whose_paused_node_is_away_waits_for_a_node() -> None:
    assert (
        book(paused("studio"), heartbeat("studio", reachable=False, limits=Limits(paused=IN_USE)))
        >> received("r1")
        << like(RequestQueued, reason="hold")
        >> after(30.0)
        >> TimerFired()
        << rejected("r1", 503, "hold_timeout", 30.0, 30)
        << refused("r1", 503, "hold_timeout", 30)
    )


def test_a_retry_does_not_go_there_either() -> None:
    story = book(agent("ada", resident=()), agent("bob", resident=()), received("r1"))
    where = story.state.requests[next(iter(story.state.requests))].node_id
    other = "bob" if where == "ada" else "ada"
    story.given(paused(other), attempt_failed("r1", where, "1.1"))
    assert story.state.nodes[nid(other)].in_flight == 0


def test_nothing_is_loaded_or_pulled_ahead_where_the_owner_is_at_work() -> None:
    for limits in (Limits(paused=IN_USE), Limits(available_share=0.4)):
        state = wanted()
        assert [plan.node_id for plan in due(state, state.recorded_at)] == ["bob"]
        bob = state.nodes[nid("bob")]
        bob.limits, bob.paused = limits, limits.paused
        assert "bob" not in [plan.node_id for plan in due(state, state.recorded_at)]
    state.settings.auto_pull = True
    pulled = begin(state, "new:1b")
    assert pulled is not None
    assert [each.node_id for each in pulled if isinstance(each, PullStarted)] == ["ada"]


def wanted() -> State:
    """A fleet whose planner would load the small model on bob."""
    ada = working_on(a_node("ada", SMALL, slots=1), SMALL, 1)
    state = a_state(ada, a_node("bob"), waiting=20)
    state.settings.planner = True
    for asked in state.demands.values():
        asked.alone_s = 1.2
    return state


def test_no_change_is_no_news() -> None:
    ada = a_node("ada")
    assert pauses(ada, Limits()) == []
    assert not keeps(ada, SMALL)
    book(probed("nobody", MODEL)).given(NodePaused(node_id=nid("nobody"), reason=IN_USE))


# Requests


def test_all_models_together_stay_below_the_owners_limit() -> None:
    story = book(agent("studio", MODEL, OTHER_MODEL, max_requests=2))
    story.given(received("r1"), received("r2", OTHER_MODEL))
    assert (
        story
        >> received("r3")
        << queued("r3", 1)
        >> received("r4", OTHER_MODEL)
        << queued("r4", 1, model=OTHER_MODEL)
        >> completed("r1", "studio", "1.1")
        << dispatched("r3", "studio", "1.3")
        << granted("r3", "studio", "1.3", probing=True)
    )


@pytest.mark.parametrize("policy", list(POLICIES))
def test_under_every_policy(policy: str) -> None:
    story = book(by_policy(policy), agent("ada", max_requests=1), agent("bob"))
    story.given(*(received(f"r{number}") for number in range(6)))
    assert story.state.nodes[nid("ada")].in_flight == 1
    assert story.state.nodes[nid("bob")].in_flight == 2


def test_no_slot_is_tried_that_the_owner_does_not_allow() -> None:
    story = book(agent("studio", max_requests=2))
    story.given(*(received(f"r{number}") for number in range(4)))
    story.given(*(each for _ in range(8) for each in (after(1.0), TimerFired())))
    assert not any(isinstance(record.event, SlotsChanged) for record in story.log)
    assert story.state.nodes[nid("studio")].in_flight == 2


def test_a_cold_node_at_its_limit_loads_nothing() -> None:
    ada = working_on(a_node("ada", LARGE), LARGE, 1)
    assert soonest(a_state(ada), first(a_state(ada))) is not None
    ada.limits = Limits(max_requests=1)
    assert soonest(a_state(ada), first(a_state(ada))) is None


def test_the_fewer_counts() -> None:
    ada = working_on(a_node("ada", slots=4), SMALL, 1)
    slots = ada.slots[SMALL]
    assert (limit_of(ada, slots), exhausted(ada), free(ada, slots)) == (4, False, True)
    ada.limits = Limits(max_requests=1)
    assert (limit_of(ada, slots), exhausted(ada), free(ada, slots)) == (1, True, False)
    ada.limits = Limits(max_requests=9)
    assert (limit_of(ada, slots), exhausted(ada), free(ada, slots)) == (4, False, True)
    assert not free(ada, Slots(limit=1, in_flight=1))


# What he leaves


def test_a_node_whose_owner_works_there_is_spared_while_another_is_not_much_slower() -> None:
    fast, slow = a_node("fast", SMALL, step_s=0.01), a_node("slow", SMALL, step_s=0.012)
    state = a_state(fast, slow)
    assert goes(state) == "fast"
    fast.limits = Limits(available_share=0.5)
    assert goes(state) == "slow"
    state = a_state(fast, a_node("slow", SMALL, step_s=0.1))
    assert goes(state) == "fast"


def test_nobody_is_drawn_to_a_node_that_says_it_has_more_than_all_of_itself() -> None:
    fast, odd = a_node("fast", SMALL, step_s=0.01), a_node("odd", SMALL, step_s=0.012)
    odd.limits = Limits(available_share=1.5)
    assert goes(a_state(fast, odd)) == "fast"


def test_also_where_the_model_must_be_loaded() -> None:
    ada, bob = a_node("ada", load_s=5.0), a_node("bob", load_s=5.2)
    state = a_state(ada, bob)
    assert goes(state) == "ada"
    ada.limits = Limits(available_share=0.5)
    assert goes(state) == "bob"


# Memory


def test_a_model_that_is_larger_than_the_owner_allows_gets_no_requests_there() -> None:
    story = book(agent("studio", resident=(), max_bytes=SIZE_BYTES), agent("mini"))
    assert story.state.nodes[nid("studio")].too_large == [MODEL]
    story.given(received("r1"), received("r2"), received("r3"))
    assert story.state.nodes[nid("studio")].in_flight == 0


def test_unless_it_is_there_already() -> None:
    assert (
        book(agent("studio", max_bytes=SIZE_BYTES // 2))
        >> received("r1")
        << dispatched("r1", "studio", "1.1")
        << granted("r1", "studio", "1.1", probing=True)
    )


def test_where_nobody_else_has_it_its_requests_are_held() -> None:
    assert (
        book(agent("studio", resident=(), max_bytes=SIZE_BYTES))
        >> received("r1")
        << queued("r1", 1, "hold")
        >> after(30.0)
        >> TimerFired()
        << rejected("r1", 503, "paused", 30.0, 30)
        << refused("r1", 503, "paused", 30)
    )


def test_a_node_of_the_command_line_has_no_limits() -> None:
    story = book(*node("studio"))
    assert story.state.nodes[nid("studio")].limits == Limits()
