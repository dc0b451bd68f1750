"""The journal's writer: one process appends, in one order, and knows when it cannot.

- An append is one write; it returns after the write, so that a kill of any process loses nothing.
  `sync()` makes it safe against a power cut too.
- A short write is continued. On an error the file is cut back to where the append began, for
  nothing was done yet on the strength of it, and recording is off until `resume()`.
- On a full disk the reserve file is freed first, once, and the write goes on.
- Every segment begins with a `StateSnapshotted` record: whoever sees `rotation_due` brings one
  to `rotate()`. So does a fresh log, with the empty state.
- A segment is never written to again once a newer one has existed, or its process has ended: a
  start begins a new one, so that a fact whose last decisions a kill cut off is followed by a head.
"""

import errno
import logging
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from events import Recorded, StateSnapshotted, encode
from herd.errors import HerdError
from herd.journal import snapshots
from herd.journal.disk import BINARY, allocate, sync_data, sync_directory
from herd.journal.files import RESERVE, segment_path, segments
from herd.journal.recovery import Place, repair

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_log = logging.getLogger(__name__)


class Limits(msgspec.Struct, frozen=True):
    """How large things grow."""

    segment_bytes: int = 64 << 20
    """A new segment is due from here,"""
    segment_events: int = 250_000
    """or from here."""
    reserve_bytes: int = 64 << 20
    """Room kept for the time when the disk is full; 0 keeps none."""
    segment_age_s: float = 24 * 3600.0
    """A new segment is due from here, too: only closed ones are ever sealed, and dropped."""
    most_bytes: int = 0
    """All segments together; 0 is no bound. What logd takes in leaves again, so that there can be
    as much only if it takes in nothing."""


DEFAULT_LIMITS = Limits()


class JournalError(HerdError):
    """The journal could not be written."""


class Journal:
    """The open journal of one control process. Only `sync` may be called on another thread."""

    def __init__(self, directory: Path, last: Place, limits: Limits) -> None:
        """Begin with no segment open; use `Journal.open`."""
        # For life.
        self._directory = directory
        self._limits = limits
        self._reserve = directory / RESERVE
        # The log so far.
        self._last = last
        self._error: JournalError | None = None
        # The open segment.
        self._descriptor = -1
        self._first_seq = 0
        self._began_us = 0
        self._size_bytes = 0
        # What a power cut could still take.
        self._bookkeeping = threading.Lock()
        self._syncing = threading.Lock()
        self._unsynced = False
        self._new_name = False
        self._retired: list[int] = []

    @classmethod
    def open(
        cls, directory: Path, snapshots_dir: Path, limits: Limits = DEFAULT_LIMITS
    ) -> "Journal":
        """Recover the log on disk, to continue it."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        last = Place(0, 0)
        for segment in reversed(segments(directory)):
            place = repair(segment.path)
            if place is not None:
                last = place
                break
            segment.path.unlink()  # its process ended before the first line was whole
        snapshot = snapshots.newest(snapshots_dir)
        if snapshot is not None and snapshot.seq > last.seq:
            _log.error("the journal ends at %d, the snapshot at %d", last.seq, snapshot.seq)
            last = Place(snapshot.seq, snapshot.recorded_at)
        journal = cls(directory, last, limits)
        journal._keep_reserve()
        return journal

    @property
    def last_seq(self) -> int:
        """`seq` of the last record; 0 in a fresh log."""
        return self._last.seq

    @property
    def last_recorded_at(self) -> int:
        """When the last record was made, in microseconds since the epoch; 0 in a fresh log."""
        return self._last.recorded_at

    @property
    def recording(self) -> bool:
        """False from a failed write until `resume()`."""
        return self._error is None

    @property
    def error(self) -> JournalError | None:
        """Why it does not record."""
        return self._error

    @property
    def reserve_intact(self) -> bool:
        """False once the reserve was freed: the disk is all but full."""
        return self._limits.reserve_bytes == 0 or self._reserve.exists()

    @property
    def needs_rotation(self) -> bool:
        """A new segment was due at the last record."""
        return self.rotation_due(self.last_recorded_at)

    def rotation_due(self, now_us: int) -> bool:
        """Return whether there is none open, or it is full or old. Never while not recording."""
        return self._error is None and (
            self._descriptor < 0
            or self._size_bytes >= self._limits.segment_bytes
            or self._last.seq - self._first_seq + 1 >= self._limits.segment_events
            or now_us - self._began_us >= self._limits.segment_age_s * 1_000_000
        )

    @property
    def unsynced(self) -> bool:
        """Something was appended since the last `sync()` began."""
        return self._unsynced

    def append(self, records: Sequence[Recorded]) -> None:
        """Write the records, which follow the last one without a gap, and return once written."""
        if not records:
            return
        self._check_recording()
        if self._descriptor < 0:
            raise JournalError("the journal has no segment yet", "rotate first")
        self._check_follows(records[0])
        data = b"".join([encode(record) for record in records])
        try:
            self._write(self._descriptor, data, self._size_bytes)
        except JournalError as error:
            self._stop_recording(error)
            raise
        self._unsynced = True
        self._size_bytes += len(data)
        self._note(records[-1])

    def rotate(self, first: Recorded) -> None:
        """Begin a new segment with a record of the whole state."""
        self._check_recording()
        self._check_follows(first)
        try:
            self._begin(first)
        except JournalError as error:
            self._stop_recording(error)
            raise

    def resume(self, first: Recorded) -> None:
        """Record again, in a new segment; raises `JournalError` while the disk still refuses.

        What was not recorded has used up numbers, so the first one may lie further on. The
        reserve comes back first: without that much room recording would soon fail again.
        """
        if self._limits.reserve_bytes:
            try:
                allocate(self._reserve, self._limits.reserve_bytes)
            except OSError as error:
                raise _unwritable(self._directory, error) from error
        if first.seq <= self._last.seq:
            raise ValueError(f"seq {first.seq} is in the log already")
        self._begin(first)
        self._error = None

    def sync(self) -> None:
        """Make what was appended safe against a power cut. May run on another thread."""
        with self._syncing:
            with self._bookkeeping:
                retired, self._retired = self._retired, []
                new_name, self._new_name = self._new_name, False
                current = self._descriptor
                self._unsynced = False
            try:
                for descriptor in retired:
                    _sync_and_close(descriptor)
                if current >= 0:
                    sync_data(current)
                if new_name:
                    sync_directory(self._directory)
            except OSError as error:
                self._error = _unwritable(self._directory, error)
                raise self._error from error

    def close(self) -> None:
        """Sync and let go of the files."""
        with self._bookkeeping:
            self._retire()
        self.sync()

    def _begin(self, first: Recorded) -> None:
        if not isinstance(first.event, StateSnapshotted):
            raise TypeError("a segment begins with StateSnapshotted")
        self._check_room()
        path = segment_path(self._directory, first.seq)
        line = encode(first)
        try:
            descriptor = _create(path)
        except OSError as error:
            raise _unwritable(self._directory, error) from error
        try:
            self._write(descriptor, line, 0)
        except JournalError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        with self._bookkeeping:
            self._retire()
            self._descriptor = descriptor
            self._unsynced = self._new_name = True
        self._first_seq = first.seq
        self._began_us = first.recorded_at
        self._size_bytes = len(line)
        self._note(first)
        self._keep_reserve()

    def _write(self, descriptor: int, data: bytes, at: int) -> None:
        """Write all at the end, which is at `at`; on failure cut back to there."""
        view = memoryview(data)
        done = 0
        while done < len(data):
            try:
                done += os.write(descriptor, view[done:])
            except OSError as error:
                if error.errno in _FULL and self._free_reserve():
                    continue
                _cut(descriptor, at)
                raise _unwritable(self._directory, error) from error

    def _check_recording(self) -> None:
        if self._error is not None:
            raise JournalError(self._error.what, self._error.next_step)

    def _check_room(self) -> None:
        if not self._limits.most_bytes:
            return
        size_bytes = _size_bytes(self._directory)
        if size_bytes >= self._limits.most_bytes:
            raise JournalError(
                f"the journal holds {size_bytes / 1e6:,.0f} MB that logd has not taken in",
                "see in the log file why logd does not; recording resumes by itself once it has",
            )
        if size_bytes >= self._limits.most_bytes // 2:
            _log.warning(
                "logd is far behind: the journal holds %.0f MB, and may hold %.0f",
                size_bytes / 1e6,
                self._limits.most_bytes / 1e6,
            )

    def _check_follows(self, record: Recorded) -> None:
        if record.seq != self._last.seq + 1:
            raise ValueError(f"seq {record.seq} does not follow {self._last.seq}")

    def _note(self, record: Recorded) -> None:
        self._last = Place(record.seq, record.recorded_at)

    def _stop_recording(self, error: JournalError) -> None:
        with self._bookkeeping:
            self._retire()
        self._error = error

    def _retire(self) -> None:
        """Leave the open segment for good; `sync` closes it. Called with the bookkeeping held."""
        if self._descriptor >= 0:
            self._retired.append(self._descriptor)
            self._descriptor = -1

    def _free_reserve(self) -> bool:
        try:
            self._reserve.unlink()
        except OSError:
            return False
        _log.critical("the disk is full: freed the journal's reserve")
        return True

    def _keep_reserve(self) -> None:
        if not self._limits.reserve_bytes:
            return
        try:
            allocate(self._reserve, self._limits.reserve_bytes)
        except OSError as error:
            _log.warning("no room for the journal's reserve: %s", error)


def _size_bytes(directory: Path) -> int:
    size_bytes = 0
    for segment in segments(directory):
        with suppress(FileNotFoundError):  # logd just took it away
            size_bytes += segment.path.stat().st_size
    return size_bytes


def _create(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | BINARY
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        if repair(path) is not None:
            raise
        path.unlink()  # left by a rotation that failed
        return os.open(path, flags, 0o600)


def _cut(descriptor: int, size_bytes: int) -> None:
    try:
        os.ftruncate(descriptor, size_bytes)
    except OSError:  # readers skip a torn line, and nothing is ever written behind it
        _log.exception("cannot cut a torn line off the journal")


def _sync_and_close(descriptor: int) -> None:
    try:
        sync_data(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(directory: Path, error: OSError) -> JournalError:
    return JournalError(
        f"cannot write the journal in {directory}: {error.strerror or error}",
        "free some space on that disk, or make it writable; recording then resumes by itself",
    )
