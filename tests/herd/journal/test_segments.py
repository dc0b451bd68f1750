"""The writer: order, recovery, rotation, and what happens when the disk refuses."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from events import Recorded, decode, encode
from herd.journal import snapshots
from herd.journal.files import segment_path, segments
from herd.journal.reader import lines
from herd.journal.segments import Journal, JournalError, Limits
from tests.herd.journal.sample import SMALL, START_US, busy_log, snapshot


def opened(tmp_path: Path, limits: Limits = SMALL) -> Journal:
    return Journal.open(tmp_path / "journal", tmp_path / "snapshots", limits)


def started(tmp_path: Path, records: list[Recorded], limits: Limits = SMALL) -> Journal:
    journal = opened(tmp_path, limits)
    journal.rotate(records[0])
    journal.append(records[1:])
    return journal


def written(tmp_path: Path) -> list[Recorded]:
    return [decode(line) for line in lines(tmp_path / "journal")]


def refuse_after(monkeypatch: pytest.MonkeyPatch, allowed_bytes: int, code: int) -> None:
    """Let `os.write` write so many bytes more, in small pieces, then fail."""
    real, left = os.write, allowed_bytes

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal left
        if left == 0:
            raise OSError(code, os.strerror(code))
        count = real(descriptor, data[: min(left, 100)])
        left -= count
        return count

    monkeypatch.setattr(os, "write", write)


def test_a_fresh_log_begins_with_a_snapshot_and_goes_on_from_it(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    assert (journal.last_seq, journal.needs_rotation) == (0, True)
    with pytest.raises(JournalError, match="no segment yet"):
        journal.append(busy_log(2)[1:])
    records = busy_log(10)
    journal.rotate(records[0])
    journal.append(records[1:4])
    journal.append(records[4:])
    assert journal.last_seq == 10
    assert journal.last_recorded_at == START_US + 10_000
    assert not journal.needs_rotation
    assert written(tmp_path) == records
    assert segments(tmp_path / "journal")[0].path.name == "00000000000000000001.ndjson"


def test_a_gap_in_seq_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    records = busy_log(10)
    journal = started(tmp_path, records[:3])
    with pytest.raises(ValueError, match="seq 5 does not follow 3"):
        journal.append(records[4:])
    assert written(tmp_path) == records[:3]


def test_a_segment_begins_with_a_snapshot_and_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        opened(tmp_path).rotate(busy_log(2, 0)[1])


def test_recovery_drops_a_torn_line_for_good_and_continues(tmp_path: Path) -> None:
    records = busy_log(8)
    started(tmp_path, records[:5]).close()
    path = segment_path(tmp_path / "journal", 1)
    with path.open("ab") as file:
        file.write(encode(records[5])[:-20])
    journal = opened(tmp_path)
    assert journal.last_seq == 5
    assert journal.last_recorded_at == records[4].recorded_at
    journal.rotate(snapshot(6))
    assert written(tmp_path) == [*records[:5], snapshot(6)]


@pytest.mark.parametrize("junk", [b"\0" * 5000, b"\0" * 70_000 + b"\n", b'{"seq":9}\nx\n{"se'])
def test_recovery_drops_what_a_power_cut_left(tmp_path: Path, junk: bytes) -> None:
    records = busy_log(5)
    started(tmp_path, records).close()
    with segment_path(tmp_path / "journal", 1).open("ab") as file:
        file.write(junk)
    opened(tmp_path).rotate(snapshot(6))
    assert written(tmp_path) == [*records, snapshot(6)]
    kept = b"".join(p.read_bytes() for p in (tmp_path / "journal").glob("*.damaged-*"))
    assert kept == (junk if b"\n" in junk else b"")


def test_recovery_finds_a_last_line_longer_than_its_stride(tmp_path: Path) -> None:
    state = b'{"x":"' + b"y" * 300_000 + b'"}'
    started(tmp_path, [snapshot(1)]).close()
    journal = opened(tmp_path)
    journal.rotate(snapshot(2, state))
    journal.close()
    assert opened(tmp_path).last_seq == 2


def test_a_segment_without_a_whole_line_is_begun_again(tmp_path: Path) -> None:
    """And the segment before it, once closed, stays as it is."""
    records = busy_log(5)
    started(tmp_path, records).close()
    path = segment_path(tmp_path / "journal", 6)
    path.write_bytes(encode(snapshot(6))[:-1])
    journal = opened(tmp_path)
    assert journal.last_seq == 5
    assert journal.needs_rotation
    with pytest.raises(JournalError):
        journal.append(busy_log(2, 5)[1:])
    journal.rotate(snapshot(6))
    assert written(tmp_path) == [*records, snapshot(6)]
    assert path.read_bytes() == encode(snapshot(6))


@pytest.mark.parametrize("limits", [Limits(segment_events=6), Limits(segment_bytes=1000)])
def test_rotation_is_due_by_events_and_by_bytes(tmp_path: Path, limits: Limits) -> None:
    limits = Limits(limits.segment_bytes, limits.segment_events, 0)
    records = busy_log(6)
    journal = started(tmp_path, records[:2], limits)
    assert not journal.needs_rotation
    journal.append(records[2:])
    assert journal.needs_rotation
    journal.rotate(snapshot(7))
    assert not journal.needs_rotation
    assert [segment.first_seq for segment in segments(tmp_path / "journal")] == [1, 7]
    assert written(tmp_path) == [*records, snapshot(7)]


def test_rotation_is_due_when_a_segment_is_a_day_old(tmp_path: Path) -> None:
    day_us = 86_400_000_000
    first = snapshot(1)
    journal = started(tmp_path, [first])
    assert not journal.rotation_due(first.recorded_at + day_us - 1)
    assert journal.rotation_due(first.recorded_at + day_us)
    late = replace(busy_log(2)[1], recorded_at=first.recorded_at + day_us)
    assert not journal.needs_rotation
    journal.append([late])
    assert journal.needs_rotation
    journal.rotate(replace(snapshot(3), recorded_at=late.recorded_at))
    assert not journal.needs_rotation
    assert not journal.rotation_due(late.recorded_at + day_us - 1)


def test_a_start_begins_a_new_segment(tmp_path: Path) -> None:
    """A fact whose last decisions a kill cut off is then followed by a head."""
    started(tmp_path, busy_log(6)).close()
    assert opened(tmp_path).needs_rotation


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = busy_log(30)
    journal = started(tmp_path, records[:2])
    refuse_after(monkeypatch, 10**9, errno.EIO)
    journal.append(records[2:])
    assert written(tmp_path) == records


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = busy_log(10)
    journal = started(tmp_path, records[:2])
    two_and_a_half = len(encode(records[2]) + encode(records[3])) + 50
    with monkeypatch.context() as patched:
        refuse_after(patched, two_and_a_half, errno.EIO)
        with pytest.raises(JournalError, match="Input/output error"):
            journal.append(records[2:])
    assert (journal.last_seq, journal.recording) == (2, False)
    assert segment_path(tmp_path / "journal", 1).read_bytes().endswith(encode(records[1]))
    with pytest.raises(JournalError):
        journal.append(records[2:])
    assert written(tmp_path) == records[:2]


def test_a_journal_that_nobody_takes_in_grows_only_so_far(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so long before; what is written stays; and it goes on once there is room."""
    first, rest = busy_log(4), busy_log(3, 5)
    size_bytes = len(b"".join(encode(record) for record in first))
    journal = started(tmp_path, first, Limits(reserve_bytes=0, most_bytes=2 * size_bytes))
    journal.rotate(rest[0])
    assert "logd is far behind" in caplog.text
    journal.append(rest[1:])
    with segment_path(tmp_path / "journal", 5).open("ab") as file:
        file.write(b" " * size_bytes)
    with pytest.raises(JournalError, match="that logd has not taken in"):
        journal.rotate(snapshot(8))
    assert not journal.recording
    with pytest.raises(JournalError, match="that logd has not taken in"):
        journal.resume(snapshot(8))
    segment_path(tmp_path / "journal", 1).unlink()
    segment_path(tmp_path / "journal", 5).unlink()
    journal.resume(snapshot(8))
    assert journal.recording
    assert written(tmp_path) == [snapshot(8)]


def test_recording_resumes_in_a_new_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = busy_log(10)
    journal = started(tmp_path, records[:4])
    with monkeypatch.context() as patched:
        refuse_after(patched, 10, errno.EIO)
        with pytest.raises(JournalError):
            journal.append(records[4:])
        with pytest.raises(JournalError):
            journal.resume(snapshot(5))
    assert not journal.recording
    journal.resume(snapshot(5))
    assert journal.recording
    after = busy_log(4, 5)
    journal.append(after[1:])
    journal.close()
    assert written(tmp_path) == [*records[:4], snapshot(5), *after[1:]]
    assert [segment.first_seq for segment in segments(tmp_path / "journal")] == [1, 5]


def test_a_full_disk_takes_the_reserve_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reserve really occupies its room, is freed once, and comes back with the next segment."""
    records = busy_log(10)
    limits = Limits(reserve_bytes=256 << 10)
    journal = started(tmp_path, records[:2], limits)
    reserve = tmp_path / "journal" / "reserve"
    assert reserve.stat().st_blocks * 512 >= limits.reserve_bytes
    real = os.write

    def write(descriptor: int, data: memoryview) -> int:
        if reserve.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    journal.append(records[2:])
    assert journal.recording
    assert not journal.reserve_intact
    assert written(tmp_path) == records
    monkeypatch.undo()
    journal.rotate(snapshot(11))
    assert journal.reserve_intact


def test_recording_does_not_resume_without_room_for_the_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = busy_log(10)
    journal = started(tmp_path, records[:2])
    with monkeypatch.context() as patched:
        refuse_after(patched, 0, errno.ENOSPC)
        with pytest.raises(JournalError, match="No space left"):
            journal.append(records[2:])
    assert not journal.reserve_intact

    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", no_room)
        with pytest.raises(JournalError, match="No space left"):
            journal.resume(snapshot(3))
    assert [segment.first_seq for segment in segments(tmp_path / "journal")] == [1]
    journal.resume(snapshot(3))
    assert written(tmp_path) == [*records[:2], snapshot(3)]


def test_a_limit_of_the_system_leaves_nothing_of_the_append(tmp_path: Path) -> None:
    """A real refusal of the kernel in the middle of a line, not an invented one."""
    code = """
import resource, sys
from pathlib import Path
from herd.journal.segments import JournalError
from tests.herd.journal.sample import busy_log, write_segment
from tests.herd.journal.test_segments import snapshot
root = Path(sys.argv[1])
journal = write_segment(root / "journal", busy_log(2))
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
try:
    journal.append([r for r in busy_log(2000)[2:]])
except JournalError:
    print(journal.last_seq)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2"]
    assert written(tmp_path) == busy_log(2)


def test_sync_covers_the_segment_left_behind_and_the_open_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = busy_log(6)
    journal = started(tmp_path, records[:3])
    journal.sync()
    assert not journal.unsynced
    journal.append(records[3:])
    journal.rotate(snapshot(7))
    assert journal.unsynced
    synced: list[int] = []
    real = os.fdatasync

    def fdatasync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    journal.sync()
    assert synced == [s.path.stat().st_ino for s in segments(tmp_path / "journal")]
    assert not journal.unsynced


def test_a_failed_sync_stops_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = started(tmp_path, busy_log(3))

    def broken(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", broken)
        with pytest.raises(JournalError):
            journal.sync()
    assert not journal.recording
    with pytest.raises(JournalError):
        journal.append(busy_log(4)[3:])
    journal.resume(snapshot(4))
    assert journal.recording


def test_seq_never_falls_behind_a_snapshot(tmp_path: Path) -> None:
    """A log that lost its end must not use the same `seq` twice."""
    started(tmp_path, busy_log(5)).close()
    state = snapshots.Snapshot(9, START_US, 1, "0.1.0", msgspec.Raw(b"{}"))
    snapshots.write(tmp_path / "snapshots", state)
    journal = opened(tmp_path)
    assert (journal.last_seq, journal.last_recorded_at) == (9, START_US)
    assert journal.needs_rotation
    journal.rotate(snapshot(10))
    assert [record.seq for record in written(tmp_path)] == [1, 2, 3, 4, 5, 10]


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "empty.ndjson").touch()
    (tmp_path / "journal" / "notes.txt").write_text("mine")
    started(tmp_path, busy_log(3)).close()
    assert opened(tmp_path).last_seq == 3
    assert (tmp_path / "journal" / "empty.ndjson").exists()
