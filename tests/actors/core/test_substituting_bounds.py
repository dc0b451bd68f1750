"""Another model was only quicker: it is no far smaller one, and does not serve for good."""

import pytest

from events import ModelSubstituted, RequestDispatched
from tests.actors.cast import attempt_failed, book, nid, received, rid
from tests.actors.core.test_substituting import CHAT, LARGE, after_all, facts, host, on
from tests.playbook import Playbook

ASKED, QUICK = "alpha:8b", "beta:8b"


def moved() -> tuple[Playbook, RequestDispatched]:
    """r1 asks for a model on two's disk, and is sent to one's, which is in memory."""
    playing = book(
        on(policy="soonest"),
        *host("one", facts(QUICK, 5), resident={QUICK: 4096}),
        *host("two", facts(ASKED, 30)),
        received("r1", ASKED, needs=()),
    )
    sent = playing.log[-1].event
    assert isinstance(sent, RequestDispatched)
    assert (sent.model, sent.node_id) == (QUICK, "one")
    return playing, sent


def test_a_failure_of_the_other_model_is_no_end() -> None:
    playing, sent = moved()
    playing.given(attempt_failed("r1", "one", str(sent.lease), QUICK, phase="connect"))
    again = playing.log[-1].event
    assert isinstance(again, RequestDispatched)
    assert (again.model, again.node_id, again.attempt) == (ASKED, "two", 2)
    back = [each.event for each in playing.log if isinstance(each.event, ModelSubstituted)][-1]
    assert (back.model, back.to) == (QUICK, ASKED)
    playing.check()


def test_where_nobody_has_the_one_asked_for_it_ends() -> None:
    playing, sent = moved()
    del playing.state.nodes[nid("two")]
    playing.given(attempt_failed("r1", "one", str(sent.lease), QUICK, phase="connect"))
    assert rid("r1") not in playing.state.requests


@pytest.mark.parametrize(("rules", "gb", "serves"), [(0, 2, True), (1, 2, False), (1, 20, True)])
def test_no_far_smaller_model_serves(rules: int, gb: float, *, serves: bool) -> None:
    ada = host("ada", facts(LARGE), facts(CHAT, gb), resident={CHAT: 8192})
    found = after_all(on(rules=rules), ada, received("r1", LARGE, needs=()))

    assert bool(found) is serves


@pytest.mark.parametrize(("rules", "moved_in_all"), [(0, 8), (1, 5)])
def test_who_is_asked_for_again_and_again_is_loaded(rules: int, moved_in_all: int) -> None:
    ada = host("ada", facts(LARGE), facts(CHAT, 20), resident={CHAT: 8192}, slots=9)
    asks = [received(f"r{n}", LARGE, needs=()) for n in range(8)]

    assert len(after_all(on(rules=rules), ada, *asks)) == moved_in_all
