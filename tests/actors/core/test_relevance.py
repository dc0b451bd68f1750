"""What is worth recording: an idle fleet writes nothing."""

import msgspec
import pytest

from actors.core.relevance import matters
from events import Event, Limits, NodeFacts, NodeId, NodeSilent, ResidentModel, TimerFired
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    book,
    cancelled,
    configured,
    heartbeat,
    in_memory,
    node,
    on_disk,
    probed,
    received,
    unreachable,
)
from tests.actors.core.fleets import LARGE, SMALL, a_node, a_state, join, working_on
from tests.playbook import NOT_RECORDED, Playbook, after

BEAT = heartbeat("studio", MODEL, OTHER_MODEL)


def idle() -> Playbook:
    return book(BEAT, *node("mini", MODEL, OTHER_MODEL))


@pytest.mark.parametrize(
    "fact",
    [
        BEAT,
        msgspec.structs.replace(BEAT, models=BEAT.models[::-1], resident=BEAT.resident[::-1]),
        msgspec.structs.replace(BEAT, models=(*BEAT.models, BEAT.models[0])),
        msgspec.structs.replace(BEAT, resident=(*BEAT.resident, BEAT.resident[0])),
        heartbeat("studio", resident=in_memory(MODEL, OTHER_MODEL)),
        probed("mini", MODEL, OTHER_MODEL, resident=(MODEL, OTHER_MODEL)),
        configured("mini"),
        TimerFired(),
        NodeSilent(node_id=NodeId("nobody"), silent_s=99.0),
        NodeSilent(node_id=NodeId("studio"), silent_s=5.0),
        probed("nobody"),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_nothing_new_is_not_recorded(fact: Event) -> None:
    assert idle() >> after(5.0) >> fact << NOT_RECORDED


def test_when_a_model_leaves_memory_is_no_news() -> None:
    """Each answer of a node says another instant."""
    later = ResidentModel(name=MODEL, size_bytes=4_000_000_000, expires_at="2026-11-24T00:00:00Z")
    only = book(heartbeat("studio", MODEL))
    assert only >> heartbeat("studio", MODEL, resident=(later,)) << NOT_RECORDED


@pytest.mark.parametrize(
    "fact",
    [
        heartbeat("studio", MODEL, OTHER_MODEL, facts=NodeFacts(version="1.0")),
        heartbeat("studio", MODEL, OTHER_MODEL, resident=in_memory(MODEL)),
        heartbeat("studio", MODEL, OTHER_MODEL, models=on_disk(MODEL)),
        heartbeat("studio", MODEL, OTHER_MODEL, url="http://10.0.0.9:11434"),
        heartbeat("studio", MODEL, OTHER_MODEL, draining=True),
        heartbeat("studio", MODEL, OTHER_MODEL, limits=Limits(max_requests=1)),
        heartbeat("studio", MODEL, OTHER_MODEL, reachable=False),
        heartbeat("tower", MODEL),
        probed("mini", MODEL),
        unreachable("mini"),
        configured("mini", 3),
        configured("tower"),
        NodeSilent(node_id=NodeId("studio"), silent_s=15.0),
        received("r1"),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_news_is_recorded(fact: Event) -> None:
    playing = idle()
    playing.given(after(5.0), fact)
    assert playing.log[-1].recorded_at == playing.now_us
    assert fact in [record.event for record in playing.log[-8:]]


def test_a_client_leaves_once() -> None:
    """Its front says so again for the node's slot, if a grant was on its way when it left."""
    assert (
        book(*node("studio", slots=1), received("r1"))
        >> cancelled("r1")
        >> cancelled("r1", "studio", "1.1")
        << NOT_RECORDED
    )


def test_an_offline_node_that_stays_away_is_no_news() -> None:
    gone = book(*node("mini"), unreachable("mini"), unreachable("mini"))
    assert gone >> unreachable("mini", "another error") << NOT_RECORDED


def test_a_node_that_answers_for_the_first_time_is_news_even_with_nothing_to_say() -> None:
    first = book(configured("mini"))
    first.given(unreachable("mini"))
    assert first.state.nodes[NodeId("mini")].heard


@pytest.mark.parametrize(
    ("policy", "patience", "after_s", "wanted"),
    [
        ("soonest", True, 1.0, True),
        ("soonest", True, 0.9, False),
        ("soonest", False, 9.0, False),
        ("round-robin", True, 9.0, False),
    ],
)
def test_who_waits_though_he_could_go_is_looked_at_each_second(
    *, policy: str, patience: bool, after_s: float, wanted: bool
) -> None:
    fast = working_on(a_node("fast", SMALL, LARGE), LARGE, 1)
    state = a_state(fast, waiting=0)
    state.settings.policy, state.settings.patience = policy, patience
    now_us = state.recorded_at + int(after_s * 1e6)
    assert not matters(state, TimerFired(), now_us)
    join(state, SMALL, 0)
    assert matters(state, TimerFired(), now_us) == wanted
