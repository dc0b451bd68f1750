"""A re-run of a simulated log comes out as it was; what is different is told apart from errors."""

import msgspec
import pytest

from actors.core.state import State
from events import NodeId
from herd.errors import HerdError
from herd.virtual.script import Outcome
from herd.whatif.change import NOTHING, Change
from herd.whatif.compare import Answer, answer
from herd.whatif.evidence import gather
from herd.whatif.figures import Figures, Quantiles, figures, middle
from herd.whatif.plot import shares, time_line
from herd.whatif.support import chance
from tests.herd.virtual.small import busy
from tests.herd.whatif.logs import evidence, recorded

TOWER, MINI = NodeId("tower"), NodeId("mini")
COUNT = 300


def asked(wanted: Change, count: int = COUNT, per_s: float = 1.5) -> Answer:
    return answer(evidence(count, per_s), wanted, plays=1)[0]


@pytest.fixture(scope="module")
def again() -> Answer:
    return asked(NOTHING)


def test_a_re_run_comes_out_as_recorded(again: Answer) -> None:
    assert again.whatif is None
    assert again.recorded == figures(recorded(COUNT, 1.5)[0])
    was, made = again.recorded, again.rerun
    assert made.completed == was.completed == COUNT
    assert abs(made.cold_loads - was.cold_loads) <= 1
    for time in ("ttft", "completion"):
        assert getattr(made, time).p50 == pytest.approx(getattr(was, time).p50, rel=0.15)
        assert getattr(made, time).p95 == pytest.approx(getattr(was, time).p95, rel=0.2)


def test_another_policy_changes_what_it_really_would(again: Answer) -> None:
    told = asked(Change(settings={"policy": "least-connections"}))
    real = figures(busy("least-connections", count=COUNT, per_s=1.5)[0].outcomes)
    assert told.rerun == again.rerun
    assert told.whatif is not None
    predicted = told.whatif.completion.p95 / told.rerun.completion.p95
    assert predicted == pytest.approx(real.completion.p95 / told.recorded.completion.p95, rel=0.2)
    assert told.change == ["policy = least-connections"]


def test_without_a_node_the_others_have_its_work() -> None:
    told = asked(Change(without=(TOWER,)))
    assert told.whatif is not None
    assert told.whatif.completion.p95 > told.rerun.completion.p95
    had = {(each.node_id, each.model): each.whatif for each in told.work}
    assert had[TOWER, "qwen2.5:7b"] == 0
    assert sum(each.whatif or 0 for each in told.work) == COUNT


def test_where_fewer_are_answered_the_times_are_said_to_be_of_others() -> None:
    told = asked(Change(without=(TOWER, NodeId("studio"))))
    assert told.whatif is not None
    assert told.whatif.rejected > 20
    assert "fewer requests are answered" in told.doubts[0]


def test_a_new_node_takes_its_part_and_is_said_to_be_a_guess() -> None:
    told = asked(Change(added={NodeId("second"): "tower"}))
    assert sum(each.whatif or 0 for each in told.work if each.node_id == "second") > 20
    assert all(each.observed for each in told.work if each.node_id == "second")
    assert any("second is taken to be just like tower" in each for each in told.doubts)
    assert not any("too little of" in each for each in told.doubts)


def test_a_node_of_the_simulator_is_known_by_its_formulas() -> None:
    told = asked(Change(added={NodeId("big"): "ideal"}))
    assert told.whatif is not None
    assert sum(each.whatif or 0 for each in told.work if each.node_id == "big") > 20


def test_more_at_once_than_ever_observed_is_said() -> None:
    told = asked(Change(slots={MINI: 6}, without=(TOWER, NodeId("studio"))))
    assert any("up to" in each and "extrapolated" in each for each in told.doubts), told.doubts


def test_where_the_log_shows_too_little_of_a_model_is_said() -> None:
    found = evidence(COUNT, 1.5)
    found.runs = [
        each for each in found.runs if (each.node_id, each.model) != (MINI, "llama3.2:3b")
    ]
    told, _ = answer(found, NOTHING, plays=1)
    (guessed,) = [each for each in told.work if each.node_id == MINI]
    assert guessed.recorded > 1
    named = f"too little of their model: llama3.2:3b on mini ({guessed.recorded} answers)"
    assert any(named in each for each in told.doubts), told.doubts
    assert guessed.observed == 0
    assert guessed.tokens_per_s == pytest.approx(49, rel=0.5)


def test_the_same_log_has_the_same_answer_to_the_bit() -> None:
    wanted = Change(settings={"policy": "random"})
    first, second = (msgspec.json.encode(asked(wanted, 150)) for _ in range(2))
    assert first == second


def test_too_little_is_refused() -> None:
    with pytest.raises(HerdError, match="19 answers") as refused:
        asked(NOTHING, 19)
    assert "herd run" in refused.value.next_step
    with pytest.raises(HerdError, match="0 answers"):
        answer(gather(State(), []), NOTHING)


def test_answers_that_say_nothing_of_speed_are_refused() -> None:
    found = evidence(100)
    found.runs = []
    with pytest.raises(HerdError, match="no node's speed"):
        answer(found, NOTHING)


@pytest.mark.long
def test_chance_is_told_apart_from_change() -> None:
    told, outcomes = answer(evidence(200, 1.5), Change(settings={"policy": "random"}))
    assert (told.plays, len(outcomes.rerun), len(outcomes.whatif)) == (3, 3, 3)
    plays = [figures(each) for each in outcomes.whatif]
    assert len({each.completion.p95 for each in plays}) > 1
    assert told.whatif is not None
    assert told.whatif == middle(plays)
    p95 = sorted(each.completion.p95 for each in plays)
    assert told.whatif.completion.p95 == p95[1]


def test_plays_that_lie_apart_or_overlap_are_told_of() -> None:
    def play(p95: float) -> Figures:
        times = Quantiles(p95 / 2, p95, p95)
        return Figures(10, 10, 0, 0, 0, 0, times, times, times)

    apart = [play(10.0), play(14.0), play(11.0)]
    near = [play(20.0), play(20.1), play(20.2)]
    (told,) = chance(apart, near)
    assert "from 10.00 to 14.00 s in RE-RUN" in told
    assert [each[:9] for each in chance(near, [play(20.1), play(20.15)])] == ["By p95 of"]
    assert list(chance(near, [])) == []
    assert list(chance([play(1.0)], [play(1.0)])) == []


def test_the_curves_of_the_picture() -> None:
    def outcome(at_us: int, total_s: float, how: str = "completed") -> Outcome:
        fields = {"request_id": "r", "model": "m", "node_id": "n", "wait_s": 0, "ttft_s": 0}
        more = {"at_us": at_us, "how": how, "total_s": total_s, "cold": False}
        return msgspec.convert(fields | more, Outcome)

    some = [outcome(0, 3.0), outcome(0, 1.0), outcome(60, 2.0), outcome(60, 9.0, "failed")]
    assert shares(some, "total_s") == ([1.0, 2.0, 3.0], [1 / 3, 2 / 3, 1.0])
    assert [each for _, each in time_line(some, 0, 60)] == [3.0, 2.0]
