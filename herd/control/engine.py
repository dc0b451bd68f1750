"""The engine: facts in, run to completion, one write, and only then what follows from it.

One tick takes at most `MOST_FACTS` facts or `MOST_S` seconds, then everybody else on the loop has
a turn. While the journal cannot be written, herd serves on, unrecorded, and says so.
"""

import asyncio
import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial
from time import perf_counter

import msgspec

from actors.core.commands import Send
from actors.core.relevance import matters
from actors.core.state import SCHEMA, State, dump
from actors.run_queue import fold_envelope, run
from actors.stage import Stage
from events import CONTROL, Event, Recorded, RecordingResumed, Source
from herd.clock import US, Clock
from herd.control.restore import head_of_segment
from herd.journal import snapshots
from herd.journal.segments import Journal, JournalError
from herd.link.server import LinkServer
from herd.paths import DataDir
from herd.version import version

MOST_FACTS = 256
MOST_S = 0.002
SYNC_EVERY_S = 0.05
SNAPSHOT_EVERY = 20_000
RESUME_EVERY_S = 1.0
ABANDONED = 70
"""The exit code of a control that must start again."""

_log = logging.getLogger("herd.control")

Observer = Callable[[Recorded], None]


class Engine:
    """The run queue of one control process, on the loop it was made on."""

    def __init__(self, state: State, journal: Journal, clock: Clock, directory: DataDir) -> None:
        """Run on a state that is the fold of the journal."""
        self.state = state
        self.link: LinkServer | None = None
        self.abandon: Callable[[], None] = partial(os._exit, ABANDONED)
        """Called where only a new start helps: as if it had been killed, which nobody notices."""
        self._journal = journal
        self._clock = clock
        self._directory = directory
        self._loop = asyncio.get_running_loop()
        self._observers: dict[type[Event], list[Observer]] = {}
        self._stage = Stage(state, self._wake)
        self._facts: deque[tuple[Event, Source, int]] = deque()
        self._scheduled = False
        self._finished = False
        self._syncing = False
        self._snapshot_seq = state.seq
        self._lost_from = 0
        self._lost_events = 0

    @property
    def recording(self) -> bool:
        """Whether what happens is written down."""
        return self._journal.recording

    @property
    def busy(self) -> bool:
        """Whether facts wait to be handled."""
        return bool(self._facts)

    def observe(self, observer: Observer, kinds: Iterable[type[Event]]) -> None:
        """Tell somebody each record of these kinds, after it was written."""
        for kind in kinds:
            self._observers.setdefault(kind, []).append(observer)

    def start(self) -> None:
        """Begin a segment if there is none, and keep the journal safe in the background."""
        self._rotate_if_due()
        self._loop.call_later(SYNC_EVERY_S, self._sync_soon)
        self._loop.call_later(RESUME_EVERY_S, self._resume_if_possible)

    def put(self, event: Event, src: Source = CONTROL, n: int = 0) -> None:
        """Take a fact; on the loop."""
        if self._finished:
            return
        self._facts.append((event, src, n))
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._tick)

    def finish(self) -> None:
        """Handle what is left, write it down, stop the actors."""
        while self._facts:
            self._tick()
        self._finished = True
        self._stage.stop()
        self._journal.close()

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._stage.drain)

    def _tick(self) -> None:
        self._scheduled = False
        if self._finished:
            return
        try:
            self._handle()
        except Exception:  # noqa: BLE001 (state may be ahead of the journal: nothing may follow)
            _log.critical("control cannot go on, and starts again", exc_info=True)
            self.abandon()
        if self._facts and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._tick)

    def _handle(self) -> None:
        self._follow_the_wall_clock()
        self._rotate_if_due()
        ends = perf_counter() + MOST_S
        records: list[Recorded] = []
        sends: list[Send] = []
        heard: dict[Source, int] = {}
        for _ in range(min(MOST_FACTS, len(self._facts))):
            event, src, n = self._facts.popleft()
            if n:
                heard[src] = n
            now_us = self._clock.now_us()
            if self._matters(event, now_us):
                outcome = run(self.state, self._stage.deliver, event, now_us, (src, n))
                records += outcome.records
                sends += outcome.sends
            if perf_counter() > ends:
                break
        self._write(records)
        if self.link is not None:
            self.link.send(sends)
            if self.recording:
                self.link.acknowledge(heard)
            else:
                lost = Counter(record.src for record in records if record.n)
                self.link.acknowledge(heard, recorded=False, lost=lost)
        for record in records:
            for observe in self._observers.get(type(record.event), ()):
                observe(record)

    def _matters(self, event: Event, now_us: int) -> bool:
        try:
            return matters(self.state, event, now_us)
        except Exception:  # noqa: BLE001 (a raise in the core is an outcome, here too)
            _log.exception("cannot tell whether %s matters", type(event).__name__)
            return True  # the actors then say what they cannot do with it

    def _write(self, records: list[Recorded]) -> None:
        if not self._journal.recording:
            self._lose(records)
            return
        try:
            self._journal.append(records)
        except JournalError as error:
            self._stopped_recording(error, records)

    def _stopped_recording(self, error: JournalError, lost: list[Recorded]) -> None:
        self._lose(lost)
        _log.critical("serving unrecorded: %s; %s", error.what, error.next_step)

    def _lose(self, records: list[Recorded]) -> None:
        if not self._lost_from:
            self._lost_from = records[0].seq if records else self.state.seq + 1
        self._lost_events += len(records)

    def _follow_the_wall_clock(self) -> None:
        """Make up for a sleep of the machine, or a clock that was set, while nothing is timed."""
        if self.state.requests or self.state.pulls:
            return
        if ahead_us := self._clock.follow():
            _log.warning("the machine slept, or its clock was set: on by %.0f s", ahead_us / US)

    def _rotate_if_due(self) -> None:
        now_us = self._clock.now_us()
        if not self._journal.rotation_due(now_us):
            return
        head = head_of_segment(self.state, now_us)
        try:
            self._journal.rotate(head)
        except JournalError as error:
            self._stopped_recording(error, [])
        else:
            fold_envelope(self.state, head)

    def _resume_if_possible(self) -> None:
        if self._finished:
            return
        self._loop.call_later(RESUME_EVERY_S, self._resume_if_possible)
        if self._journal.recording:
            return
        head = head_of_segment(self.state, self._clock.now_us())
        why = self._journal.error
        try:
            self._journal.resume(head)
        except JournalError:
            return
        fold_envelope(self.state, head)
        _log.warning("recording again; %d events were not recorded", self._lost_events)
        self.put(
            RecordingResumed(
                lost_from=self._lost_from or head.seq,
                lost_events=self._lost_events,
                error="" if why is None else why.what,
            )
        )
        self._lost_from = self._lost_events = 0

    def _sync_soon(self) -> None:
        if self._finished:
            return
        self._loop.call_later(SYNC_EVERY_S, self._sync_soon)
        if self._syncing or not self._journal.unsynced:
            return
        side: snapshots.Snapshot | None = None
        if self._journal.recording and self.state.seq - self._snapshot_seq >= SNAPSHOT_EVERY:
            self._snapshot_seq = self.state.seq
            side = snapshots.Snapshot(
                seq=self.state.seq,
                recorded_at=self.state.recorded_at,
                schema=SCHEMA,
                version=version(),
                state=msgspec.Raw(dump(self.state)),
            )
        self._syncing = True
        future = self._loop.run_in_executor(None, self._sync, side)
        future.add_done_callback(self._synced)

    def _sync(self, side: snapshots.Snapshot | None) -> None:
        self._journal.sync()
        if side is not None:
            snapshots.write(self._directory.snapshots, side)

    def _synced(self, future: asyncio.Future[None]) -> None:
        self._syncing = False
        if not future.cancelled() and (error := future.exception()) is not None:
            _log.error("cannot make the journal safe against a power cut: %s", error)
