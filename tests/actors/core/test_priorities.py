"""Priorities: who may pass whom, and for how long."""

from events import RequestDispatched, SettingsChanged
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    attempt_failed,
    book,
    full,
    node,
    queued,
    received,
    rid,
)
from tests.playbook import Playbook, after


def line_of(made: Playbook, model: str = MODEL) -> list[str]:
    return list(made.state.lines[model].waiting)


def test_an_interactive_request_passes_the_others_and_a_batch_lets_them_pass() -> None:
    made = full("r2")
    assert (
        made
        >> after(1.0)
        >> received("r3", priority="batch")
        << queued("r3", 2)
        >> received("r4")
        << queued("r4", 2)
        >> received("r5", priority="interactive")
        << queued("r5", 1)
        >> received("r6", priority="interactive")
        << queued("r6", 2)
    )
    assert line_of(made) == ["r5", "r6", "r2", "r4", "r3"]
    made.check()


def test_who_came_much_later_passes_nobody() -> None:
    made = full("r2")
    made.given(received("r3", priority="batch"))
    ahead_s = made.state.settings.interactive_ahead_s
    made.given(after(ahead_s - 1), received("r4", priority="interactive"))
    made.given(after(2.0), received("r5", priority="interactive"))
    assert line_of(made) == ["r4", "r2", "r5", "r3"]
    made.given(after(made.state.settings.batch_behind_s), received("r6"))
    assert line_of(made) == ["r4", "r2", "r5", "r3", "r6"]
    made.check()


def test_how_far_they_pass_is_a_setting() -> None:
    made = full("r2")
    made.given(SettingsChanged(key="interactive_ahead_s", old=60.0, new=0.0))
    made.given(received("r3", priority="interactive"), received("r4", priority="interactive"))
    assert line_of(made) == ["r2", "r3", "r4"]


def test_one_that_a_node_failed_has_its_place_again() -> None:
    made = book(*node("studio", slots=1), *node("mini", slots=1))
    made.given(received("r1"), received("r2", priority="batch"), received("r3"))
    made.given(received("r4", priority="batch"))
    sent = {
        each.event.request_id: each.event
        for each in made.log
        if isinstance(each.event, RequestDispatched)
    }
    assert set(sent) == {"r1", "r2"}
    assert line_of(made) == ["r3", "r4"]
    made.given(attempt_failed("r2", sent[rid("r2")].node_id, sent[rid("r2")].lease))
    assert line_of(made) == ["r2", "r4"], "the free slot is given to the third"
    made.check()


def test_the_most_urgent_of_all_lines_goes_first() -> None:
    made = book(*node("studio", MODEL, OTHER_MODEL), *node("mini", MODEL, OTHER_MODEL))
    made.state.recovering = True
    made.given(received("r1", priority="batch"), received("r2", OTHER_MODEL))
    made.state.recovering = False
    made.given(received("r3", OTHER_MODEL, priority="interactive"))
    sent = [each.event for each in made.log if isinstance(each.event, RequestDispatched)]
    assert [event.request_id for event in sent] == ["r3", "r2", "r1"]
