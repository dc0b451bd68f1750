"""A state as people see it."""

import pytest

from actors.core.state import State
from events import DrainRequested, NodeId
from herd.replay.picture import picture, totals
from tests.actors.cast import (
    MODEL,
    attempt_failed,
    book,
    completed,
    node,
    received,
    rid,
    unreachable,
)
from tests.playbook import Playbook, after


@pytest.fixture
def playing() -> Playbook:
    """Two nodes; one request done, one in flight, two that wait, one of them since a failure."""
    playing = book(*node("ada", slots=1), *node("bob", slots=1))
    playing.given(received("r1"), received("r2"), received("r3"), received("r4"))
    r1, r2 = (playing.state.requests[each] for each in list(playing.state.requests)[:2])
    playing.given(attempt_failed("r2", r2.node_id, r2.lease), after(2.5))
    playing.given(DrainRequested(node_id=NodeId("bob"), by="eve"))
    playing.given(completed("r1", r1.node_id, r1.lease), after(1.0), unreachable("bob"))
    return playing


def rows(state: State, title: str) -> list[dict[str, str]]:
    for section in picture(state):
        if section.title == title:
            names = [name.removeprefix(">") for name in section.header]
            return [dict(zip(names, row, strict=True)) for row in section.rows]
    return []


def test_nodes_are_shown_with_their_health_and_who_drained_them(playing: Playbook) -> None:
    ada, bob = rows(playing.state, "nodes")
    assert (ada["NODE"], ada["HEALTH"], ada["IN MEMORY"]) == ("ada", "healthy", MODEL)
    assert bob["HEALTH"] == "degraded, draining (asked by eve)"
    for shown in (ada, bob):
        assert shown["IN FLIGHT"] == str(playing.state.nodes[NodeId(shown["NODE"])].in_flight)


def test_every_slot_and_failure_is_counted(playing: Playbook) -> None:
    shown = rows(playing.state, "models on nodes")
    assert [each["MODEL"] for each in shown] == [MODEL, MODEL]
    for each in shown:
        state = playing.state.nodes[NodeId(each["NODE"])]
        slots, tally = state.slots[MODEL], state.tallies[MODEL]
        assert each["IN FLIGHT"] == f"{slots.in_flight} of {slots.limit}"
        assert (each["DONE"], each["FAILED"]) == (str(tally.completed), str(tally.failed))
        assert each["SLOTS ARE"] == "told"
    assert "closed, 1 failed in a row" in {each["CIRCUIT"] for each in shown}


def test_who_waits_is_shown_in_order_with_what_it_waits_for(playing: Playbook) -> None:
    line = playing.state.lines[MODEL]
    shown = rows(playing.state, "waiting")
    assert [each["REQUEST"] for each in shown] == list(line.waiting)
    assert [each["PLACE"] for each in shown] == [str(n + 1) for n in range(len(line.waiting))]
    assert all((each["WAITED"], each["FOR"]) == ("3.5 s", "a slot") for each in shown)
    assert shown
    excluded = {name: request.excluded for name, request in playing.state.requests.items()}
    for each in shown:
        assert each["NOT TO"] == (", ".join(excluded[rid(each["REQUEST"])]) or "-")


def test_what_runs_is_shown_with_its_lease_and_age(playing: Playbook) -> None:
    leased = {name: each for name, each in playing.state.requests.items() if each.lease}
    shown = rows(playing.state, "in flight")
    assert {each["REQUEST"] for each in shown} == set(leased)
    for each in shown:
        request = playing.state.requests[rid(each["REQUEST"])]
        assert each["NODE"] == request.node_id
        assert each["LEASE"].split(",")[0] == request.lease
        age_s = (playing.state.recorded_at - request.dispatched_us) / 1e6
        assert each["AGE"] == f"{age_s:.1f} s"


def test_an_open_circuit_says_for_how_long_yet() -> None:
    playing = book(*node("ada", slots=3))
    for name in ("r1", "r2", "r3"):
        playing.given(received(name))
        lease = playing.state.requests[rid(name)].lease
        playing.given(attempt_failed(name, "ada", lease))
    playing.given(after(4.0), *node("bob"))
    (ada,) = rows(playing.state, "models on nodes")
    assert ada["CIRCUIT"] == "open, 6.0 s more"
    assert ada["FAILED"] == "3"


def test_the_settings_and_the_totals_are_there(playing: Playbook) -> None:
    settings = {
        each["SETTING"]: each["VALUE"]
        for each in rows(playing.state, "settings that decisions depend on")
    }
    assert settings["policy"] == playing.state.settings.policy
    assert settings["hold_timeout_s"] == "30"
    assert totals(playing.state).startswith(
        f"{playing.state.waiting} waiting, {playing.state.in_flight} in flight; "
    )
    assert "completed 1 and failed 1; epoch 1" in totals(playing.state)


def test_a_state_without_anything_is_shown_too() -> None:
    assert [section.title for section in picture(State())] == ["settings that decisions depend on"]
    assert "not yet granting" in totals(State())
