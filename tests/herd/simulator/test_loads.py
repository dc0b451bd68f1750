"""What is resident: loads, evictions, keep_alive, reloads."""

import msgspec
import pytest

from herd.simulator import profiles
from herd.simulator.physics import (
    NEVER,
)
from tests.herd.simulator.story import BIG, EMBED, MIDDLE, SMALL, Story, small_memory


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
