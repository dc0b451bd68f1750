"""Whom a full line turns away."""

from events import RequestRejected, SettingsChanged
from tests.actors.cast import (
    MODEL,
    attempt_failed,
    book,
    node,
    received,
    refused,
    rejected,
    rid,
    settings,
)
from tests.playbook import after

ROOM = SettingsChanged(key="make_room", old=False, new=True)


def test_a_full_line_turns_away_its_last_by_rank() -> None:
    two = book(settings(max_queue=2), *node("studio", slots=1), ROOM, received("r1"))
    two.given(received("r2"), received("b1", priority="batch"))
    assert (
        two
        >> after(1.0)
        >> received("r3")
        << rejected("b1", 429, "queue_full", 1.0, 30)
        << refused("b1", 429, "queue_full", 30)
        >> received("b2", priority="batch")
        << rejected("b2", 429, "queue_full", 0.0, 30)
        << refused("b2", 429, "queue_full", 30)
    )
    assert list(two.state.lines[MODEL].waiting) == ["r2", "r3"]


def test_nobody_whom_a_node_has_failed_makes_room() -> None:
    tried = book(settings(max_queue=1), *node("studio", slots=1), *node("mini", slots=1), ROOM)
    tried.given(received("r1"), received("b1", priority="batch"))
    first = tried.state.requests[rid("b1")]
    tried.given(attempt_failed("b1", str(first.node_id), str(first.lease)), received("r2"))
    tried.given(received("r3"))
    assert list(tried.state.lines[MODEL].waiting) == ["b1"]


def test_who_waits_for_a_pull_counts_as_well() -> None:
    playing = book(
        *node("studio", slots=1),
        SettingsChanged(key="auto_pull", old=False, new=True),
        SettingsChanged(key="max_queue", old=512, new=2),
    )
    for number in range(1, 6):
        playing.given(received(f"r{number}", "unheard-of:1b"))
    refused_too = [each.event for each in playing.log if isinstance(each.event, RequestRejected)]
    assert [(each.request_id, each.reason) for each in refused_too] == [
        (f"r{number}", "queue_full") for number in range(3, 6)
    ]
    playing.check()
