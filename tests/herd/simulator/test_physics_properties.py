"""Whatever is asked of a machine, in whatever order: these hold."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from herd.simulator import profiles
from herd.simulator.hardware import NodeSpec
from herd.simulator.physics import (
    NEVER,
    Finished,
    Job,
    Machine,
    Output,
    Refused,
    Tokens,
    Unloaded,
)

MODELS = [model.facts.name for model in profiles.tower().models]


class Submit(msgspec.Struct, frozen=True):
    kind: Literal["submit"]
    model: str
    prompt: int
    output: int
    ctx: int | None
    keep: float | None


class Cancel(msgspec.Struct, frozen=True):
    kind: Literal["cancel"]
    job: int


class Unload(msgspec.Struct, frozen=True):
    kind: Literal["unload"]
    model: str


class Wait(msgspec.Struct, frozen=True):
    kind: Literal["wait"]
    seconds: float


Act: TypeAlias = Submit | Cancel | Unload | Wait

ACTS = st.one_of(
    st.builds(
        Submit,
        kind=st.just("submit"),
        model=st.sampled_from(MODELS),
        prompt=st.sampled_from([0, 1, 300, 2000]),
        output=st.integers(0, 40),
        ctx=st.sampled_from([None, 2048, 8192]),
        keep=st.sampled_from([None, 0, 0.5, -1]),
    ),
    st.builds(Cancel, kind=st.just("cancel"), job=st.integers(1, 30)),
    st.builds(Unload, kind=st.just("unload"), model=st.sampled_from(MODELS)),
    st.builds(
        Wait, kind=st.just("wait"), seconds=st.sampled_from([0.001, 0.02, 0.3, 1.5, 4.0, 400.0])
    ),
)
STORIES = st.lists(ACTS, max_size=30)


def spec() -> NodeSpec:
    tower = profiles.tower()
    facts = msgspec.structs.replace(tower.facts, vram_bytes=8 * 1024**3)
    return msgspec.structs.replace(tower, facts=facts, max_queue=4)


def play(acts: Sequence[Act], *, parts: int = 1) -> tuple[Machine, list[Output], list[Job]]:
    """Do the acts, each wait in so many parts; check what must hold after each."""
    machine = Machine(spec())
    out: list[Output] = []
    jobs: list[Job] = []
    now_s = 0.0
    for act in acts:
        match act:
            case Submit():
                job = Job(
                    id=len(jobs) + 1,
                    model=act.model,
                    prompt_tokens=act.prompt,
                    output_tokens=act.output if act.prompt else 0,
                    num_ctx=act.ctx,
                    keep_alive_s=act.keep,
                )
                jobs.append(job)
                out += machine.submit(now_s, job)
            case Cancel():
                out += machine.cancel(now_s, act.job)
            case Unload():
                out += machine.unload(now_s, act.model)
            case Wait():
                for part in range(1, parts + 1):
                    out += machine.advance(now_s + act.seconds * part / parts)
                now_s += act.seconds
                out += machine.advance(now_s)
        check(machine)
    return machine, out, jobs


def check(machine: Machine) -> None:
    assert machine.vram_used_bytes() <= machine.spec.facts.vram_bytes
    assert machine.next_event_at() > machine.now_s
    for runner in machine.runners.values():
        assert len(runner.active) <= runner.slots
        assert not (runner.waiting and len(runner.active) < runner.slots and not runner.loading)
        assert runner.busy == bool(runner.active)
        assert not (runner.in_use and runner.expires_at_s != NEVER)
        cached = sum(
            seq.job.prompt_tokens - seq.prompt_left + seq.made for seq in runner.active.values()
        )
        assert runner.cached_tokens == cached
    if machine.pending and machine.loading is None:
        assert any(runner.in_use for runner in machine.runners.values())


def run_out(machine: Machine) -> list[Output]:
    """Let everything that was begun come to its end."""
    out: list[Output] = []
    while machine.running() or machine.waiting():
        out += machine.advance(machine.next_event_at())
        check(machine)
    return out


@given(STORIES)
def test_every_job_ends_exactly_once_with_all_its_tokens(acts: list[Act]) -> None:
    machine, out, jobs = play(acts)
    out += run_out(machine)
    given_up = {act.job for act in acts if isinstance(act, Cancel)}
    for job in jobs:
        ends = [o for o in out if isinstance(o, Finished | Refused) and o.job == job.id]
        assert len(ends) == 1 or (not ends and job.id in given_up)
        made = sum(o.count for o in out if isinstance(o, Tokens) and o.job == job.id)
        if ends and isinstance(ends[0], Finished):
            assert made == job.output_tokens
            timings = ends[0].timings
            assert min(timings.load_s, timings.slot_s, timings.prefill_s, timings.decode_s) >= 0


@given(STORIES)
def test_outputs_come_in_order_of_time_and_no_token_after_the_end(acts: list[Act]) -> None:
    machine, out, _ = play(acts)
    out += run_out(machine)
    times = [o.at_s for o in out]
    assert times == sorted(times)
    ended: set[int] = set()
    for o in out:
        if isinstance(o, Tokens):
            assert o.job not in ended
        if isinstance(o, Finished | Refused):
            ended.add(o.job)


@given(STORIES, st.integers(2, 5))
def test_it_does_not_matter_how_often_one_looks(acts: list[Act], parts: int) -> None:
    assert play(acts)[1] == play(acts, parts=parts)[1]


@given(STORIES)
def test_a_cancelled_job_makes_no_further_token(acts: list[Act]) -> None:
    machine, out, jobs = play(acts)
    living = [job.id for job in jobs if not any(_ends(o, job.id) for o in out)]
    for job in living:
        out += machine.cancel(machine.now_s, job)
        check(machine)
    later = run_out(machine)
    assert not [o for o in later if isinstance(o, Tokens | Finished)]
    assert machine.running() == machine.waiting() == 0


@given(STORIES)
def test_what_is_left_alone_expires_unless_it_is_kept_for_ever(acts: list[Act]) -> None:
    machine, _, _ = play(acts)
    run_out(machine)
    kept = {found.model.facts.name for found in machine.resident() if found.expires_in_s == NEVER}
    left = machine.advance(machine.now_s + 301)
    assert {o.why for o in left if isinstance(o, Unloaded)} <= {"expired"}
    assert {found.model.facts.name for found in machine.resident()} == kept


def _ends(output: Output, job: int) -> bool:
    return isinstance(output, Finished | Refused) and output.job == job
