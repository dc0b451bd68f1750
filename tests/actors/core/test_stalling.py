"""A server that takes requests and never answers is found by traffic, and passed over."""

import pytest

from actors.core.stalling import PATIENCE
from events import (
    CircuitHalfOpened,
    CircuitOpened,
    ControlStarted,
    NodeForgotten,
    RecoveryEnded,
    RequestStalled,
    SettingsChanged,
    StreamsProgressed,
    StreamStarted,
    TimerFired,
)
from tests.actors.cast import (
    MODEL,
    attempt_failed,
    book,
    completed,
    ended,
    nid,
    node,
    received,
    rid,
)
from tests.playbook import FRONT, NOT_RECORDED, Playbook, after, by, like

STALL_S = 60.0
PREDICTED = SettingsChanged(key="predictions", old=False, new=True)
WATCHED = SettingsChanged(key="stall_timeout_s", old=0.0, new=STALL_S)


def sent(*names: str, others: bool = True) -> Playbook:
    """`names` run on studio, whose model is in memory; mini has it too, on its disk."""
    mini = node("mini", slots=8, resident=()) if others else ()
    playing = book(*node("studio", slots=4), *mini, PREDICTED, WATCHED)
    playing.given(*(received(name) for name in names))
    assert {each.node_id for each in playing.state.requests.values()} == {"studio"}
    return playing


def limit_s(playing: Playbook, name: str = "r1") -> float:
    """Return after how long a request has stalled."""
    return max(STALL_S, PATIENCE * playing.state.requests[rid(name)].predicted_most_s)


def stalled(name: str, idle_s: float) -> like:
    return like(
        RequestStalled, request_id=name, node_id="studio", idle_s=pytest.approx(idle_s, abs=1e-5)
    )


def test_it_goes_to_another_node_and_the_circuit_opens() -> None:
    playing = sent("r1")
    due_s = limit_s(playing)
    lease = playing.state.requests[rid("r1")].lease
    assert (
        playing
        >> after(due_s - 0.01)
        >> TimerFired()
        << NOT_RECORDED
        >> after(0.02)
        >> TimerFired()
        << stalled("r1", due_s + 0.01)
        << ended("r1", lease, "stalled")
        >> TimerFired()
        << NOT_RECORDED
    )
    playing.given(attempt_failed("r1", "studio", lease, status=0, error="no answer for 60 s"))
    opened = [each.event for each in playing.log if isinstance(each.event, CircuitOpened)]
    assert [(each.node_id, each.model) for each in opened] == [("studio", MODEL)]
    assert playing.state.requests[rid("r1")].node_id == "mini"
    playing.given(received("r2"))
    assert playing.state.requests[rid("r2")].node_id == "mini"


def test_a_node_that_answers_others_is_alive() -> None:
    playing = sent("r1", "r2")
    due_s = limit_s(playing)
    lease = playing.state.requests[rid("r2")].lease
    playing.given(after(due_s / 2), completed("r2", "studio", lease))
    assert playing >> after(due_s) >> TimerFired() << NOT_RECORDED


def test_so_is_one_whose_streams_go_on() -> None:
    playing = sent("r1", "r2")
    due_s = limit_s(playing)
    playing.given(after(due_s / 2), by(FRONT, StreamsProgressed(progress=((rid("r2"), 5),))))
    assert playing >> after(due_s) >> TimerFired() << NOT_RECORDED


def test_an_answer_that_has_begun_is_left_to_the_reaper() -> None:
    playing = sent("r1")
    due_s = limit_s(playing)
    lease = playing.state.requests[rid("r1")].lease
    started = StreamStarted(
        request_id=rid("r1"),
        model=MODEL,
        node_id=playing.state.requests[rid("r1")].node_id,
        lease=lease,
        ttft_s=1.0,
    )
    playing.given(after(1.0), by(FRONT, started))
    assert playing >> after(due_s + 1.0) >> TimerFired() << NOT_RECORDED


def test_of_a_front_that_is_waited_for_nobody_knows_it() -> None:
    """It may have its answer already; so no timer is written down either."""
    playing = sent("r1")
    due_s = limit_s(playing)
    playing.given(ControlStarted(epoch=2, version="test"), RecoveryEnded(awaited=(FRONT,)))
    assert playing >> after(due_s + 1.0) >> TimerFired() << NOT_RECORDED


def test_where_nobody_else_has_the_model_it_waits() -> None:
    playing = sent("r1", others=False)
    assert playing >> after(limit_s(playing) + 1.0) >> TimerFired() << NOT_RECORDED


def test_the_last_try_is_not_given_up_either() -> None:
    playing = sent("r1")
    playing.given(SettingsChanged(key="max_retries", old=2, new=0))
    assert playing >> after(limit_s(playing) + 1.0) >> TimerFired() << NOT_RECORDED


@pytest.mark.parametrize("off", [PREDICTED, WATCHED], ids=lambda each: str(each.key))
def test_without_predictions_or_without_a_limit_nothing_stalls(off: SettingsChanged) -> None:
    playing = book(*node("studio", slots=4), *node("mini", slots=8, resident=()), PREDICTED)
    playing.given(WATCHED, SettingsChanged(key=off.key, old=off.new, new=off.old), received("r1"))
    assert playing >> after(400.0) >> TimerFired() << NOT_RECORDED


def test_on_a_node_that_is_no_longer_known_it_stalls_all_the_same() -> None:
    playing = sent("r1")
    due_s = limit_s(playing)
    lease = playing.state.requests[rid("r1")].lease
    gone = playing.state.requests[rid("r1")].node_id
    playing.given(NodeForgotten(node_id=gone, reason="no longer on the command line"))
    assert (
        playing
        >> after(due_s + 0.01)
        >> TimerFired()
        << stalled("r1", due_s + 0.01)
        << ended("r1", lease, "stalled")
    )


def test_a_circuit_stays_open_no_longer_than_the_setting_says() -> None:
    playing = book(*node("studio", slots=4), *node("mini", slots=8, resident=()))
    playing.given(SettingsChanged(key="longest_open_s", old=160.0, new=5.0))
    for number in range(1, 4):
        playing.given(received(f"r{number}"))
        request = playing.state.requests[rid(f"r{number}")]
        playing.given(attempt_failed(f"r{number}", str(request.node_id), str(request.lease)))
    assert (
        playing
        >> after(4.9)
        >> TimerFired()
        << NOT_RECORDED
        >> after(0.1)
        >> TimerFired()
        << CircuitHalfOpened(node_id=nid("studio"), model=MODEL)
    )
