from actors.core.commands import Cancel, Send
from events import (
    CarriedRequest,
    FrontConnected,
    FrontLost,
    Lease,
    ReapPlanned,
    RequestInterrupted,
    RequestReaped,
    SettingsChanged,
    StreamsProgressed,
    StreamStarted,
    TimerFired,
)
from tests.actors.cast import (
    MODEL,
    completed,
    dispatched,
    ended,
    failed,
    full,
    granted,
    nid,
    queued,
    received,
    rid,
)
from tests.playbook import FRONT, NOT_RECORDED, Playbook, after, like


def started(name: str, lease: str) -> StreamStarted:
    return StreamStarted(
        request_id=rid(name), model=MODEL, node_id=nid("studio"), lease=Lease(lease), ttft_s=1.0
    )


def progressed(**tokens: int) -> StreamsProgressed:
    return StreamsProgressed(progress=tuple((rid(name), n) for name, n in tokens.items()))


def reaped(name: str, idle_s: float) -> like:
    return like(RequestReaped, request_id=name, node_id="studio", lease="1.1", idle_s=idle_s)


def test_a_request_without_progress_gives_its_slot_to_the_next() -> None:
    stuck = full()
    assert (
        stuck
        >> after(500.0)
        >> received("r2")
        << queued("r2", 1)
        >> after(99.9)
        >> TimerFired()
        << NOT_RECORDED
        >> after(0.1)
        >> TimerFired()
        << reaped("r1", 600.0)
        << dispatched("r2", "studio", "1.2")
        << ended("r1", "1.1", "reaped")
        << granted("r2", "studio", "1.2")
        >> failed("r1", "studio", "1.1")  # the front's last word comes too late
    )
    studio = stuck.state.nodes[nid("studio")]
    assert (studio.in_flight, studio.tallies[MODEL].failed) == (1, 1)


def test_a_slow_stream_is_not_a_dead_one() -> None:
    assert (
        full()
        >> after(400.0)
        >> started("r1", "1.1")
        >> after(400.0)
        >> progressed(r1=1)
        >> after(400.0)
        >> progressed(r1=2, stranger=7)
        >> after(599.0)
        >> TimerFired()
        << NOT_RECORDED
    )


def test_the_same_tokens_again_are_no_progress() -> None:
    assert (
        full()
        >> progressed(r1=1)
        >> after(300.0)
        >> progressed(r1=1)
        >> after(300.0)
        >> TimerFired()
        << reaped("r1", 600.0)
        << ended("r1", "1.1", "reaped")
    )


def test_word_of_a_stream_that_is_over_is_ignored() -> None:
    over = full()
    assert over >> failed("r1", "studio", "1.1") >> started("r1", "1.1") >> progressed(r1=9)
    assert over.state.requests == {}


def test_a_plan_for_what_nobody_knows_is_ignored() -> None:
    told = full()
    plan = ReapPlanned(
        request_id=rid("r9"), model=MODEL, node_id=nid("studio"), lease=Lease("1.1"), idle_s=600.0
    )
    before = dict(told.state.requests)
    told.given(plan)
    assert told.state.requests == before


R1 = CarriedRequest(rid("r1"), MODEL, nid("studio"), Lease("1.1"))


def asked(name: str, idle_s: float, lease: str = "1.1") -> tuple[like, Send]:
    """Return what follows when its front is to end it."""
    told = like(ReapPlanned, request_id=name, node_id="studio", lease=lease, idle_s=idle_s)
    return told, Send(FRONT, Cancel(rid(name), Lease(lease), "stale", idle_s))


def its_word(name: str, idle_s: float = 600.0, lease: str = "1.1") -> RequestReaped:
    return RequestReaped(
        request_id=rid(name), model=MODEL, node_id=nid("studio"), lease=Lease(lease), idle_s=idle_s
    )


def confirming() -> Playbook:
    """Let fronts say how what makes no progress has ended."""
    return full().given(SettingsChanged(key="front_timeout_s", old=0.0, new=300.0))


def test_its_front_ends_it_and_says_so() -> None:
    stuck = confirming()
    told, cancel = asked("r1", 600.0)
    assert (
        stuck
        >> after(500.0)
        >> received("r2")
        << queued("r2", 1)
        >> after(100.0)
        >> TimerFired()
        << told
        << cancel
        >> after(1.0)
        >> TimerFired()
        << NOT_RECORDED
        >> its_word("r1")
        << dispatched("r2", "studio", "1.2")
        << granted("r2", "studio", "1.2")
        >> its_word("r1")
        << NOT_RECORDED
    )
    assert stuck.state.nodes[nid("studio")].tallies[MODEL].failed == 1


def being_ended() -> Playbook:
    """Let one be told to end it."""
    return confirming().given(after(600.0), TimerFired())


def test_an_answer_that_was_quicker_is_its_one_end() -> None:
    stuck = being_ended()
    assert stuck >> completed("r1", "studio", "1.1")
    assert stuck.state.requests == {}
    assert stuck.state.nodes[nid("studio")].tallies[MODEL].failed == 0


def test_who_gives_no_word_is_waited_for_no_longer() -> None:
    assert (
        being_ended()
        >> after(299.9)
        >> TimerFired()
        << NOT_RECORDED
        >> after(0.1)
        >> TimerFired()
        << reaped("r1", 900.0)
        << ended("r1", "1.1", "reaped")
        >> its_word("r1")
        << NOT_RECORDED
    )


def test_a_front_that_ends_meanwhile_takes_it_along() -> None:
    assert (
        being_ended()
        >> FrontLost(front_src=FRONT)
        << like(RequestInterrupted, request_id="r1", reason="front_lost")
    )


def test_a_front_that_comes_again_is_told_again() -> None:
    again, cancel_again = asked("r1", 601.0)
    assert (
        being_ended()
        >> after(1.0)
        >> FrontConnected(front=1, in_flight=(R1,))
        >> TimerFired()
        << again
        << cancel_again
    )
