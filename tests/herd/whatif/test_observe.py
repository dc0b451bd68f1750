"""What is observed is the work, without the waits before it."""

import pytest

from actors.core.state import US
from events import NodeId, RequestId
from herd.whatif.evidence import Run
from herd.whatif.observe import Stretch, stretches


def run(name: str, sent_s: float, first_s: float, end_s: float, load_s: float = 0.0) -> Run:
    return Run(
        RequestId(name),
        NodeId("n"),
        "m",
        round(sent_s * US),
        cold=load_s > 0,
        stream=True,
        ended_us=round(end_s * US),
        first_us=round(first_s * US),
        load_s=load_s,
        prompt_tokens=100,
        completion_tokens=11,
        whole=True,
    )


def prompts(*runs: Run, slots: int) -> list[Stretch]:
    return [each for each in stretches(runs, {"m": slots})["m"] if each.own_prompt]


def answers(*runs: Run, slots: int) -> list[Stretch]:
    return [each for each in stretches(runs, {"m": slots})["m"] if not each.own_prompt]


def test_a_request_that_waits_for_a_slot_begins_when_one_is_free() -> None:
    sent = [run("a", 0, 1, 5), run("b", 1, 6, 9), run("c", 2, 10, 12)]
    assert [each.lasted_s for each in prompts(*sent, slots=1)] == [1.0, 1.0, 1.0]
    assert [each.beside for each in answers(*sent, slots=1)] == [0.0, 0.0, 0.0]


def test_with_two_slots_only_the_third_waits() -> None:
    sent = [run("a", 0, 1, 5), run("b", 0, 1.5, 7), run("c", 2, 6, 8)]
    assert [each.lasted_s for each in prompts(*sent, slots=2)] == [1.0, 1.5, 1.0]


def test_a_load_is_no_work() -> None:
    cold = run("a", 0, 3.5, 5, load_s=3.0)
    behind = run("b", 1, 4.0, 6, load_s=2.0)
    first, second = prompts(cold, behind, slots=2)
    assert (first.lasted_s, second.lasted_s) == (0.5, 1.0)
    assert first.prompt_tokens == pytest.approx(100 + 50)


def test_a_load_of_unknown_length_hides_the_prompt() -> None:
    sent = run("a", 0, 3.5, 5, load_s=1.0)
    sent.load_s = 0.0
    assert prompts(sent, slots=2) == []
    assert [each.steps for each in answers(sent, slots=2)] == [10]


def test_a_prompt_beside_an_answer_is_counted_in_it() -> None:
    sent = [run("a", 0, 1, 5), run("b", 2, 3, 6)]
    first, second = answers(*sent, slots=2)
    assert first.prompt_tokens == pytest.approx(100)
    assert first.beside == pytest.approx(0.5)
    assert second.beside == pytest.approx(2 / 3)
    assert second.prompt_tokens == 0
