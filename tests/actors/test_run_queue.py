"""One fact at a time, run to completion; a raise is an outcome like others."""

import pytest

from actors.core.commands import Command, Send
from actors.core.state import State, dump
from actors.core.step import Address
from actors.run_queue import EndlessDecisionError, Outcome, fold, run
from events import (
    CONTROL,
    ActorFailed,
    DrainRequested,
    Event,
    NodeDiscovered,
    NodeDrained,
    NodeId,
    Recorded,
    RequestCancelled,
    RequestCompleted,
    RequestDispatched,
    RequestFailed,
    RequestReceived,
    RequestRejected,
    Source,
    TimerFired,
)
from tests.actors.cast import (
    MODEL,
    attempt_failed,
    book,
    cancelled,
    completed,
    configured,
    dispatched,
    ended,
    full,
    granted,
    heartbeat,
    node,
    queued,
    received,
    refused,
    rid,
    url,
)
from tests.playbook import FRONT, OTHER_FRONT, START_US, Fault, Playbook, after, by, like

NOTHING = "ZeroDivisionError: by nothing"
STUDIO = NodeId("studio")


def stumbling(playing: Playbook, actor: str, kind: type[Event]) -> Playbook:
    """Let one actor raise at every event of one kind that is still to come."""
    later = playing.state.seq

    def fault(address: Address, record: Recorded) -> None:
        if address[0] == actor and isinstance(record.event, kind) and record.seq > later:
            raise ZeroDivisionError("by nothing")

    playing.fault = fault
    return playing


def actor_failed(actor: str, name: str = "", src: Source = CONTROL) -> like:
    return like(ActorFailed, actor=actor, error=NOTHING, request_id=name, front_src=src)


def given_up(name: str, lease: str = "") -> like:
    return like(RequestFailed, request_id=name, fault="herd", status=500, lease=lease)


def refused_500(name: str) -> Send:
    return refused(name, 500, "internal_error", error=NOTHING)


# Order


def test_each_record_follows_the_one_before_and_names_its_cause() -> None:
    playing = full("r2")
    last = playing.state.seq
    playing.given(after(1.0), DrainRequested(node_id=STUDIO, by="ada"))
    drained = Recorded(
        last + 2, playing.now_us, NodeDrained(node_id=STUDIO, by="ada"), cause=last + 1
    )
    assert playing.log[-1] == drained
    assert [record.seq for record in playing.log] == list(range(1, playing.state.seq + 1))
    reported = [(record.src, record.n) for record in playing.log if record.n]
    assert reported == [(FRONT, 1), (OTHER_FRONT, 1), (FRONT, 2), (FRONT, 3)]


def test_everything_that_follows_is_handled_before_the_next_fact() -> None:
    """Both dispatches carry the instant of the fact that freed the node."""
    playing = book(*node("studio", slots=2), DrainRequested(node_id=STUDIO))
    playing.given(received("r1"), received("r2"), after(5.0))
    playing.given(DrainRequested(node_id=STUDIO, draining=False))
    bound = [record for record in playing.log if isinstance(record.event, RequestDispatched)]
    assert [record.recorded_at for record in bound] == [playing.now_us, playing.now_us]
    assert playing.state.pending == 0


def test_a_record_out_of_order_is_refused() -> None:
    with pytest.raises(ValueError, match="seq 3 does not follow 0"):
        fold(State(), Recorded(3, START_US, TimerFired()))


def test_decisions_without_end_are_a_bug_that_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.run_queue.LONGEST_CHAIN", 50)

    def never_content(_address: Address, _record: Recorded) -> list[Command]:
        return [TimerFired()]

    with pytest.raises(EndlessDecisionError, match="TimerFired at seq 1"):
        run(State(), never_content, TimerFired(), START_US)


# Failure


def test_a_failed_admission_is_answered() -> None:
    assert (
        stumbling(book(*node("studio", slots=1)), "queue", RequestReceived)
        >> received("r1")
        << actor_failed(f"queue {MODEL}", "r1", FRONT)
        << refused_500("r1")
    )


def test_a_request_that_could_not_be_bound_is_answered() -> None:
    playing = stumbling(book(*node("studio", slots=1)), "scheduler", RequestReceived)
    assert (
        playing
        >> received("r1")
        << actor_failed("scheduler", "r1", FRONT)
        << given_up("r1")
        << refused_500("r1")
    )
    assert (playing.state.waiting, playing.state.requests) == (0, {})


def test_a_request_that_failed_in_flight_is_ended_and_the_next_gets_its_slot() -> None:
    assert (
        stumbling(full("r2"), "scheduler", RequestCompleted)
        >> completed("r1", "studio", "1.1")
        << actor_failed("scheduler", "r1", FRONT)
        << given_up("r1", "1.1")
        << dispatched("r2", "studio", "1.2")
        << ended("r1", "1.1", "internal_error")
        << granted("r2", "studio", "1.2")
    )


@pytest.mark.parametrize(
    ("kind", "cue"),
    [
        (RequestRejected, attempt_failed("nobody", "studio", "9.9")),
        (RequestCancelled, cancelled("r2")),
    ],
    ids=["rejected", "cancelled"],
)
def test_a_queue_that_fails_at_an_end_keeps_no_ghost(kind: type[Event], cue: Event) -> None:
    playing = full()
    playing.given(received("r2", deadline_s=5.0), after(6.0))
    stumbling(playing, "queue", kind).given(cue, TimerFired())
    assert list(playing.state.requests) == ["r1"]
    assert (playing.state.waiting, playing.state.lines[MODEL].waiting) == (0, {})
    playing.check()
    assert playing >> received("r3") << queued("r3", 1)


def test_a_request_received_twice_is_given_up_by_name() -> None:
    playing = full()
    error = "ValueError: request r1 was received twice"
    assert (
        playing
        >> received("r1")
        << like(ActorFailed, actor=f"queue {MODEL}", error=error, request_id="r1")
        << given_up("r1", "1.1")
        << ended("r1", "1.1", "internal_error")
    )


def test_a_failure_that_concerns_no_request_ends_none() -> None:
    playing = stumbling(full("r2"), "reaper", TimerFired)
    playing.given(received("r3", deadline_s=1.0), after(2.0))
    assert (
        playing
        >> TimerFired()
        << like(RequestRejected, request_id="r3", reason="deadline")
        << actor_failed("reaper")
        << refused("r3", 503, "deadline", 30)
    )
    assert playing.state.actor_failures == 1


def test_an_actor_that_fails_at_its_own_failure_is_left_alone() -> None:
    playing = stumbling(full(), "scheduler", ActorFailed)
    well = playing.fault

    def fault(address: Address, record: Recorded) -> None:
        well(address, record)
        if address[0] == "reaper" and isinstance(record.event, TimerFired):
            raise ZeroDivisionError("by nothing")

    playing.fault = fault
    playing.given(after(600.0), received("r2", waited_s=600.0))
    assert (
        playing
        >> TimerFired()
        << like(RequestRejected, request_id="r2")
        << actor_failed("reaper")
        << refused("r2", 503, "queue_timeout", 30)
    )


def test_a_node_that_could_not_be_taken_in_comes_with_the_next_word() -> None:
    playing = book()
    playing.fault = at(playing.state.seq + 1, "discovery")
    assert playing >> heartbeat("studio", MODEL) << actor_failed("discovery")
    assert playing.state.nodes == {}
    assert (
        playing >> configured("studio") << like(NodeDiscovered, node_id="studio", url=url("studio"))
    )


def at(seq: int, actor: str) -> Fault:
    def fault(address: Address, record: Recorded) -> None:
        if address[0] == actor and record.seq == seq:
            raise ZeroDivisionError("by nothing")

    return fault


def test_a_fold_changes_as_little_as_the_failure_did() -> None:
    playing = stumbling(full(), "queue", RequestReceived)
    playing.given(by(FRONT, received("r2")))
    playing.check()
    assert rid("r2") not in playing.state.requests


def test_an_outcome_is_what_to_write_and_what_to_send() -> None:
    state = State()

    def nothing(_address: Address, _record: Recorded) -> list[Command]:
        return []

    outcome = run(state, nothing, TimerFired(), START_US, (FRONT, 7))
    assert outcome == Outcome([Recorded(1, START_US, TimerFired(), FRONT, 7)], [])
    assert state.fronts[FRONT].last_n == 7
    assert dump(state).startswith(b'{"seq":1')
