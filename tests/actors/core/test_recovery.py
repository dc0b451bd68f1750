"""Control, or a front, or an actor fails: what is still true afterwards."""

from actors.core.commands import Cancel, Send
from actors.core.recovery import AWAITED
from events import (
    CONTROL,
    CarriedRequest,
    ConfigurationLoaded,
    ControlStarted,
    FrontConnected,
    FrontLost,
    Lease,
    LeaseAdopted,
    LeaseVoided,
    RecoveryEnded,
    RequestInterrupted,
    RequestReaped,
    SettingsChanged,
    Source,
    TimerFired,
)
from tests.actors.cast import (
    MODEL,
    attempt_failed,
    book,
    completed,
    dispatched,
    full,
    granted,
    nid,
    node,
    queued,
    received,
    refused,
    rid,
    settings,
)
from tests.playbook import FRONT, NOT_RECORDED, OTHER_FRONT, after, by, like

STUDIO = nid("studio")
SECOND_START = ControlStarted(epoch=2, version="test")


def carries(name: str, where: str, lease: str) -> CarriedRequest:
    return CarriedRequest(rid(name), MODEL, nid(where), Lease(lease))


def connected(*waiting: str, carried: tuple[CarriedRequest, ...] = ()) -> FrontConnected:
    return FrontConnected(front=1, waiting=tuple(rid(name) for name in waiting), in_flight=carried)


def interrupted(name: str, reason: str, where: str = "", lease: str = "") -> like:
    return like(
        RequestInterrupted, request_id=name, reason=reason, node_id=where, lease=Lease(lease)
    )


def adopted(name: str, where: str, lease: str) -> LeaseAdopted:
    return LeaseAdopted(
        request_id=rid(name),
        model=MODEL,
        node_id=nid(where),
        lease=Lease(lease),
        front_src=FRONT,
    )


# A restart of control


def test_no_grant_before_every_front_has_spoken() -> None:
    assert (
        book(*node("studio", slots=1), SECOND_START)
        >> received("r1")
        >> after(0.3)
        >> connected("r1")
        >> RecoveryEnded(fronts=1)
        << dispatched("r1", "studio", "2.1")
        << granted("r1", "studio", "2.1")
    )


def test_streams_go_on_and_the_queue_keeps_its_order() -> None:
    restarted = full("r2", "r3")
    assert (
        restarted
        >> SECOND_START
        >> connected("r2", "r3", carried=(carries("r1", "studio", "1.1"),))
        >> RecoveryEnded(fronts=1)
        >> completed("r1", "studio", "1.1")
        << dispatched("r2", "studio", "2.1")
        << granted("r2", "studio", "2.1")
    )
    assert list(restarted.state.lines[MODEL].waiting) == ["r3"]


def test_what_the_front_does_not_know_any_more_was_interrupted() -> None:
    restarted = full("r2")
    assert (
        restarted
        >> SECOND_START
        >> connected()
        << interrupted("r1", "unknown_to_front", "studio", "1.1")
        << interrupted("r2", "unknown_to_front")
    )
    assert (restarted.state.waiting, restarted.state.in_flight) == (0, 0)


def test_a_grant_that_never_arrived_is_void_and_the_request_back_in_its_place() -> None:
    restarted = full("r2")
    assert (
        restarted
        >> SECOND_START
        >> connected("r1", "r2")
        << LeaseVoided(request_id=rid("r1"), model=MODEL, node_id=STUDIO, lease=Lease("1.1"))
        >> RecoveryEnded(fronts=1)
        << dispatched("r1", "studio", "2.1", attempt=1)
        << granted("r1", "studio", "2.1")
    )


def test_a_stream_that_the_log_does_not_know_is_adopted_above_the_limit() -> None:
    restarted = full()
    restarted.given(SECOND_START)
    both = (carries("r1", "studio", "1.1"), carries("lost", "studio", "1.9"))
    assert restarted >> connected(carried=both) << adopted("lost", "studio", "1.9")
    studio = restarted.state.nodes[STUDIO]
    assert (studio.in_flight, studio.slots[MODEL].in_flight, studio.slots[MODEL].limit) == (2, 2, 1)
    assert (
        restarted
        >> RecoveryEnded(fronts=1)
        >> received("r3")
        << queued("r3", 1)
        >> completed("lost", "studio", "1.9")
        >> completed("r1", "studio", "1.1")
        << dispatched("r3", "studio", "2.1")
        << granted("r3", "studio", "2.1")
    )


def test_a_request_that_waited_for_all_the_log_knows_may_be_in_flight() -> None:
    restarted = full("r2")
    restarted.given(SECOND_START)
    both = (carries("r1", "studio", "1.1"), carries("r2", "studio", "1.2"))
    assert restarted >> connected(carried=both) << adopted("r2", "studio", "1.2")
    assert (restarted.state.waiting, restarted.state.in_flight) == (0, 2)


def test_a_request_may_be_elsewhere_than_the_log_says() -> None:
    """What happened meanwhile was not recorded."""
    restarted = book(*node("studio", slots=1), *node("mini", slots=1, resident=()), received("r1"))
    restarted.given(SECOND_START)
    moved = (carries("r1", "mini", "1.7"),)
    assert restarted >> connected(carried=moved) << adopted("r1", "mini", "1.7")
    held = {name: each.in_flight for name, each in restarted.state.nodes.items()}
    assert held == {"studio": 0, "mini": 1}


def test_a_stream_on_a_node_that_nobody_knows_is_adopted_too() -> None:
    restarted = book(SECOND_START)
    assert (
        restarted
        >> connected(carried=(carries("r1", "nowhere", "1.7"),))
        << adopted("r1", "nowhere", "1.7")
    )
    assert restarted.state.in_flight == 1
    assert restarted >> after(599.0) >> TimerFired() << NOT_RECORDED
    assert restarted >> completed("r1", "nowhere", "1.7")
    assert restarted.state.in_flight == 0


def test_an_adopted_request_can_fail_and_wait_in_a_line_of_its_own() -> None:
    restarted = book(*node("studio", slots=1), *node("mini", slots=1, resident=()))
    restarted.given(SECOND_START, connected(carried=(carries("r1", "mini", "1.7"),)))
    restarted.given(RecoveryEnded(fronts=1))
    assert (
        restarted
        >> attempt_failed("r1", "mini", "1.7")
        << dispatched("r1", "studio", "2.1", attempt=2)
        << granted("r1", "studio", "2.1", 2)
    )


def test_who_waits_for_something_that_the_log_lost_is_told_to_come_again() -> None:
    restarted = book(SECOND_START)
    assert restarted >> connected("r1") << refused("r1", 503, "lost", 1)


def test_fronts_that_stay_away_lose_their_requests_and_in_the_end_their_counter() -> None:
    restarted = book(*node("studio", slots=2), connected(), by(OTHER_FRONT, connected()))
    restarted.given(received("r1"), by(OTHER_FRONT, received("r2")))
    carried = carries("r1", "studio", "1.1")
    assert (
        restarted
        >> SECOND_START
        >> connected(carried=(carried,))
        >> RecoveryEnded(fronts=1)
        << interrupted("r2", "front_lost", "studio", "1.2")
    )
    assert restarted.state.fronts[OTHER_FRONT].last_n == 3
    again = connected(carried=(carried,))
    restarted.given(ControlStarted(epoch=3, version="test"), again, RecoveryEnded(fronts=1))
    assert list(restarted.state.fronts) == [FRONT]


def test_a_front_that_lives_and_is_waited_for_loses_nothing() -> None:
    waiting = full("r2")
    waiting.given(SECOND_START)
    assert waiting >> RecoveryEnded(awaited=(FRONT,))
    assert set(waiting.state.requests) == {"r1", "r2"}
    assert waiting.state.fronts[FRONT].missed == AWAITED
    assert (
        waiting
        >> connected("r2", carried=(carries("r1", "studio", "1.1"),))
        >> completed("r1", "studio", "1.1")
        << dispatched("r2", "studio", "2.1")
        << granted("r2", "studio", "2.1")
    )
    assert waiting.state.fronts[FRONT].missed == 0


def test_what_a_front_carries_that_is_waited_for_is_not_stale() -> None:
    """It may have had its end long ago; when the front is back, it has its time once more."""
    two = book(*node("studio", slots=2), received("r1"), by(OTHER_FRONT, received("r2")))
    two.given(SECOND_START, by(OTHER_FRONT, connected(carried=(carries("r2", "studio", "1.2"),))))
    two.given(RecoveryEnded(awaited=(FRONT,)))
    stale_s = two.state.settings.stale_timeout_s + 1
    assert (
        two
        >> after(stale_s)
        >> TimerFired()
        << like(RequestReaped, request_id="r2")
        << Send(OTHER_FRONT, Cancel(rid("r2"), Lease("1.2"), "reaped"))
    )
    two.given(by(OTHER_FRONT, received("r3")))
    assert (
        two >> connected(carried=(carries("r1", "studio", "1.1"),)) >> TimerFired() << NOT_RECORDED
    )


def test_while_it_is_waited_for_no_timer_is_written_down_for_it() -> None:
    waiting = book(*node("studio", slots=1), received("r1"))
    waiting.given(SECOND_START, RecoveryEnded(awaited=(FRONT,)))
    stale_s = waiting.state.settings.stale_timeout_s + 1
    assert waiting >> after(stale_s) >> TimerFired() << NOT_RECORDED


def test_a_front_that_was_waited_for_and_ended_is_lost_then() -> None:
    waiting = full("r2")
    waiting.given(SECOND_START, RecoveryEnded(awaited=(FRONT,)))
    assert (
        waiting
        >> FrontLost(front_src=FRONT)
        << interrupted("r1", "front_lost", "studio", "1.1")
        << interrupted("r2", "front_lost")
    )


def test_a_front_that_comes_late_keeps_its_streams() -> None:
    late = full("r2")
    late.given(SECOND_START, RecoveryEnded())
    assert late.state.requests == {}
    assert (
        late
        >> connected("r2", carried=(carries("r1", "studio", "1.1"),))
        << adopted("r1", "studio", "1.1")
        << refused("r2", 503, "lost", 1)
    )


# Fronts


def test_a_front_that_dies_takes_its_clients_with_it() -> None:
    two = book(*node("studio", slots=1), received("r1"), received("r3"))
    two.given(by(OTHER_FRONT, received("r4")))
    assert (
        two
        >> FrontLost(front_src=FRONT)
        << interrupted("r1", "front_lost", "studio", "1.1")
        << interrupted("r3", "front_lost")
        << dispatched("r4", "studio", "1.2")
        << Send(OTHER_FRONT, granted("r4", "studio", "1.2").message)
        >> FrontLost(front_src=Source("f9-nobody"))
    )


def test_fronts_are_counted() -> None:
    counted = book(connected(), received("r1"))
    front = counted.state.fronts[FRONT]
    assert (front.number, front.connected, front.last_n) == (1, True, 3)
    assert CONTROL not in counted.state.fronts


# Settings


def test_settings_come_with_each_start_and_may_change() -> None:
    changed = book(settings(hold_timeout_s=5, max_queue=7))
    changed.given(ConfigurationLoaded(settings={"hold_timeout_s": 6, "port": 1, "nodes": ""}))
    assert (changed.state.settings.hold_timeout_s, changed.state.settings.max_queue) == (6.0, 7)
    changed.given(SettingsChanged(key="hold_timeout_s", old=6, new=7))
    assert changed.state.settings.hold_timeout_s == 7.0
    assert changed.state.changes == {"hold_timeout_s": 7}
    changed.given(ConfigurationLoaded(settings={"hold_timeout_s": 6}))
    assert changed.state.changes == {"hold_timeout_s": 7}
    changed.given(SettingsChanged(key="port", old=6, new=7))


def test_a_setting_of_a_wrong_type_fails_and_changes_nothing() -> None:
    changed = book()
    changed.given(SettingsChanged(key="max_queue", old=512, new="many"))
    assert changed.state.settings.max_queue == 512
    assert changed.state.changes == {}
    assert changed.state.actor_failures == 1
