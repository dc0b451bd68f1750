"""A node that falls to a small part of its own pace is asked last, and tried again."""

from itertools import count
from typing import Any

import pytest

from actors.core.learning import Mean, Past, Speed
from actors.core.slowing import KNOWN, LEAST_TOKENS, LONGEST_S, judged, noted
from actors.core.state import Node, State
from events import (
    CircuitClosed,
    CircuitHalfOpened,
    CircuitOpened,
    Event,
    NodeForgotten,
    RequestCompleted,
    SettingsChanged,
    TimerFired,
)
from tests.actors.cast import (
    MODEL,
    attempt_failed,
    book,
    completed,
    nid,
    node,
    probed,
    received,
    rid,
    unreachable,
)
from tests.playbook import Cue, Playbook, after

TIMES = 5.0
WATCHED = SettingsChanged(key="slow_times", old=0.0, new=TIMES)
SOONEST = SettingsChanged(key="policy", old="resident-first", new="soonest")
USUAL_S, SLOW_S = 2.0, 30.0


class Tale:
    """Requests one after another, on a fleet where studio is asked first."""

    def __init__(self, *given: Cue, others: bool = True) -> None:
        mini = node("mini", slots=2, resident=()) if others else ()
        self.playing = book(*node("studio", slots=2), *mini, *given)
        self.names = count()

    def ask(self) -> str:
        """Let one come; return its name."""
        name = f"r{next(self.names)}"
        self.playing.given(received(name))
        return name

    def where(self, name: str) -> str:
        return self.playing.state.requests[rid(name)].node_id

    def end(self, name: str, service_s: float, **fields: Any) -> None:
        request = self.playing.state.requests[rid(name)]
        told: dict[str, Any] = {"usage_source": "reported", "ttft_s": 0.1} | fields
        answer = completed(name, request.node_id, request.lease, service_s=service_s, **told)
        self.playing.given(answer)

    def answers(self, number: int, service_s: float, **fields: Any) -> list[str]:
        """Let so many come and be answered in turn; return where each went."""
        found: list[str] = []
        for _ in range(number):
            name = self.ask()
            found.append(self.where(name))
            self.end(name, service_s, **fields)
        return found

    def later(self, seconds: float) -> None:
        self.playing.given(after(seconds), TimerFired())

    def turns(self) -> list[Event]:
        kinds = CircuitOpened | CircuitHalfOpened | CircuitClosed
        return [each.event for each in self.playing.log if isinstance(each.event, kinds)]

    @property
    def studio(self) -> Node:
        return self.playing.state.nodes[nid("studio")]


def fallen(*given: Cue, others: bool = True) -> Tale:
    """Studio has become slow."""
    tale = Tale(WATCHED, *given, others=others)
    tale.answers(KNOWN, USUAL_S)
    tale.answers(3, SLOW_S)
    (opened,) = tale.turns()
    assert isinstance(opened, CircuitOpened)
    assert (opened.reason, opened.failures, opened.node_id) == ("slow", 3, "studio")
    assert opened.pace_share == pytest.approx(USUAL_S / SLOW_S, rel=0.2)
    return tale


def test_three_slow_answers_in_a_row_and_it_is_asked_last() -> None:
    tale = fallen()
    assert tale.where(tale.ask()) == "mini"
    tale.playing.check()


def test_it_is_a_setting() -> None:
    tale = Tale()
    tale.answers(KNOWN, USUAL_S)
    assert set(tale.answers(5, SLOW_S)) == {"studio"}
    assert tale.turns() == []
    assert tale.studio.speeds[MODEL].past is None


def test_where_no_other_can_serve_it_is_asked_as_ever() -> None:
    tale = fallen(others=False)
    assert tale.answers(4, SLOW_S) == ["studio"] * 4
    assert len(tale.turns()) == 1
    tale.answers(1, USUAL_S)
    assert isinstance(tale.turns()[-1], CircuitClosed), "it is well again"
    assert MODEL not in tale.studio.circuits


def test_under_soonest_its_new_pace_counts_at_once() -> None:
    tale = fallen(SOONEST)
    past = tale.studio.speeds[MODEL].past
    assert past is not None
    assert tale.studio.speeds[MODEL].step.value == past.slow_s
    tale.playing.check()


def test_one_may_try_and_if_it_is_slow_again_the_next_later() -> None:
    tale = fallen()
    tale.later(61.0)
    assert isinstance(tale.turns()[-1], CircuitHalfOpened)
    past = tale.studio.speeds[MODEL].past
    assert past is not None
    assert tale.studio.speeds[MODEL].step.value == past.usual.value
    first, second = tale.ask(), tale.ask()
    assert (tale.where(first), tale.where(second)) == ("studio", "mini")
    tale.end(first, SLOW_S)
    opened = tale.turns()[-1]
    assert isinstance(opened, CircuitOpened)
    assert (opened.reason, opened.open_s, opened.failures) == ("slow", 120.0, 1)
    for _ in range(4):
        tale.later(LONGEST_S)
        trying = tale.ask()
        assert tale.where(trying) == "studio"
        tale.end(trying, SLOW_S)
    opened = tale.turns()[-1]
    assert isinstance(opened, CircuitOpened)
    assert opened.open_s == LONGEST_S
    tale.playing.check()


def test_a_try_at_its_usual_pace_ends_it() -> None:
    tale = fallen()
    tale.later(61.0)
    assert tale.answers(1, USUAL_S, completion_tokens=LEAST_TOKENS - 1) == ["studio"]
    assert isinstance(tale.turns()[-1], CircuitHalfOpened), "that tells of nothing"
    assert tale.answers(1, USUAL_S) == ["studio"]
    assert isinstance(tale.turns()[-1], CircuitClosed)
    assert tale.answers(2, USUAL_S) == ["studio"] * 2
    tale.playing.check()


def test_a_try_that_fails_opens_it_as_any_other() -> None:
    tale = fallen()
    tale.later(61.0)
    name = tale.ask()
    lease = tale.playing.state.requests[rid(name)].lease
    tale.playing.given(attempt_failed(name, "studio", lease))
    circuit = tale.studio.circuits[MODEL]
    assert (circuit.status, circuit.slow) == ("open", False)


def test_one_that_is_slow_and_fails_gets_none_any_more() -> None:
    tale = fallen(others=False)
    for _ in range(3):
        name = tale.ask()
        lease = tale.playing.state.requests[rid(name)].lease
        tale.playing.given(attempt_failed(name, "studio", lease))
    circuit = tale.studio.circuits[MODEL]
    assert (circuit.status, circuit.slow) == ("open", False)


def test_a_node_that_was_started_again_is_believed() -> None:
    tale = fallen()
    tale.studio.circuits["another"] = tale.studio.circuits[MODEL]
    tale.playing.given(unreachable("studio"), unreachable("studio"))
    tale.playing.given(probed("studio", MODEL, resident=(MODEL,)))
    assert not tale.studio.circuits
    past = tale.studio.speeds[MODEL].past
    assert past is not None
    assert tale.studio.speeds[MODEL].step.value == past.usual.value


def test_switched_off_it_ends_with_the_next_answer() -> None:
    tale = fallen(others=False)
    tale.playing.given(SettingsChanged(key="slow_times", old=TIMES, new=0.0))
    tale.answers(1, SLOW_S)
    assert isinstance(tale.turns()[-1], CircuitClosed)
    tale.answers(4, SLOW_S)
    assert isinstance(tale.turns()[-1], CircuitClosed)


def test_two_slow_answers_are_chance() -> None:
    tale = Tale(WATCHED)
    tale.answers(KNOWN, USUAL_S)
    tale.answers(2, SLOW_S)
    tale.answers(1, USUAL_S)
    tale.answers(2, SLOW_S)
    assert tale.turns() == []


def test_what_is_slow_from_the_first_is_usual() -> None:
    tale = Tale(WATCHED)
    tale.answers(KNOWN + 5, SLOW_S)
    assert tale.turns() == []


def test_what_lasts_becomes_usual() -> None:
    speed = Speed(past=Past(usual=Mean(KNOWN, 1.0)))
    for _ in range(50):
        noted(speed, 100, (10.0, 10.0), TIMES)
    assert speed.past is not None
    assert speed.past.row == 50
    for _ in range(50):
        noted(speed, 100, (10.0, 10.0), TIMES)
    assert speed.past.row < 0


def test_answers_that_share_a_node_may_take_the_longer_for_that() -> None:
    speed = Speed(past=Past(usual=Mean(KNOWN, 1.0)))
    noted(speed, 100, (6.0, 2.0), TIMES)
    assert speed.past is not None
    assert speed.past.row == -1


def test_of_what_is_not_known_nothing_follows() -> None:
    answer = RequestCompleted(rid("r"), MODEL, nid("studio"), completed("r", "studio", "1.1").lease)
    state = State()
    assert judged(state, answer) == []
    state.nodes[nid("studio")] = Node(nid("studio"), "http://studio:11434", "flag")
    assert judged(state, answer) == []


def test_a_node_that_is_gone_has_no_circuits() -> None:
    tale = fallen()
    playing: Playbook = tale.playing
    playing.given(NodeForgotten(node_id=nid("studio"), reason="gone"))
    playing.given(CircuitClosed(node_id=nid("studio"), model=MODEL))
    assert nid("studio") not in playing.state.nodes


def test_a_circuit_that_failures_opened_is_another_matter() -> None:
    tale = Tale(WATCHED, others=False)
    tale.answers(1, USUAL_S)
    for _ in range(3):
        name = tale.ask()
        lease = tale.playing.state.requests[rid(name)].lease
        tale.playing.given(attempt_failed(name, "studio", lease))
    tale.later(11.0)
    tale.answers(1, USUAL_S)
    assert [type(each) for each in tale.turns()] == [
        CircuitOpened,
        CircuitHalfOpened,
        CircuitClosed,
    ]
    tale.playing.check()
