"""What one more request takes from those that run: by the lengths that are predicted."""

import pytest

from actors.core.burden import beside, within
from actors.core.facts import facts_of
from actors.core.learning import Mean
from actors.core.sharing import own_portion
from actors.core.soonest import soonest
from actors.core.standing import known_of, row_of
from actors.core.state import Node, State
from events import Event, NodeId, RequestCancelled, RequestFailed, SettingsChanged
from tests.actors.cast import MODEL, attempt_failed, book, completed, node, received, rid
from tests.actors.core.fleets import LARGE, SMALL, a_node, a_state, first, working_on
from tests.playbook import Playbook

ADA = NodeId("ada")
MEAN_S = 200 * 0.01 / 20 + 100 * 0.01
"""What a mean request takes alone on `ada`, the best node."""


def fleet(*portions: float, model: str = LARGE, by_length: bool = True) -> State:
    """Return a fleet of one node on which requests of these portions of a mean one run."""
    ada = working_on(a_node("ada", SMALL, LARGE, slots=8), model, len(portions))
    ada.slots[model].portions = list(portions)
    state = a_state(ada)
    state.kept.on = True
    state.settings.running_by_length = by_length
    for asked in state.demands.values():
        asked.alone_s = MEAN_S
    return state


def taken(state: State, lone_s: float) -> tuple[float, float]:
    row_of(state, SMALL)
    return beside(state, known_of(state, ADA), lone_s)


def test_nobody_loses_more_than_what_the_new_one_takes_alone() -> None:
    state = fleet(4.0)
    lost, _ = taken(state, 0.1)
    assert lost == pytest.approx(0.1 / (4.0 * MEAN_S))
    lost, _ = taken(fleet(4.0, by_length=False), 0.1)
    assert lost == pytest.approx(0.5), "half of a mean one, however short the new one is"


def test_nobody_loses_more_than_what_he_takes_himself() -> None:
    state = fleet(0.1, 4.0)
    longest_s = 4.0 * (200 * 0.01 / 20 + 100 * 0.01 * 1.08)
    lost, _ = taken(state, 1.0)
    assert lost == pytest.approx((0.1 * longest_s / 4.0) / (0.1 * MEAN_S) + 1.0 / (4.0 * MEAN_S))
    assert taken(state, longest_s)[0] == pytest.approx(2 * longest_s / 4.0 / MEAN_S)
    assert taken(state, 100.0) == taken(state, longest_s)


def test_a_model_is_done_when_its_longest_request_is() -> None:
    assert taken(fleet(0.1, 4.0), 1.0)[1] == pytest.approx(4.0 * (0.1 + 1.08))
    _, ends_s = taken(fleet(1.0, 1.0, 1.0, by_length=False), 1.0)
    assert ends_s == pytest.approx((3 * 0.1 + 1.16) * 3 / 4)
    state = fleet(4.0)
    working_on(state.nodes[ADA], SMALL, 1).slots[SMALL].portions = [0.5]
    assert taken(state, 1.0)[1] == pytest.approx(0.5 * MEAN_S * 2), "the first of two, in turns"
    assert taken(fleet(), 1.0) == (0.0, 0.0)


def test_those_of_whom_nobody_looked_at_the_length_count_as_mean_ones() -> None:
    state = fleet(2.0)
    state.nodes[ADA].slots[LARGE].in_flight = 3
    assert taken(state, 100.0)[0] == pytest.approx(3 * (0.1 + 1.16) / MEAN_S)


def test_nothing_is_kept_while_it_follows_from_all_nodes() -> None:
    state = fleet(1.0)
    state.demands[LARGE].alone_s = 0.0
    before, _ = taken(state, 100.0)
    state.nodes[NodeId("fast")] = a_node("fast", step_s=0.001)
    state.kept.folds += 1
    known = known_of(state, ADA)
    assert beside(state, known, 100.0)[0] == pytest.approx(10 * before)


def test_what_is_learned_of_one_model_weighs_that_one_anew() -> None:
    state = fleet(4.0)
    working_on(state.nodes[ADA], SMALL, 1).slots[SMALL].portions = [0.5]
    before = taken(state, 1.0)
    assert taken(state, 1.0) == before
    state.demands[LARGE].answer_tokens = Mean(9, 200.0)
    state.demands[SMALL].answer_tokens = Mean(9, 200.0)
    state.kept.learn(SMALL)
    state.kept.folds += 1
    lost, ends_s = taken(state, 100.0)
    assert lost == pytest.approx((2.1 + 1.1) / MEAN_S)
    assert ends_s == pytest.approx(0.5 * 2.1 * 2)


def test_the_halves_are_kept_as_well() -> None:
    state = fleet(4.0, by_length=False)
    before = taken(state, 1.0)
    assert taken(state, 2.0) == before
    state.kept.learn(LARGE)
    state.demands[LARGE].alone_s *= 2
    state.kept.folds += 1
    assert taken(state, 1.0)[0] == pytest.approx(before[0] / 2)


def test_a_batch_waits_for_a_prompt_and_then_goes_on_somewhat_more_slowly() -> None:
    state = fleet(2.0, 0.5, model=SMALL)
    seat = row_of(state, SMALL).seats[ADA]
    facts = facts_of(state, SMALL)
    seat.known.working = 3
    lost = within(state, seat, facts, prefill_s=0.2, decode_s=0.1)
    assert within(state, seat, facts, prefill_s=0.2, decode_s=0.1) == lost
    each = 0.2 + 0.08 * 0.3
    assert lost == pytest.approx(3 * each * (1 / (2.0 * MEAN_S) + 1 / (0.5 * MEAN_S)))
    state.settings.running_by_length = False
    left_s = (0.1 * 3 * 2 + 3 * 1.08) / 2
    lost = within(state, seat, facts, prefill_s=0.2, decode_s=0.1)
    assert lost == pytest.approx(2 * (0.2 + 0.08 * left_s) / MEAN_S)


def test_a_word_goes_where_a_page_is_written() -> None:
    def goes(*, by_length: bool, body_bytes: int) -> str:
        fast = working_on(a_node("fast", SMALL, LARGE, step_s=0.01), LARGE, 1)
        fast.slots[LARGE].portions = [8.0]
        state = a_state(fast, a_node("slow", SMALL, step_s=0.0205))
        state.settings.lengths_by_size = True
        state.settings.running_by_length = by_length
        first(state).body_bytes = body_bytes
        first(state).length_ratio = body_bytes / 800
        choice = soonest(state, first(state))
        return "" if choice is None else choice.node.node_id

    assert goes(by_length=True, body_bytes=80) == "fast"
    assert goes(by_length=True, body_bytes=16_000) == "slow"
    assert goes(by_length=False, body_bytes=80) == "slow", "as if it stayed as long as the page"


@pytest.mark.parametrize(
    ("body_bytes", "prompts", "answers", "portion"),
    [
        (800, Mean(9, 200.0), Mean(9, 100.0), 1.0),
        (80, Mean(9, 200.0), Mean(9, 1000.0), 0.1),
        (10_000_000, Mean(9, 200.0), Mean(9, 1.0), 32.0),
        (2_250, Mean(), Mean(9, 100.0), 1.0),
        (9_000, Mean(), Mean(9, 1.0), 101 / 26),
    ],
    ids=["a mean one", "short", "long", "prompts are never told", "nor are answers long"],
)
def test_the_portion_of_a_request(
    body_bytes: int, prompts: Mean, answers: Mean, portion: float
) -> None:
    state = fleet()
    asked = state.demands[SMALL]
    asked.prompt_tokens, asked.answer_tokens = prompts, answers
    asked.body_bytes = Mean(9, 800.0) if prompts.count else Mean()
    request = first(state)
    request.body_bytes = body_bytes
    request.length_ratio = 0.05 if portion == 0.1 else 1.0
    assert own_portion(state, request) == pytest.approx(portion)


def portions(made: Playbook) -> list[float]:
    there: Node = made.state.nodes[NodeId("studio")]
    return there.slots[MODEL].portions


@pytest.mark.parametrize("counts", [True, False])
def test_a_slot_is_left_as_it_was_taken(*, counts: bool) -> None:
    made: Playbook = book(
        SettingsChanged(key="running_by_length", old=False, new=counts),
        *node("studio", slots=4),
    )
    made.given(*(received(name) for name in ("r1", "r2", "r3")))
    assert len(portions(made)) == (3 if counts else 0)
    leases = [made.state.requests[rid(name)].lease for name in ("r1", "r2", "r3")]
    assert all(leases)
    ends: list[Event] = [
        completed("r1", "studio", leases[0]),
        RequestFailed(
            request_id=rid("r2"),
            model=MODEL,
            node_id=NodeId("studio"),
            lease=leases[1],
            phase="stream",
            status=502,
            error="connection reset",
            fault="node",
        ),
        RequestCancelled(request_id=rid("r3"), model=MODEL, phase="stream"),
    ]
    for left, end in zip((2, 1, 0), ends, strict=True):
        made.given(end)
        assert len(portions(made)) == (left if counts else 0)
    made.check()


def test_who_is_sent_after_the_setting_went_off_has_no_portion() -> None:
    made: Playbook = book(
        SettingsChanged(key="running_by_length", old=False, new=True),
        *node("studio", slots=4),
        *node("tower", slots=4),
    )
    made.given(received("r1"))
    request = made.state.requests[rid("r1")]
    assert request.portion
    made.given(SettingsChanged(key="running_by_length", old=True, new=False))
    made.given(attempt_failed("r1", request.node_id, request.lease))
    assert request.attempt == 2
    assert request.portion == 0.0
    assert [there.slots[MODEL].portions for there in made.state.nodes.values()] == [[], []]
    made.check()
