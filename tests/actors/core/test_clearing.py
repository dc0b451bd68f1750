"""Room within the memory that an owner allows: what is unloaded for what, and when not."""

import msgspec
import pytest

from actors.core.clearing import AGAIN_S, due
from actors.core.fitting import can_hold, victims
from actors.core.owning import crowded
from actors.core.policies import POLICIES
from actors.core.state import US, Pin, Plan, State
from events import Limits, LoadFinished, LoadPlanned, NodeId, Promise, SettingsChanged, TimerFired
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    SIZE_BYTES,
    book,
    completed,
    dispatched,
    granted,
    heartbeat,
    in_memory,
    nid,
    on_disk,
    queued,
    received,
)
from tests.actors.core.fleets import LARGE, NOW_US, SMALL, a_node, a_state, join, working_on
from tests.playbook import NOT_RECORDED, Playbook, after, like

GB = 1_000_000_000
ROOM_FOR_LARGE = Limits(max_bytes=49 * GB)
"""For the large model alone."""


def small_first(waiting: int = 1) -> State:
    """One node that has the small model in memory; somebody waits for the large one."""
    ada = a_node("ada", SMALL)
    ada.limits = ROOM_FOR_LARGE
    return a_state(ada, waiting=waiting, model=LARGE)


def test_an_idle_model_goes_for_one_that_is_waited_for() -> None:
    assert due(small_first(3), NOW_US) == [
        LoadPlanned(
            node_id=nid("ada"),
            model=LARGE,
            reason="queue",
            gain_s=0.0,
            cost_s=0.0,
            leaving=(SMALL,),
            load_s=5.0,
            in_line=3,
        )
    ]


def test_nothing_goes_where_there_is_room_for_both() -> None:
    state = small_first()
    state.nodes[nid("ada")].limits = Limits(max_bytes=60 * GB)
    assert not crowded(state.nodes[nid("ada")], LARGE, NOW_US)
    assert due(state, NOW_US) == []


def test_nothing_goes_where_the_owner_says_nothing() -> None:
    state = small_first()
    state.nodes[nid("ada")].limits = Limits()
    assert due(state, NOW_US) == []


def test_nothing_goes_while_another_node_will_do() -> None:
    state = small_first()
    bob = a_node("bob", LARGE)
    state.nodes[bob.node_id] = bob
    assert due(state, NOW_US) == []


def test_not_while_herd_recovers_nor_where_nobody_waits() -> None:
    state = small_first()
    state.recovering = True
    assert due(state, NOW_US) == []
    assert due(small_first(0), NOW_US) == []


def test_what_works_is_not_unloaded() -> None:
    state = small_first()
    working_on(state.nodes[nid("ada")], SMALL, 1)
    assert due(state, NOW_US) == []


def test_not_twice_and_not_to_and_fro() -> None:
    state = small_first()
    ada = state.nodes[nid("ada")]
    ada.planned_us[LARGE] = NOW_US - int(AGAIN_S * US) + 1
    assert due(state, NOW_US) == []
    assert due(state, NOW_US + 1) != []
    ada.planned = Plan(SMALL)
    assert due(state, NOW_US + 1) == []


def test_not_beyond_the_requests_that_the_owner_allows() -> None:
    state = small_first()
    ada = state.nodes[nid("ada")]
    ada.limits = Limits(max_bytes=49 * GB, max_requests=1)
    ada.in_flight = 1
    assert due(state, NOW_US) == []


def test_not_where_room_is_promised_to_another() -> None:
    state = small_first()
    state.promises[nid("ada")] = Promise(NodeId("ada"), SMALL, (LARGE,))
    assert due(state, NOW_US) == []


def test_the_next_node_is_asked_and_the_next_line() -> None:
    state = small_first()
    state.nodes[nid("ada")].planned = Plan(SMALL)
    bob = a_node("bob", SMALL)
    bob.limits = ROOM_FOR_LARGE
    state.nodes[bob.node_id] = bob
    assert [plan.node_id for plan in due(state, NOW_US)] == ["bob"]
    bob.planned = Plan(SMALL)
    join(state, SMALL, 9)
    assert due(state, NOW_US) == []


@pytest.mark.parametrize("rules", [0, 1])
def test_a_pinned_model_goes_only_where_no_other_node_has_room_without(rules: int) -> None:
    state = small_first()
    state.settings = msgspec.structs.replace(state.settings, rules=rules)
    state.pinned[nid("ada")] = {SMALL: Pin()}
    assert [plan.leaving for plan in due(state, NOW_US)] == ([(SMALL,)] if rules else [])
    bob = a_node("bob", SMALL)
    bob.limits = ROOM_FOR_LARGE
    state.nodes[bob.node_id] = bob
    assert [plan.node_id for plan in due(state, NOW_US)] == ["bob"]


def test_the_limit_is_the_memory_there_is() -> None:
    ada = a_node("ada", SMALL, vram_bytes=80 * GB)
    assert can_hold(ada, LARGE)
    assert victims(ada, LARGE) == []
    ada.limits = ROOM_FOR_LARGE
    assert victims(ada, LARGE) == [SMALL]
    ada.limits = Limits(max_bytes=10 * GB)
    assert not can_hold(ada, LARGE)


# As a story


def limited() -> Playbook:
    """A node that has two models, the first in memory; its owner lends room for one."""
    told = heartbeat(
        "studio",
        models=on_disk(MODEL, OTHER_MODEL),
        resident=in_memory(MODEL),
        limits=Limits(max_bytes=5 * SIZE_BYTES // 4),
    )
    return book(told)


def test_a_request_is_sent_when_the_load_is_over() -> None:
    assert (
        limited()
        >> received("r1", OTHER_MODEL)
        << queued("r1", 1, model=OTHER_MODEL)
        >> TimerFired()
        << like(LoadPlanned, node_id="studio", model=OTHER_MODEL, leaving=(MODEL,))
        >> TimerFired()
        << NOT_RECORDED
        >> after(4.0)
        >> LoadFinished(node_id=nid("studio"), model=OTHER_MODEL, load_s=4.0)
        << dispatched("r1", "studio", "1.1")
        << granted("r1", "studio", "1.1", probing=True, score=46.0)
    )


@pytest.mark.parametrize("policy", list(POLICIES))
def test_two_models_take_turns_under_every_policy(policy: str) -> None:
    story = limited().given(SettingsChanged(key="policy", old="", new=policy))
    for number in range(6):
        story.given(received(f"a{number}"), received(f"b{number}", OTHER_MODEL))
    for _ in range(400):
        story.given(after(0.25), TimerFired())
        node = story.state.nodes[nid("studio")]
        if node.planned is not None:
            story.given(LoadFinished(node_id=node.node_id, model=node.planned.model, load_s=1.0))
        for request in list(story.state.requests.values()):
            if request.lease:
                story.given(completed(request.request_id, "studio", request.lease, request.model))
        assert len({it.model for it in story.state.requests.values() if it.lease}) <= 1
    assert not story.state.requests
    story.check()
