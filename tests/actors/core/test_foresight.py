"""What a load saves those who will ask: it moves a model to where it is faster, and only then."""

from actors.core.facts import timed
from actors.core.foresight import AHEAD, saved
from actors.core.soonest import soonest
from actors.core.standing import begin, known_of
from actors.core.state import Node, State
from tests.actors.core.fleets import LARGE, SMALL, a_node, a_state, first, working_on


def goes(state: State) -> str:
    """Return where the first goes; nothing if it waits."""
    choice = soonest(state, first(state))
    return "" if choice is None else choice.node.node_id


def slow_and_fast(*there: str) -> tuple[Node, Node]:
    slow = a_node("slow", SMALL, step_s=0.03)
    return slow, a_node("fast", *there, step_s=0.01, load_s=4.0)


def asked_often(state: State, per_s: float = 1.0) -> State:
    state.demands[SMALL].per_s = per_s
    state.settings.foresight = True
    return state


def worth(state: State, node: Node, leaving: list[str], model: str = SMALL) -> float:
    """Return what a load is worth, if these have to go."""
    begin(state)
    known = known_of(state, node.node_id)
    gain = saved(known, timed(state, model))
    for victim in leaving:
        gain -= saved(known, timed(state, victim))
    return AHEAD * gain


def test_a_model_that_is_asked_for_often_is_loaded_where_it_is_faster() -> None:
    state = asked_often(a_state(*slow_and_fast()))
    assert goes(state) == "fast"
    state.settings.foresight = False
    assert goes(state) == "slow", "one request alone does not pay for the load"


def test_of_two_that_could_load_it_the_faster_does() -> None:
    slow, fast = slow_and_fast()
    state = asked_often(a_state(slow, a_node("even", step_s=0.012, load_s=4.0), fast))
    assert goes(state) == "fast"


def test_one_that_is_asked_for_seldom_stays_where_it_is() -> None:
    assert goes(asked_often(a_state(*slow_and_fast()), per_s=0.001)) == "slow"


def test_a_slower_node_saves_nobody_anything() -> None:
    slow, fast = slow_and_fast()
    state = asked_often(a_state(slow, fast))
    assert worth(state, fast, []) > 0
    assert worth(state, slow, [SMALL], LARGE) == 0, "nobody else has either"


def test_what_has_to_go_is_missed_by_those_who_will_ask_for_it() -> None:
    slow = a_node("slow", SMALL, LARGE, step_s=0.03)
    fast = a_node("fast", LARGE, step_s=0.01, load_s=4.0, most=1)
    state = asked_often(a_state(slow, fast))
    assert worth(state, fast, [LARGE]) < worth(state, fast, [])


def test_what_has_to_go_counts_in_the_choice() -> None:
    def score(of_large_per_s: float) -> float:
        slow = a_node("slow", SMALL, LARGE, step_s=0.03)
        fast = a_node("fast", LARGE, step_s=0.01, load_s=4.0, most=1)
        state = asked_often(a_state(slow, fast), 0.01)
        state.demands[LARGE].per_s = of_large_per_s
        choice = soonest(state, first(state))
        assert choice is not None
        return {each.node_id: each.score for each in choice.candidates}[fast.node_id]

    assert score(1.0) < score(0.1) < score(0.001)


def test_of_several_nodes_that_have_it_the_fastest_counts() -> None:
    slow, fast = slow_and_fast()
    state = asked_often(a_state(slow, fast, a_node("even", SMALL, step_s=0.01)))
    assert worth(state, fast, []) == 0
    working_on(fast, LARGE, 2)
    assert worth(state, fast, []) == 0, "it would be slower there now"


def test_a_cost_below_nothing_is_shown_as_the_best_score() -> None:
    choice = soonest(state := asked_often(a_state(*slow_and_fast()), 50.0), first(state))
    assert choice is not None
    assert choice.candidates[0].score == 100.0
