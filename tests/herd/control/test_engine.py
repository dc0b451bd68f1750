"""The engine on a real journal: append before act, and a restart that knows everything."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.core.commands import Grant
from actors.core.state import State, dump
from events import (
    ControlStarted,
    Event,
    RecordingResumed,
    RecoveryEnded,
    RequestReceived,
    StateSnapshotted,
    TimerFired,
)
from herd.control import engine as engine_module
from herd.control.restore import restore
from herd.journal import snapshots
from herd.journal.files import segments
from herd.journal.segments import Limits
from herd.replay.check import check
from tests.actors.cast import attempt_failed, completed, node, received
from tests.conftest import Run
from tests.herd.control.rig import SRC, START, Rig, until


def requests(count: int, first: int = 0) -> list[Event]:
    return [received(f"r{number}") for number in range(first, first + count)]


def breaks(monkeypatch: pytest.MonkeyPatch, root: Path) -> Callable[[], None]:
    """Let no file below `root` be written; the answer mends it."""
    real, broken = os.write, [True]

    def write(descriptor: int, data: Any) -> int:
        if broken and str(root) in str(Path(f"/proc/self/fd/{descriptor}").resolve()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    return broken.clear


def test_everything_is_in_the_journal_before_anybody_hears_of_it(
    on_each_loop: Run[Any], tmp_path: Path
) -> None:
    async def play() -> None:
        rig = Rig(tmp_path)
        await rig.play(*START)
        await rig.tell(*requests(3), completed("r0", "studio", "1.1"))
        grants = [send.message for send, _ in rig.link.sent if isinstance(send.message, Grant)]
        assert [grant.lease for grant in grants] == ["1.1", "1.2"]
        dispatches = [r.seq for r in rig.log() if type(r.event).__name__ == "RequestDispatched"]
        for (_, written), seq in zip(rig.link.sent, dispatches, strict=True):
            assert written >= seq
        last_n, written = rig.link.acknowledged[-1]
        assert last_n == 4
        (end,) = [r.seq for r in rig.log() if r.event == completed("r0", "studio", "1.1")]
        assert written >= end
        assert rig.observed == rig.log()[1:], "all but the head"
        rig.engine.finish()

    on_each_loop(play())


def test_what_changes_nothing_is_acknowledged_and_not_written(
    on_each_loop: Run[Any], tmp_path: Path
) -> None:
    async def play() -> None:
        rig = Rig(tmp_path)
        await rig.play(*START)
        before = len(rig.log())
        await rig.tell(TimerFired(), node("studio", slots=1)[0])
        assert len(rig.log()) == before
        assert rig.link.acknowledged[-1][0] == 2
        assert rig.link.lost[-1] == (True, 0)
        rig.engine.finish()

    on_each_loop(play())


def test_a_restart_is_the_live_state(on_each_loop: Run[Any], tmp_path: Path) -> None:
    async def play() -> None:
        rig = Rig(tmp_path)
        await rig.play(*START)
        await rig.tell(*requests(4), attempt_failed("r0", "studio", "1.1"))
        live = dump(rig.state)
        assert dump(restore(rig.directory)) == live, "also after a kill"
        rig.engine.finish()
        assert dump(restore(rig.directory)) == live
        again = Rig(tmp_path)
        assert len(segments(rig.directory.journal)) == 2, "a start begins with the state"
        assert again.state.fronts[SRC].last_n == 5
        await again.play(ControlStarted(epoch=2, version="test"), RecoveryEnded())
        again.engine.finish()
        report = check(again.log())
        assert (report.divergences, report.skipped, report.gaps) == ([], 0, [])
        assert report.snapshots == 1
        times = [record.recorded_at for record in again.log()]
        assert times == sorted(times)

    on_each_loop(play())


def test_facts_that_are_left_at_the_end_are_written(on_each_loop: Run[Any], tmp_path: Path) -> None:
    async def play() -> None:
        rig = Rig(tmp_path)
        rig.engine.put(ControlStarted(epoch=1, version="test"))
        rig.engine.finish()
        rig.engine.put(ControlStarted(epoch=2, version="test"))
        await asyncio.sleep(0.01)
        assert [record.event for record in rig.log()][1:] == [
            ControlStarted(epoch=1, version="test")
        ]
        assert len(segments(rig.directory.journal)) == 1

    on_each_loop(play())


def test_many_facts_take_many_ticks_and_let_others_run(
    on_each_loop: Run[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "MOST_FACTS", 10)

    async def play() -> None:
        rig = Rig(tmp_path)
        for fact in (*START, *requests(100)):
            rig.engine.put(fact)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert 0 < len(rig.log()) < 100, "somebody else had a turn"
        await rig.rest()
        told = [r.event.request_id for r in rig.log() if isinstance(r.event, RequestReceived)]
        assert told == [f"r{number}" for number in range(100)]
        rig.engine.finish()

    on_each_loop(play())


def test_each_segment_opens_with_the_state(on_each_loop: Run[Any], tmp_path: Path) -> None:
    async def play() -> None:
        rig = Rig(tmp_path, Limits(segment_events=20, reserve_bytes=0))
        await rig.play(*START)
        for number in range(12):
            await rig.tell(received(f"r{number}"))
        heads = [record for record in rig.log() if isinstance(record.event, StateSnapshotted)]
        assert [head.seq for head in heads] == [
            segment.first_seq for segment in segments(rig.directory.journal)
        ]
        assert len(heads) == 2
        report = check(rig.log())
        assert (report.snapshots, report.divergences) == (1, [])
        assert dump(restore(rig.directory)) == dump(rig.state)
        rig.engine.finish()
        assert [r.seq for r in rig.log()] == list(range(1, rig.state.seq + 1))

    on_each_loop(play())


def test_a_start_that_wrote_no_more_than_its_head_replays(
    on_each_loop: Run[Any], tmp_path: Path
) -> None:
    async def story() -> None:
        for _ in range(2):
            Rig(tmp_path).engine.finish()
        rig = Rig(tmp_path)
        rig.engine.finish()
        report = check(rig.log())
        assert (report.snapshots, report.divergences) == (2, [])

    on_each_loop(story())


def test_a_quiet_herd_begins_a_segment_a_day(on_each_loop: Run[Any], tmp_path: Path) -> None:
    async def story() -> None:
        rig = Rig(tmp_path, Limits(reserve_bytes=0, segment_age_s=0.02))
        await rig.play(*START)
        await asyncio.sleep(0.03)
        await rig.play(TimerFired())
        first, *later = segments(rig.directory.journal)
        assert first.first_seq == 1
        assert later
        rig.engine.finish()

    on_each_loop(story())


def test_a_snapshot_beside_the_journal_shortens_a_restart(
    on_each_loop: Run[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "SNAPSHOT_EVERY", 5)
    monkeypatch.setattr(engine_module, "SYNC_EVERY_S", 0.001)

    async def play() -> None:
        rig = Rig(tmp_path)
        await rig.play(*START)
        await rig.tell(*requests(3))
        await until(lambda: snapshots.newest(rig.directory.snapshots))
        side = snapshots.newest(rig.directory.snapshots)
        assert side is not None
        assert side.seq > 1
        assert side.seq <= rig.state.seq
        assert dump(restore(rig.directory)) == dump(rig.state)
        rig.engine.finish()

    on_each_loop(play())


def unrecorded(rig: Rig) -> int:
    return sum(lost for recorded, lost in rig.link.lost if not recorded)


def test_herd_serves_on_while_the_journal_cannot_be_written(
    on_each_loop: Run[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def play() -> None:
        rig = Rig(tmp_path)
        await rig.play(*START)
        written = rig.log()
        mend = breaks(monkeypatch, tmp_path)
        await rig.tell(*requests(2))
        assert not rig.engine.recording
        assert [send.message.request_id for send, _ in rig.link.sent] == ["r0"]
        assert rig.link.acknowledged[-1][0] == 2
        assert unrecorded(rig) == 2, "said at once, or one after the other"
        await rig.tell(completed("r0", "studio", "1.1"), TimerFired())
        assert unrecorded(rig) == 3
        assert [send.message.request_id for send, _ in rig.link.sent] == ["r0", "r1"]
        assert rig.log() == written
        mend()
        rig.engine.finish()

    on_each_loop(play())
    assert "serving unrecorded" in caplog.text


def test_recording_resumes_with_the_whole_state_and_says_what_was_lost(
    on_each_loop: Run[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "RESUME_EVERY_S", 0.01)

    async def play() -> None:
        rig = Rig(tmp_path)
        await rig.play(*START)
        last = rig.state.seq
        mend = breaks(monkeypatch, tmp_path)
        await rig.tell(*requests(2), completed("r0", "studio", "1.1"))
        lost = rig.state.seq - last
        mend()
        await until(lambda: rig.engine.recording)
        await rig.tell(received("r9"))
        assert dump(restore(rig.directory)) == dump(rig.state)
        resumed = [r.event for r in rig.log() if isinstance(r.event, RecordingResumed)]
        assert [(each.lost_from, each.lost_events) for each in resumed] == [(last + 1, lost)]
        report = check(rig.log())
        assert report.gaps == [(last + 1, last + lost)]
        assert report.divergences == []
        rig.engine.finish()

    on_each_loop(play())


def test_a_fact_that_cannot_be_judged_is_recorded_as_a_failure(
    on_each_loop: Run[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_state: State, _fact: Event, _now_us: int) -> bool:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(engine_module, "matters", broken)

    async def play() -> None:
        rig = Rig(tmp_path)
        await rig.play(TimerFired())
        assert [record.event for record in rig.log()][1:] == [TimerFired()]
        rig.engine.finish()

    on_each_loop(play())


def test_control_goes_no_further_than_its_journal(on_each_loop: Run[Any], tmp_path: Path) -> None:
    """What cannot be written was folded already; only a new start makes state and log one again."""

    async def play() -> None:
        rig = Rig(tmp_path)
        abandoned: list[int] = []
        rig.engine.abandon = lambda: abandoned.append(1)
        await rig.play(*START)
        rig.link.sent.clear()
        rig.engine.put(received("r0", client="\ud800"), SRC, 9)
        await until(lambda: abandoned)
        assert rig.link.sent == []
        assert dump(restore(rig.directory)) != dump(rig.state)
        rig.engine.finish()

    on_each_loop(play())
