"""Stories of one machine, in its own seconds."""

import msgspec
import pytest

from herd.simulator import hardware, profiles
from herd.simulator.hardware import NodeSpec, Step
from herd.simulator.physics import (
    BUSY,
    NEVER,
    Finished,
    Job,
    Loaded,
    Machine,
    Output,
    Refused,
    Tokens,
    Unloaded,
)

SMALL, MIDDLE, BIG, EMBED = (
    model.facts.name
    for model in (profiles.LLAMA_3B, profiles.QWEN_7B, profiles.LLAMA_70B, profiles.NOMIC)
)


class Story:
    """A machine and everything that happened to it."""

    def __init__(self, spec: NodeSpec) -> None:
        self.machine = Machine(spec)
        self.out: list[Output] = []
        self._ids = 0

    def submit(
        self,
        model: str,
        *,
        prompt: int = 10,
        output: int = 5,
        ctx: int | None = None,
        keep: float | None = None,
    ) -> int:
        self._ids += 1
        job = Job(
            id=self._ids,
            model=model,
            prompt_tokens=prompt,
            output_tokens=output,
            num_ctx=ctx,
            keep_alive_s=keep,
        )
        self.out += self.machine.submit(self.machine.now_s, job)
        return self._ids

    def load(self, model: str, **more: float | None) -> None:
        self.finish(self.submit(model, prompt=0, output=0, keep=more.get("keep")))

    def go(self, seconds: float) -> None:
        self.out += self.machine.advance(self.machine.now_s + seconds)

    def cancel(self, job: int) -> None:
        self.out += self.machine.cancel(self.machine.now_s, job)

    def unload(self, model: str) -> None:
        self.out += self.machine.unload(self.machine.now_s, model)

    def finish(self, job: int) -> Finished:
        """Let time pass until this job is done."""
        while True:
            for output in self.out:
                if isinstance(output, Finished) and output.job == job:
                    return output
            due = self.machine.next_event_at()
            assert due != NEVER, f"job {job} never ends"
            self.out += self.machine.advance(due)

    def tokens(self, job: int) -> list[Tokens]:
        return [out for out in self.out if isinstance(out, Tokens) and out.job == job]

    def loads(self) -> list[str]:
        return [out.model for out in self.out if isinstance(out, Loaded)]

    def unloads(self) -> list[tuple[str, str]]:
        return [(out.model, out.why) for out in self.out if isinstance(out, Unloaded)]

    def refusals(self) -> list[Refused]:
        return [out for out in self.out if isinstance(out, Refused)]

    def resident(self) -> list[str]:
        return [found.model.facts.name for found in self.machine.resident()]


def changed(spec: NodeSpec, **changes: float) -> NodeSpec:
    return msgspec.structs.replace(spec, **changes)


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


def small_memory(gib: float, **changes: float) -> NodeSpec:
    spec = profiles.tower()
    facts = msgspec.structs.replace(spec.facts, vram_bytes=int(gib * 1024**3))
    return changed(msgspec.structs.replace(spec, facts=facts), **changes)


def test_the_longest_unused_model_is_evicted() -> None:
    story = Story(small_memory(10))
    story.load(SMALL)
    story.load(EMBED)
    story.go(1)
    story.finish(story.submit(SMALL))
    story.load(MIDDLE)
    assert story.unloads() == [(EMBED, "evicted")]
    assert story.resident() == [MIDDLE, SMALL]


def test_as_many_are_evicted_as_needed() -> None:
    story = Story(small_memory(9))
    story.load(EMBED)
    story.go(1)
    story.load(SMALL)
    story.go(1)
    story.load(MIDDLE)
    assert story.unloads() == [(EMBED, "evicted"), (SMALL, "evicted")]
    story.load(EMBED)
    assert len(story.unloads()) == 2


def test_a_model_with_work_is_never_evicted_and_the_whole_line_waits() -> None:
    story = Story(small_memory(8))
    story.load(SMALL)
    long = story.submit(SMALL, output=500)
    other = story.submit(MIDDLE)
    behind = story.submit(EMBED, output=0)
    story.go(0.5)
    assert story.resident() == [SMALL]
    assert story.machine.waiting() == 2
    finished = story.finish(long)
    assert story.finish(other).at_s > finished.at_s
    assert story.finish(behind).timings.load_s > story.finish(other).timings.load_s
    assert story.unloads()[0] == (SMALL, "evicted")


def test_at_most_so_many_models_are_resident() -> None:
    spec = profiles.studio()
    facts = msgspec.structs.replace(spec.facts, max_loaded_models=2)
    story = Story(msgspec.structs.replace(spec, facts=facts))
    for model in (SMALL, MIDDLE, EMBED):
        story.load(model)
    assert story.unloads() == [(SMALL, "evicted")]
    unset = Story(profiles.studio())
    for model in (SMALL, MIDDLE, EMBED, BIG):
        unset.load(model)
    assert unset.unloads() == [(SMALL, "evicted")]


def test_a_model_that_does_not_fit_the_card_is_partly_in_system_memory() -> None:
    story = Story(small_memory(4))
    story.load(MIDDLE)
    (resident,) = story.machine.resident()
    assert resident.size_vram_bytes == 4 * 1024**3 < resident.size_bytes
    slow = story.finish(story.submit(MIDDLE, output=10)).timings.decode_s
    whole = Story(profiles.tower())
    assert slow > 3 * whole.finish(whole.submit(MIDDLE, output=10)).timings.decode_s


def test_a_model_that_fits_nowhere_is_an_error_and_the_line_goes_on() -> None:
    story = Story(small_memory(4, offload_bytes=0))
    big, small = story.submit(MIDDLE), story.submit(EMBED, output=0)
    (refused,) = story.refusals()
    assert (refused.job, refused.status) == (big, 500)
    assert refused.error.startswith("model requires more system memory (")
    story.finish(small)


def test_an_idle_model_leaves_after_five_minutes() -> None:
    story = Story(profiles.studio())
    story.load(SMALL)
    (resident,) = story.machine.resident()
    assert resident.expires_in_s == 300
    story.go(200)
    done = story.finish(story.submit(SMALL))
    assert story.machine.next_event_at() == done.at_s + 300
    story.go(299)
    assert story.resident() == [SMALL]
    assert story.machine.resident()[0].expires_in_s == pytest.approx(1)
    story.go(1.1)
    assert story.resident() == []
    assert story.unloads() == [(SMALL, "expired")]


def test_keep_alive_is_what_the_last_request_that_named_it_said() -> None:
    story = Story(profiles.studio())
    story.load(SMALL, keep=20)
    story.finish(story.submit(SMALL))
    assert story.machine.resident()[0].expires_in_s == 20
    story.finish(story.submit(SMALL, keep=-1))
    assert story.machine.resident()[0].expires_in_s == NEVER
    assert story.machine.next_event_at() == NEVER
    story.go(10_000)
    story.finish(story.submit(SMALL, keep=0))
    assert story.unloads() == [(SMALL, "asked")]
    story.finish(story.submit(SMALL))
    assert story.machine.resident()[0].expires_in_s == 300


def test_a_model_at_work_shows_its_whole_session_and_does_not_expire() -> None:
    story = Story(profiles.studio())
    job = story.submit(BIG, output=400, keep=1)
    story.go(20)
    assert story.machine.running() == 1
    assert story.machine.resident()[0].expires_in_s == 1
    story.finish(job)
    story.go(1)
    assert story.unloads() == [(BIG, "expired")]


def test_what_expires_last_is_listed_first() -> None:
    story = Story(profiles.studio())
    story.load(SMALL, keep=10)
    story.load(MIDDLE, keep=-1)
    story.load(EMBED, keep=100)
    assert story.resident() == [MIDDLE, EMBED, SMALL]


def test_unload_when_asked_but_not_under_work() -> None:
    story = Story(profiles.studio())
    story.load(SMALL)
    story.unload(SMALL)
    story.unload(MIDDLE)
    assert story.unloads() == [(SMALL, "asked")]
    job = story.submit(SMALL)
    story.unload(SMALL)
    assert story.resident() == [SMALL]
    story.finish(job)
    assert story.resident() == []


def test_another_context_is_a_reload_that_waits_for_the_work() -> None:
    story = Story(profiles.studio())
    working = story.submit(SMALL, output=200)
    story.go(1.6)
    wider = story.submit(SMALL, ctx=16_384)
    story.go(0.05)
    assert story.machine.resident()[0].context_tokens == 8192
    finished = story.finish(working)
    assert story.finish(wider).at_s > finished.at_s
    assert story.unloads() == [(SMALL, "reloaded")]
    assert story.machine.resident()[0].context_tokens == 16_384


def test_the_same_effective_context_is_no_reload() -> None:
    story = Story(profiles.studio())
    story.finish(story.submit(MIDDLE, ctx=50_000))
    story.finish(story.submit(MIDDLE, ctx=32_768))
    assert story.loads() == [MIDDLE]
    story.finish(story.submit(MIDDLE))
    assert story.loads() == [MIDDLE, MIDDLE]
    story.finish(story.submit(MIDDLE, ctx=8192))
    assert story.loads() == [MIDDLE, MIDDLE]


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
