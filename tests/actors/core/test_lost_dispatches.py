"""A request whose dispatch is not in the log, as on a full disk, ends once all the same."""

import pytest

from events import (
    CarriedRequest,
    ControlStarted,
    Event,
    FrontConnected,
    Lease,
    RequestFailed,
    RequestInterrupted,
    RequestReaped,
)
from tests.actors.cast import MODEL, book, completed, nid, node, received, rid, settings
from tests.playbook import Playbook, like

STUDIO = nid("studio")
LEASE = Lease("1.7")
"""Of the dispatch that is lost."""
ENDS = (
    completed("r2", "studio", LEASE),
    RequestFailed(
        request_id=rid("r2"),
        model=MODEL,
        phase="stream",
        fault="node",
        status=502,
        node_id=STUDIO,
        lease=LEASE,
    ),
    RequestInterrupted(
        request_id=rid("r2"), model=MODEL, reason="herd_stopped", node_id=STUDIO, lease=LEASE
    ),
    RequestReaped(request_id=rid("r2"), model=MODEL, node_id=STUDIO, lease=LEASE, idle_s=9.0),
)
CONNECTED = FrontConnected(
    front=1, in_flight=(CarriedRequest(rid("r1"), MODEL, STUDIO, Lease("1.1")),)
)


def _named(end: Event) -> str:
    return type(end).__name__


def told_by_fronts(end: Event) -> bool:
    """Whether fronts told of it before there was the setting."""
    return not isinstance(end, RequestInterrupted)


def restarted(*, ends_stand: bool) -> Playbook:
    """One request runs, one waits; so the log says, and control starts again."""
    book_ = book(settings(ends_stand=ends_stand), *node("studio", slots=1))
    book_.given(received("r1"), received("r2"), ControlStarted(epoch=2, version="test"))
    assert book_.state.waiting == 1
    return book_


@pytest.mark.parametrize("end", ENDS, ids=_named)
def test_its_end_is_its_only_one(end: Event) -> None:
    again = restarted(ends_stand=True)
    again.given(end)
    assert list(again.state.requests) == [rid("r1")]
    assert (again.state.waiting, again.state.in_flight) == (0, 1)
    assert again >> CONNECTED


@pytest.mark.parametrize("end", [each for each in ENDS if told_by_fronts(each)], ids=_named)
def test_logs_of_before_decide_as_they_did(end: Event) -> None:
    again = restarted(ends_stand=False)
    again.given(end)
    assert again.state.waiting == 1
    assert (
        again >> CONNECTED << like(RequestInterrupted, request_id="r2", reason="unknown_to_front")
    )


def test_one_that_was_sent_elsewhere_meanwhile_gives_its_slot_back() -> None:
    again = book(settings(ends_stand=True), *node("studio", slots=1), *node("mini", slots=1))
    again.given(received("r1"))
    [request] = again.state.requests.values()
    again.given(completed("r1", "studio", LEASE))
    assert request.lease != LEASE
    assert again.state.in_flight == 0
    assert [each.in_flight for each in again.state.nodes.values()] == [0, 0]
