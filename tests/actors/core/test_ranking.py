"""Ranks: who may pass whom, and for how long; and that nobody takes more than a share."""

from typing import Any

import msgspec

from actors.core.predicting import ENOUGH
from events import RequestDispatched, SettingsChanged
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    attempt_failed,
    book,
    cancelled,
    completed,
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


# Shares

SLOW_S = 10.0
SHARED = SettingsChanged(key="fair_shares", old=False, new=True)


def busy(*, fair: bool = True, slots: int = 1) -> Playbook:
    """A node whose speed is known, with all its slots taken."""
    made = book(*node("studio", slots=slots))
    if fair:
        made.given(SHARED)
    for number in range(ENOUGH):
        taught = completed(f"t{number}", "studio", f"1.{number + 1}", service_s=SLOW_S)
        taught = msgspec.structs.replace(taught, usage_source="reported", prompt_tokens=20)
        made.given(received(f"t{number}", app="teacher"), taught)
    return made.given(*(received(f"s{number}", app="starter") for number in range(slots)))


def ask(made: Playbook, app: str, count: int, **fields: Any) -> None:
    made.given(*(received(f"{app}{number}", app=app, **fields) for number in range(count)))


def served(made: Playbook, count: int) -> str:
    """Let one after the other be done; return whose turn it was each time."""
    turns = ""
    for _ in range(count):
        made.given(after(SLOW_S))
        running = next(each for each in made.state.requests.values() if each.lease)
        made.given(completed(running.request_id, "studio", running.lease, service_s=SLOW_S))
        sent = made.log[-1].event
        assert isinstance(sent, RequestDispatched)
        turns += sent.request_id[0]
    return turns


def test_of_two_who_ask_for_more_than_there_is_each_gets_half() -> None:
    made = busy()
    ask(made, "a", 20)
    made.given(after(1.0))
    ask(made, "b", 20)
    turns = served(made, 20)
    assert abs(turns.count("a") - turns.count("b")) <= 2
    assert "aaa" not in turns[2:]
    assert "bbb" not in turns
    made.check()


def test_who_comes_late_is_neither_punished_nor_paid_back() -> None:
    made = busy()
    ask(made, "a", 40)
    assert served(made, 10) == "a" * 10, "who asks alone gets all"
    ask(made, "b", 20)
    turns = served(made, 20)
    assert "b" in turns[:2]
    assert abs(turns.count("a") - turns.count("b")) <= 2
    made.check()


def test_one_question_goes_before_the_rest_of_a_flood() -> None:
    made = busy()
    ask(made, "a", 50)
    served(made, 2)
    made.given(received("b0", app="b"))
    assert line_of(made).index("b0") <= 1


def test_who_asks_for_more_each_time_gets_fewer() -> None:
    made = busy()
    ask(made, "a", 30, body_bytes=100)
    ask(made, "b", 30, body_bytes=40_000)
    turns = served(made, 24)
    assert turns.count("a") > 2 * turns.count("b") > 0


def test_where_nothing_is_known_or_wanted_it_is_the_order_of_arrival() -> None:
    unknown = book(SHARED, *node("studio", slots=1), received("r1"))
    for made in (busy(fair=False), unknown):
        made.given(received("a1", app="a"), received("a2", app="a"), received("b1", app="b"))
        assert line_of(made) == ["a1", "a2", "b1"]
        made.check()


def test_a_share_is_forgotten_with_its_last_request() -> None:
    made = busy()
    ask(made, "a", 3)
    line = made.state.lines[MODEL]
    assert [(each.app, each.waiting) for each in line.shares] == [("a", 3)]
    served(made, 1)
    assert line.sent_us > 0
    made.given(cancelled("a1"), cancelled("a2"))
    assert line.shares == []
    assert line.sent_us == 0


def test_one_that_came_back_counts_again() -> None:
    made = book(SHARED, *node("studio", slots=1), *node("mini", slots=1))
    made.given(*(received(f"r{number}", app="a") for number in range(4)))
    line = made.state.lines[MODEL]
    assert line.shares[0].waiting == 2
    running = made.state.requests[rid("r0")]
    made.given(attempt_failed("r0", running.node_id, running.lease))
    assert line.shares[0].waiting == 2, "it waits for the other node, and one more was sent"
    made.given(cancelled("r0"), *(cancelled(f"r{number}") for number in range(1, 4)))
    assert line.shares == []
    made.check()


def sized(name: str, body_bytes: int, **fields: Any) -> Any:
    return received(name, body_bytes=body_bytes, **fields)


def test_who_wants_much_lets_those_pass_who_want_little() -> None:
    made = book(
        SettingsChanged(key="length_behind", old=0.0, new=5.0),
        *node("studio", slots=1),
        sized("r1", 4_000),
        completed("r1", "studio", "1.1", service_s=2.0, prompt_tokens=1000, completion_tokens=50),
        sized("r2", 4_000),
    )
    made.given(sized("long", 40_000), after(0.5), sized("short", 400), sized("mean", 4_000))
    assert line_of(made) == ["short", "mean", "long"]
    made.given(after(299.0), sized("late", 40_000), after(301.0), sized("later", 400))
    assert line_of(made) == ["short", "mean", "long", "late", "later"]
    made.check()
