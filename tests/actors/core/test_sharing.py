"""Shares over several models: what is had of one counts in the lines of the others."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.core.placement import slots_of
from actors.core.predicting import ENOUGH
from actors.core.sharing import MOST_KEPT, MOST_S
from actors.core.state import US, State, dump, load
from events import RequestId, SettingsChanged
from tests.actors.cast import (
    MODEL,
    OTHER_MODEL,
    attempt_failed,
    book,
    cancelled,
    completed,
    nid,
    node,
    received,
)
from tests.playbook import Playbook, after

SLOW_S = 10.0
NODES = {MODEL: "studio", OTHER_MODEL: "tower"}
ANSWER = 100
"""Tokens."""


def fleet(*, both: bool = True, slots: int = 1) -> Playbook:
    """Two nodes with one model each, of known speed, all slots taken."""
    made = book(
        *(each for model, name in NODES.items() for each in node(name, model, slots=slots)),
        SettingsChanged(key="fair_shares", old=False, new=True),
        SettingsChanged(key="shares_over_models", old=False, new=both),
    )
    lease = 0
    for model, name in NODES.items():
        for number in range(ENOUGH):
            lease += 1
            told = f"{name}{number}"
            taught = completed(told, name, f"1.{lease}", model, service_s=SLOW_S)
            taught = replace(taught, usage_source="reported", prompt_tokens=20)
            made.given(received(told, model, app="teacher"), taught)
    for model, name in NODES.items():
        made.given(*(received(f"s-{name}-{n}", model, app="starter") for n in range(slots)))
    return made


def ask(made: Playbook, app: str, model: str, count: int, **fields: Any) -> None:
    had = len(made.log)
    made.given(*(received(f"{app}-{had}-{n}", model, app=app, **fields) for n in range(count)))


def end(made: Playbook, name: RequestId) -> None:
    """Let an answer be whole."""
    it = made.state.requests[name]
    whole = completed(name, it.node_id, it.lease, it.model, service_s=SLOW_S)
    made.given(replace(whole, completion_tokens=ANSWER))


def served(made: Playbook, rounds: int) -> Counter[str]:
    """Let all that runs be done so often; return how many each application was sent."""
    sent: Counter[str] = Counter()
    for _ in range(rounds):
        made.given(after(SLOW_S))
        running = [name for name, it in made.state.requests.items() if it.lease]
        for name in running:
            end(made, name)
        now = [it for it in made.state.requests.values() if it.lease]
        sent.update(it.app for it in now)
    return sent


def test_who_asks_two_models_gets_no_more_than_who_asks_one() -> None:
    made = fleet()
    ask(made, "both", MODEL, 40)
    ask(made, "both", OTHER_MODEL, 40)
    ask(made, "left", MODEL, 40)
    ask(made, "right", OTHER_MODEL, 40)
    sent = served(made, 30)
    assert sum(sent.values()) == 60, "no slot stayed free"
    assert max(sent.values()) - min(sent.values()) <= 4, sent
    made.check()


def test_without_the_setting_it_gets_a_share_of_each() -> None:
    made = fleet(both=False)
    ask(made, "both", MODEL, 40)
    ask(made, "both", OTHER_MODEL, 40)
    ask(made, "left", MODEL, 40)
    ask(made, "right", OTHER_MODEL, 40)
    sent = served(made, 30)
    assert sent["both"] >= 28
    assert not made.state.used


def test_who_comes_from_another_model_begins_behind_who_had_less() -> None:
    made = fleet()
    ask(made, "a", MODEL, 40)
    ask(made, "b", OTHER_MODEL, 40)
    ask(made, "c", OTHER_MODEL, 40)
    served(made, 6)  # a had six, b and c three each
    ask(made, "a", OTHER_MODEL, 1)
    line = made.state.lines[OTHER_MODEL]
    place = [made.state.requests[name].app for name in line.waiting].index("a")
    assert place >= 3
    request = next(it for it in made.state.requests.values() if it.app == "a" and it.back_us)
    assert 0 < request.back_us <= MOST_S * US


def test_who_waited_nowhere_counts_as_the_least_of_those_who_wait() -> None:
    made = fleet()
    ask(made, "a", MODEL, 40)
    ask(made, "b", OTHER_MODEL, 40)
    served(made, 8)
    ask(made, "new", OTHER_MODEL, 1)
    had = {used.app: used.work_us for used in made.state.used}
    assert had["new"] == min(had["a"], had["b"]) > 0
    line = made.state.lines[OTHER_MODEL]
    assert [made.state.requests[name].app for name in line.waiting].index("new") <= 1


def test_who_is_alone_pays_nothing() -> None:
    made = fleet()
    ask(made, "a", MODEL, 20)
    ask(made, "a", OTHER_MODEL, 20)
    sent = served(made, 10)
    assert sent["a"] == 20
    assert not made.state.used
    assert all(not it.back_us for it in made.state.requests.values())


def test_nobody_steps_back_for_ever() -> None:
    made = fleet()
    ask(made, "a", OTHER_MODEL, 1)
    first = next(name for name, it in made.state.requests.items() if it.app == "a")
    ask(made, "c", OTHER_MODEL, 3)
    for _ in range(80):
        if first not in made.state.requests or made.state.requests[first].lease:
            break
        ask(made, "a", MODEL, 3)
        ask(made, "b", MODEL, 1)
        ask(made, "c", OTHER_MODEL, 2)
        served(made, 1)
    assert made.state.requests.get(first) is None or made.state.requests[first].lease
    made.check()


def test_the_bound_is_of_all_steps_together() -> None:
    made = fleet()
    ask(made, "a", OTHER_MODEL, 3)
    ask(made, "a", MODEL, 90)
    ask(made, "c", OTHER_MODEL, 90)
    most_us = 0
    for _ in range(40):
        served(made, 1)
        most_us = max(most_us, *(it.back_us for it in made.state.requests.values()))
    assert most_us == MOST_S * US
    apps = {made.state.requests[name].app for name in made.state.lines[OTHER_MODEL].waiting}
    assert apps == {"c"}, "in the end its turn came"


def test_it_outlives_a_restart() -> None:
    made = fleet()
    ask(made, "a", MODEL, 9)
    ask(made, "b", MODEL, 9)
    served(made, 3)
    again: State = load(dump(made.state))
    assert again.used == made.state.used
    assert {used.app for used in again.used} >= {"a", "b"}


def test_where_speeds_are_unknown_nothing_moves() -> None:
    made = book(
        SettingsChanged(key="fair_shares", old=False, new=True),
        SettingsChanged(key="shares_over_models", old=False, new=True),
        *node("studio", MODEL, slots=1),
        *node("tower", OTHER_MODEL, slots=1),
    )
    for app in ("a", "b"):
        ask(made, app, MODEL, 3)
        ask(made, app, OTHER_MODEL, 3)
    assert all(not it.back_us for it in made.state.requests.values())
    made.check()


def test_only_the_last_applications_are_remembered() -> None:
    made = fleet()
    ask(made, "flood", MODEL, 2 * MOST_KEPT)
    for number in range(MOST_KEPT + 6):
        ask(made, f"app{number}", MODEL, 1)
    served(made, MOST_KEPT * 3)
    assert len(made.state.used) == MOST_KEPT


@pytest.mark.parametrize("where", ["studio", "tower"])
def test_one_that_a_node_failed_is_counted_again_where_it_goes_next(where: str) -> None:
    made = fleet()
    ask(made, "a", MODEL, 3)
    ask(made, "b", OTHER_MODEL, 3)
    running = next(it for it in made.state.requests.values() if it.node_id == where)
    made.given(attempt_failed(running.request_id, where, running.lease, running.model))
    made.check()


# Any history

APPS = st.sampled_from("abc")
MODELS = st.sampled_from([MODEL, OTHER_MODEL])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), APPS, MODELS, st.integers(1, 4)),
        st.tuples(st.just("serve"), st.integers(0, 3)),
        st.tuples(st.just("leave"), st.integers(0, 9)),
    ),
    max_size=25,
)


@given(STEPS)
def test_in_any_history_no_slot_stays_free_while_somebody_waits_for_it(steps: list[Any]) -> None:
    made = fleet(slots=2)
    for step in steps:
        match step:
            case ("ask", app, model, count):
                ask(made, app, model, count)
            case ("serve", int(which)):
                running = [name for name, it in made.state.requests.items() if it.lease]
                made.given(after(SLOW_S))
                if running:
                    end(made, running[which % len(running)])
            case _:
                which = int(step[1])
                waiting = [it for it in made.state.requests.values() if not it.lease]
                if waiting:
                    gone = waiting[which % len(waiting)]
                    made.given(cancelled(gone.request_id, model=gone.model))
        for model, name in NODES.items():
            slots = slots_of(made.state.nodes[nid(name)], model)
            line = made.state.lines.get(model)
            assert slots.in_flight == slots.limit or line is None or not line.waiting
            if line is not None:
                ranks = list(line.waiting.values())
                assert ranks == sorted(ranks)
                assert all(
                    0 <= made.state.requests[each].back_us <= MOST_S * US for each in line.waiting
                )
    made.check()


@given(
    st.lists(st.tuples(APPS, st.integers(40, 60)), min_size=2, max_size=3, unique_by=lambda e: e[0])
)
def test_equal_applications_get_equal_tokens(asked: list[tuple[str, int]]) -> None:
    """Each asks both models for more than there is, in any order of arrival."""
    made = fleet()
    for app, count in asked:
        for model in NODES:
            ask(made, app, model, count)
    sent = served(made, 24)
    assert sum(sent.values()) == 48
    assert (max(sent.values()) - min(sent.values())) * ANSWER <= 4 * ANSWER
