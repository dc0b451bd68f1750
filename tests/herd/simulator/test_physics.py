"""Stories of one machine, in its own seconds."""

import pytest

from herd.simulator import hardware, profiles
from herd.simulator.hardware import Step
from herd.simulator.physics import (
    BUSY,
    NEVER,
    Finished,
    Job,
    Loaded,
    Tokens,
)
from tests.herd.simulator.story import BIG, EMBED, MIDDLE, SMALL, Story, changed, small_memory


def test_a_cold_request_loads_prefills_and_decodes() -> None:
    spec = profiles.studio()
    story = Story(spec)
    job = story.submit(SMALL, prompt=1000, output=20)
    assert story.machine.waiting() == 1
    timings = story.finish(job).timings

    assert timings.load_s == pytest.approx(hardware.load_s(spec, profiles.LLAMA_3B))
    assert timings.slot_s == 0
    prefill = sum(
        hardware.step_s(spec, profiles.LLAMA_3B, Step(tokens=tokens, cached_tokens=cached))
        for tokens, cached in ((512, 0), (488, 512))
    )
    assert timings.prefill_s == pytest.approx(prefill)
    one = hardware.step_s(spec, profiles.LLAMA_3B, Step(tokens=1, cached_tokens=1010))
    assert timings.decode_s == pytest.approx(19 * one, rel=0.01)
    assert timings.total_s == pytest.approx(timings.load_s + timings.prefill_s + timings.decode_s)
    assert sum(out.count for out in story.tokens(job)) == 20
    assert story.loads() == [SMALL]
    assert story.machine.running() == story.machine.waiting() == 0


def test_a_warm_request_does_not_load() -> None:
    story = Story(profiles.studio())
    story.load(SMALL)
    assert story.finish(story.submit(SMALL)).timings.load_s == 0
    assert story.loads() == [SMALL]


def test_more_requests_than_slots_wait_in_order_without_bound() -> None:
    spec = profiles.with_slots(changed(profiles.studio(), max_queue=2), 2)
    story = Story(spec)
    story.load(SMALL)
    jobs = [story.submit(SMALL, output=3) for _ in range(1000)]
    assert (story.machine.running(), story.machine.waiting()) == (2, 998)
    story.finish(jobs[-1])
    done = [out.job for out in story.out if isinstance(out, Finished)]
    assert done[1:] == jobs
    assert not story.refusals()


def test_a_batch_shares_the_step_so_that_the_sum_rises() -> None:
    def lasts(count: int) -> float:
        story = Story(profiles.studio())
        story.load(SMALL)
        began = story.machine.now_s
        jobs = [story.submit(SMALL, output=50) for _ in range(count)]
        return max(story.finish(job).at_s for job in jobs) - began

    assert lasts(4) < 1.2 * lasts(1)


def test_a_long_prompt_slows_the_neighbours_down() -> None:
    story = Story(profiles.studio())
    story.load(SMALL)
    quick = story.submit(SMALL, output=10)
    story.go(0.02)
    before = len(story.tokens(quick))
    assert before
    story.submit(SMALL, prompt=4000)
    story.finish(quick)
    gaps = [
        later.at_s - earlier.at_s
        for earlier, later in zip(
            story.tokens(quick)[before - 1 :], story.tokens(quick)[before:], strict=False
        )
    ]
    assert max(gaps) > 5 * min(gaps)


def test_two_models_at_work_share_the_machine() -> None:
    def lasts(*, neighbour: bool) -> float:
        story = Story(profiles.studio())
        story.load(SMALL)
        story.load(MIDDLE)
        if neighbour:
            story.submit(MIDDLE, output=500)
        return story.finish(story.submit(SMALL, output=50)).timings.decode_s

    assert lasts(neighbour=True) == pytest.approx(2 * lasts(neighbour=False), rel=0.05)


def test_embedding_ends_with_the_prompt() -> None:
    story = Story(profiles.studio())
    job = story.submit(EMBED, prompt=100, output=0)
    assert story.finish(job).timings.decode_s == 0
    assert story.tokens(job) == []


def test_only_requests_that_wait_for_a_load_are_bounded() -> None:
    story = Story(changed(profiles.studio(), max_queue=3))
    for _ in range(3):
        story.submit(SMALL)
    assert not story.refusals()
    refused = story.submit(SMALL)
    also_refused = story.submit(MIDDLE)
    assert [(out.job, out.status, out.error) for out in story.refusals()] == [
        (refused, 503, BUSY),
        (also_refused, 503, BUSY),
    ]
    assert BUSY == "server busy, please try again.  maximum pending requests exceeded"
    story.go(10)
    for _ in range(50):
        story.submit(SMALL)
    assert len(story.refusals()) == 2


def test_loads_follow_one_another() -> None:
    story = Story(profiles.studio())
    first, second = story.submit(SMALL), story.submit(MIDDLE)
    late = story.submit(SMALL)
    story.finish(first)
    timings = story.finish(second).timings
    spec = profiles.studio()
    assert timings.load_s == pytest.approx(
        hardware.load_s(spec, profiles.LLAMA_3B) + hardware.load_s(spec, profiles.QWEN_7B)
    )
    assert story.loads() == [SMALL, MIDDLE]
    assert story.finish(late).timings.load_s == pytest.approx(
        hardware.load_s(spec, profiles.LLAMA_3B)
    )


def test_cancel_frees_the_slot_at_once() -> None:
    story = Story(profiles.mini())
    story.load(SMALL)
    running, waiting, last = (story.submit(SMALL, output=100) for _ in range(3))
    story.go(0.1)
    count = len(story.tokens(running))
    story.cancel(waiting)
    assert (story.machine.running(), story.machine.waiting()) == (1, 1)
    story.cancel(running)
    assert (story.machine.running(), story.machine.waiting()) == (1, 0)
    story.finish(last)
    assert len(story.tokens(running)) == count
    assert story.tokens(waiting) == []


def test_cancel_among_others_lets_them_go_on() -> None:
    story = Story(profiles.studio())
    story.load(SMALL)
    jobs = [story.submit(SMALL, output=20) for _ in range(4)]
    story.go(0.05)
    story.cancel(jobs[1])
    for job in (jobs[0], jobs[2], jobs[3]):
        story.finish(job)
        assert sum(out.count for out in story.tokens(job)) == 20
    alone = story.finish(story.submit(SMALL, output=20)).timings
    fresh = Story(profiles.studio())
    fresh.load(SMALL)
    assert alone.decode_s == pytest.approx(
        fresh.finish(fresh.submit(SMALL, output=20)).timings.decode_s
    )


def test_cancelling_the_only_request_aborts_its_load() -> None:
    story = Story(profiles.studio())
    story.cancel(story.submit(BIG))
    assert story.unloads() == [(BIG, "aborted")]
    assert story.machine.next_event_at() == NEVER
    first, second = story.submit(BIG), story.submit(BIG)
    story.cancel(first)
    story.finish(second)
    assert story.loads() == [BIG]


def test_cancelling_the_head_of_the_line_lets_the_next_load() -> None:
    story = Story(small_memory(8))
    story.load(SMALL)
    story.submit(SMALL, output=500)
    head, behind = story.submit(MIDDLE), story.submit(EMBED, output=0)
    story.cancel(head)
    story.cancel(999)
    assert story.finish(behind).timings.load_s < 1


def test_five_hundred_waiting_loads_of_one_model_end_together() -> None:
    story = Story(profiles.studio())
    story.submit(SMALL, prompt=0, output=0)
    story.submit(MIDDLE, prompt=0, output=0)
    jobs = [story.submit(MIDDLE, prompt=0, output=0) for _ in range(500)]
    assert story.finish(jobs[-1]).at_s == story.finish(jobs[0]).at_s


def test_an_ideal_node_answers_in_the_same_call() -> None:
    story = Story(profiles.ideal())
    job = story.submit(BIG, prompt=10_000, output=77)
    assert [type(out) for out in story.out] == [Loaded, Tokens, Finished]
    assert story.tokens(job)[0].count == 77
    assert story.finish(job).at_s == 0


def test_an_ideal_node_with_a_pace_serves_a_thousand_at_it() -> None:
    story = Story(profiles.ideal(0.01))
    jobs = [story.submit(SMALL, prompt=5000, output=10) for _ in range(1000)]
    story.go(0.1001)
    assert all(len(story.tokens(job)) in {9, 10} for job in jobs)
    assert story.finish(jobs[-1]).at_s == pytest.approx(0.11)


def test_time_does_not_go_back() -> None:
    story = Story(profiles.studio())
    story.go(5)
    assert story.machine.advance(1) == []
    assert story.machine.now_s == 5


def test_a_slot_keeps_its_last_prompt() -> None:
    story = Story(changed(profiles.tower(), context_tokens=8192))
    story.load(SMALL)
    turns = [(("a", 1000),), (("a", 1000), ("b", 3000)), (("z", 3000),)]
    took: list[float] = []
    for number, prefixes in enumerate((turns[0], turns[1], turns[1], turns[2]), 100):
        prompt = prefixes[-1][1]
        job = Job(id=number, model=SMALL, prompt_tokens=prompt, output_tokens=1, prefixes=prefixes)
        story.out += story.machine.submit(story.machine.now_s, job)
        took.append(story.finish(number).timings.prefill_s)
    first, second, again, other = took
    assert second < 0.8 * other, "two of three thousand tokens are new"
    assert again < 0.1 * other
    assert first < other
    assert story.machine.runners[SMALL].cached_tokens == 0
