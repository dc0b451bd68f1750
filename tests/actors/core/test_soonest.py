"""The policy `soonest/1`: each of its terms decides where it is the one that differs."""

import msgspec

from actors.core.binding import bind
from actors.core.estimates import loading
from actors.core.learning import Mean
from actors.core.policies import POLICIES
from actors.core.soonest import soonest
from actors.core.state import Front, State
from events import ModelFacts, NodeFacts, RequestDispatched, SettingsChanged
from tests.actors.cast import book, completed, node, received
from tests.actors.core.fleets import (
    LARGE,
    NOW_US,
    SMALL,
    a_node,
    a_state,
    first,
    join,
    working_on,
)


def goes(state: State, number: int = 0) -> str:
    """Return where a request goes; nothing if it waits."""
    choice = soonest(state, first(state, number))
    return "" if choice is None else choice.node.node_id


def test_it_is_in_the_book() -> None:
    assert POLICIES["soonest"] is soonest


def test_the_faster_node_is_taken_though_it_has_more_to_do() -> None:
    slow = a_node("slow", SMALL, step_s=0.05)
    fast = working_on(a_node("fast", SMALL, step_s=0.01), SMALL, 1)
    assert goes(a_state(slow, fast)) == "fast"


def test_a_load_counts_as_long_as_it_takes() -> None:
    hot = working_on(a_node("hot", SMALL, step_s=0.03), SMALL, 1)
    assert goes(a_state(hot, a_node("cold", load_s=60.0, step_s=0.01))) == "hot"
    assert goes(a_state(hot, a_node("cold", load_s=0.2, step_s=0.01))) == "cold"


def test_it_waits_for_a_slot_that_is_soon_free_rather_than_for_a_load() -> None:
    hot = working_on(a_node("hot", SMALL, slots=4), SMALL, 4)
    state = a_state(hot, a_node("cold", load_s=30.0))
    assert goes(state) == ""


def test_with_patience_it_waits_until_another_model_has_no_more_work() -> None:
    def fleet(*, patience: bool, waited_s: float = 0.0, step_s: float = 0.01) -> State:
        fast = working_on(a_node("fast", SMALL, LARGE, step_s=0.01), LARGE, 1)
        fast.speeds[LARGE].step = Mean(1, step_s)
        state = a_state(fast, a_node("slow", SMALL, step_s=0.05), waiting=0)
        state.settings.patience = patience
        join(state, SMALL, 0, waited_s=waited_s)
        return state

    assert goes(fleet(patience=False)) == "fast"
    assert goes(fleet(patience=True)) == ""
    assert goes(fleet(patience=True, waited_s=30.0)) == "fast", "it has waited long enough"
    assert goes(fleet(patience=True, step_s=1.0)) == "fast", "the other goes on for long"


def test_who_wants_little_himself_loses_more_by_the_same_wait() -> None:
    def fleet(body_bytes: int, *, own: bool) -> State:
        hot = working_on(a_node("hot", SMALL, step_s=0.012), SMALL, 1)
        state = a_state(hot, a_node("idle", SMALL, step_s=0.0135))
        state.settings.lengths_by_size = own
        first(state).body_bytes = body_bytes
        first(state).length_ratio = body_bytes / 800
        return state

    short, long = 100, 4_000
    assert goes(fleet(short, own=False)) == "idle", "what the other loses weighs more"
    assert goes(fleet(short, own=True)) == "hot"
    assert goes(fleet(long, own=False)) == "hot"
    assert goes(fleet(long, own=True)) == "idle", "a page may wait for a word"


def test_who_gets_long_answers_goes_where_they_are_quick() -> None:
    reads = a_node("reads", SMALL, step_s=0.03)
    writes = a_node("writes", SMALL, step_s=0.01)
    reads.speeds[SMALL].token, writes.speeds[SMALL].token = Mean(1, 0.001), Mean(1, 0.011)
    state = a_state(reads, writes)
    for app, tokens in (("terse", 1.0), ("wordy", 500.0)):
        for _ in range(40):
            state.demands[SMALL].answered(app, tokens)
    first(state).app = "terse"
    assert goes(state) == "reads"
    first(state).app = "wordy"
    assert goes(state) == "writes"


def test_of_two_full_nodes_the_faster_is_waited_for() -> None:
    fast = working_on(a_node("fast", SMALL, slots=1, step_s=0.005), SMALL, 1)
    slow = working_on(a_node("slow", SMALL, slots=1, step_s=0.5), SMALL, 1)
    for nodes in ((fast, slow), (slow, fast)):
        assert goes(a_state(*nodes, a_node("cold", load_s=8.0))) == ""


def test_where_nothing_has_any_tokens_nobody_divides_by_them() -> None:
    state = a_state(working_on(a_node("full", SMALL, slots=1), SMALL, 1), a_node("cold"))
    asked = state.demands[SMALL]
    asked.prompt_tokens, asked.answer_tokens = Mean(9, 0.0), Mean(9, 0.0)
    assert goes(state) == "", "the wait is none, the load is some"


def test_one_who_is_in_no_line_is_weighed_as_the_last() -> None:
    state = a_state(a_node("ada", SMALL))
    alone = first(state)
    state.lines[SMALL].waiting.clear()
    choice = soonest(state, alone)
    assert choice is not None
    assert choice.node.node_id == "ada"
    full = working_on(a_node("bob", SMALL, slots=1), SMALL, 1)
    state = a_state(full, a_node("cold", load_s=10.0), waiting=60)
    late = join(state, SMALL, 60)
    del state.lines[SMALL].waiting[late.request_id]
    assert not goes(state, 0)
    assert goes(state, 60) == "cold"


def test_those_far_behind_are_for_the_load() -> None:
    hot = working_on(a_node("hot", SMALL, slots=1), SMALL, 1)
    state = a_state(hot, a_node("cold", load_s=10.0), waiting=60)
    state.fronts[first(state).src] = Front(connected=True)
    (dispatch,) = bind(state, SMALL, NOW_US, soonest)
    assert isinstance(dispatch, RequestDispatched)
    assert not goes(state, int(dispatch.request_id[1:]) - 1)
    assert goes(state, int(dispatch.request_id[1:]))
    assert goes(state, 0) == ""
    assert goes(state, 59) == "cold"
    answers = [bool(goes(state, number)) for number in range(60)]
    assert answers == sorted(answers), "the longer the line before it, the more it is for going"


def test_a_node_that_loads_it_now_is_warm_soon() -> None:
    coming = working_on(a_node("coming", load_s=10.0, slots=4), SMALL, 1)
    coming.speeds[SMALL].load_began_us = NOW_US - 9_000_000
    state = a_state(coming, a_node("cold", load_s=10.0))
    choice = soonest(state, first(state))
    assert choice is not None
    assert choice.candidates[0].node_id == "coming"
    assert not choice.cold
    assert 0.9 < choice.candidates[0].wait_s < 1.1


def test_what_is_asked_for_is_not_pushed_out() -> None:
    wanted = a_node("wanted", LARGE, most=1)
    state = a_state(wanted, a_node("empty", most=1, step_s=0.011))
    assert goes(state) == "empty", "though it is a little slower"
    state.demands[LARGE].per_s = 0.0
    assert goes(state) == "wanted", "nobody asks for it"


def test_no_load_where_nothing_can_make_room() -> None:
    full = working_on(a_node("full", LARGE, most=1), LARGE, 1)
    state = a_state(full)
    assert goes(state) == ""


def test_a_node_that_seems_too_small_is_asked_if_there_is_no_other() -> None:
    small_card = a_node("card", vram_bytes=1_000_000_000)
    assert goes(a_state(small_card)) == "card"
    full = working_on(a_node("full", LARGE, most=1), LARGE, 1)
    assert goes(a_state(small_card, full)) == ""


def test_nobody_waits_long_for_a_node_that_does_not_go_on() -> None:
    frozen = working_on(a_node("frozen", SMALL, slots=1), SMALL, 1)
    state = a_state(frozen, a_node("cold", load_s=20.0))
    assert goes(state) == ""
    first(state).received_us -= 60_000_000
    assert goes(state) == "cold"
    first(state).waits_since_us = NOW_US
    assert goes(state) == "", "it has just begun to wait"


def test_a_model_that_is_about_to_be_pushed_out_is_not_counted_on() -> None:
    node = working_on(a_node("ada", SMALL, most=1), LARGE, 1)
    node.facts = NodeFacts(max_loaded_models=1)
    assert goes(a_state(node)) == ""
    roomy = working_on(a_node("bob", SMALL, most=2), LARGE, 1)
    assert goes(a_state(roomy)) == "bob"


def test_a_load_waits_for_the_load_before_it() -> None:
    coming = working_on(a_node("coming", load_s=10.0), LARGE, 1)
    coming.speeds[LARGE].load_began_us = NOW_US - 2_000_000
    state = a_state(coming)
    choice = soonest(state, first(state))
    assert choice is not None
    assert choice.cold
    assert 17.9 < choice.candidates[0].wait_s < 18.1


def test_what_it_takes_from_others_counts() -> None:
    """Both are as fast; on one it would make another model take turns."""
    busy = working_on(a_node("busy", SMALL, LARGE, slots=8), LARGE, 8)
    idle = a_node("idle", SMALL, LARGE, slots=8)
    assert goes(a_state(busy, idle)) == "idle"
    sharing = working_on(working_on(a_node("sharing", SMALL, LARGE, slots=8), LARGE, 2), SMALL, 1)
    alone = working_on(a_node("alone", SMALL, LARGE, slots=8), SMALL, 1)
    assert goes(a_state(sharing, alone)) == "alone"


def test_equal_nodes_are_drawn() -> None:
    names = ("ada", "bob", "cyd")
    state = a_state(*(a_node(name, SMALL) for name in names), waiting=40)
    choices = [soonest(state, first(state, number)) for number in range(40)]
    assert {each.node.node_id for each in choices if each is not None} == set(names)
    assert all(each.draw for each in choices if each is not None)
    more = a_state(*(a_node(f"n{number:02}", SMALL) for number in range(12)))
    choice = soonest(more, first(more))
    assert choice is not None
    assert (len(choice.candidates), choice.more, choice.policy) == (8, 4, "soonest/1")


def test_where_evictions_cost_those_far_behind_are_for_them_all_the_same() -> None:
    hot = working_on(a_node("hot", SMALL, slots=1), SMALL, 1)
    state = a_state(hot, a_node("wanted", LARGE, most=1, load_s=10.0), waiting=200)
    answers = [bool(goes(state, number)) for number in range(200)]
    assert answers == sorted(answers)
    assert answers[-1]
    assert not answers[0]


def test_a_copy_on_a_node_that_is_away_is_none() -> None:
    away = a_node("cyd", LARGE)
    away.models.clear()  # of no use to the request itself
    state = a_state(a_node("ada", LARGE, most=1), a_node("bob", LARGE, most=1), away)
    scores: list[float] = []
    for away.health in ("healthy", "offline"):
        choice = soonest(state, first(state))
        assert choice is not None
        scores += {each.score for each in choice.candidates}
    with_a_copy, without = scores
    assert with_a_copy > without, "an eviction of what is elsewhere costs less"


def test_a_model_that_is_computed_elsewhere_needs_no_load_and_no_room() -> None:
    name = "huge:cloud"
    node = working_on(a_node("ada", LARGE, most=1, vram_bytes=1_000_000_000), LARGE, 2)
    node.models[name] = ModelFacts(name=name, size_bytes=384)
    state = a_state(node)
    request = join(state, name, 7)
    choice = soonest(state, request)
    assert choice is not None
    assert not choice.cold
    assert choice.candidates[0].wait_s == 0.0
    working_on(node, name, 1)
    assert loading(node) == []


def test_two_at_once_do_not_load_the_same_model_twice() -> None:
    made = book(
        *node("ada", resident=(), slots=4),
        *node("bob", resident=(), slots=4),
        SettingsChanged(key="policy", old="", new="soonest"),
        received("r1"),
        received("r2"),
    )
    made.check()
    sent = [each.event for each in made.log if isinstance(each.event, RequestDispatched)]
    assert [event.cold for event in sent] == [True, False]
    assert sent[0].node_id == sent[1].node_id


def test_one_behind_goes_while_the_first_waits() -> None:
    """The line is long enough for a load; the first of those that it pays for is sent there."""
    made = book(
        *node("hot", slots=1),
        *node("cold", resident=(), slots=1),
        SettingsChanged(key="policy", old="", new="soonest"),
    )
    taught = completed("r0", "hot", "1.1", service_s=0.4, prompt_tokens=9, completion_tokens=40)
    made.given(received("r0"), msgspec.structs.replace(taught, usage_source="reported"))
    made.given(*(received(f"r{number}") for number in range(1, 60)))
    made.check()
    sent = [each.event for each in made.log if isinstance(each.event, RequestDispatched)]
    assert [str(event.node_id) for event in sent] == ["hot", "hot", "cold"]
    assert int(sent[2].request_id[1:]) > 5
