from events import Lease, RequestReaped, StreamsProgressed, StreamStarted, TimerFired
from tests.actors.cast import (
    MODEL,
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
from tests.playbook import NOT_RECORDED, after, like


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
