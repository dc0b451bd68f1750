"""Ten days of a herd whose log keeps one: what is left replays, and nothing that is folded is lost.

Control lives as it does: each start begins a segment with the fold of the one before. Every evening
logd takes in, seals and drops by the clock of those days.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.core.slots import START
from actors.core.state import US, State, dump
from actors.run_queue import fold_envelope
from events import (
    ConfigurationLoaded,
    DrainRequested,
    Event,
    NodeConfigured,
    NodeId,
    NodeProbed,
    Recorded,
    SettingsChanged,
)
from herd.control.restore import head_of_segment, restore
from herd.journal.files import segments
from herd.journal.recovery import repair
from herd.journal.segments import Journal, Limits
from herd.logd.ingest import Ingest
from herd.logd.parquet import span_path
from herd.logd.retention import DAY_S, Keep, drop_next, unlink_dropped
from herd.logd.seal import KEEP_BESIDE_S, seal_next, unlink_sealed
from herd.logd.totals import floor
from herd.paths import DataDir
from herd.replay.check import check
from herd.replay.source import Source
from herd.simulator.physics import Machine
from herd.simulator.profiles import mini, studio, tower
from herd.virtual.script import Happening, Line
from herd.virtual.traffic import Share, traffic
from herd.virtual.world import World
from tests.herd.logd.rig import Rows, data_dir, rows, store

BEGIN_US = 1_760_000_000_000_000
DAYS = 10
DAY_US = int(DAY_S) * US
KEEP = Keep(days=1)
TOLERANCE_S = DAY_S + KEEP.group.age_s
"""A segment may span a day, and wait so long for neighbours (0009)."""
BUSY = Limits(segment_events=100, reserve_bytes=0)
QUIET = Limits(reserve_bytes=0)
SPECS = (studio(), tower(), mini())
MIX = (Share(5, "llama3.2:3b"), Share(2, "qwen2.5:7b"))
DAILY = "FROM daily ORDER BY ALL"
CHANGES: dict[int, list[Event]] = {
    1: [SettingsChanged(key="max_queue", old=512, new=77, by="ann")],
    2: [DrainRequested(node_id=NodeId("mini"), by="ann")],
    3: [SettingsChanged(key="policy", old="resident-first", new="least-connections", by="ann")],
}


class Control:
    """One life of control, from a restart on, with the fleet and its clients."""

    def __init__(self, directory: DataDir, now_us: int, limits: Limits = BUSY) -> None:
        self.journal = Journal.open(directory.journal, directory.snapshots, limits)
        self.state = restore(directory)
        self._records: list[Recorded] = []
        self._write(now_us)
        machines = {NodeId(spec.name): Machine(spec) for spec in SPECS}
        self._world = World(
            machines, start_us=now_us, state=self.state, observe=self._records.append
        )

    def live(self, script: Iterable[Line], until_us: int) -> None:
        """Play a script, and be quiet until then."""
        self._world.run([*script], progress=self._write)
        self._world.run([Happening(at_us=until_us, fact=noticed("studio"))], progress=self._write)
        self._write(until_us)

    def _write(self, now_us: int) -> None:
        self.journal.append(self._records)
        self._records.clear()
        if self.journal.rotation_due(now_us):
            head = head_of_segment(self.state, now_us)
            fold_envelope(self.state, head)
            self.journal.rotate(head)


def noticed(name: str) -> Event:
    """A probe that says nothing new."""
    return NodeProbed(node_id=NodeId(name), reachable=True)


def fleet(at_us: int) -> list[Line]:
    """The fleet as each start learns of it; nobody tells the slots of two of its nodes."""
    urls = {spec.name: f"http://{spec.name}:11434" for spec in SPECS}
    facts: list[Event] = []
    for spec in SPECS:
        name = NodeId(spec.name)
        told = spec.facts.slots if spec.name == "mini" else 0
        models = tuple(model.facts for model in spec.models)
        facts += [
            NodeConfigured(node_id=name, url=urls[name], slots=told),
            NodeProbed(
                node_id=name,
                reachable=True,
                facts=replace(spec.facts, slots=0),
                resident=(),
                models=models,
            ),
        ]
    return [Happening(at_us=at_us, fact=fact) for fact in facts]


def day(number: int, at_us: int, *, started: bool) -> list[Line]:
    """What happens on one day: some requests at noon, at once, and others over the hours."""
    script: list[Line] = []
    if number == 0:
        nodes = " ".join(f"http://{spec.name}:11434" for spec in SPECS)
        settings = ConfigurationLoaded(settings={"queue_timeout_s": 1234.0, "nodes": nodes})
        script.append(Happening(at_us=at_us, fact=settings))
    if started:
        script += fleet(at_us)
    script += [Happening(at_us=at_us + US, fact=fact) for fact in CHANGES.get(number, [])]
    noon_us = at_us + DAY_US // 2
    script += traffic(MIX, count=12, per_s=1 / 3000, start_us=at_us + 60 * US, seed=number)
    script += traffic(MIX, count=40, per_s=8.0, start_us=noon_us, seed=100 + number)
    return sorted(script, key=lambda line: line.at_us)


def evening(directory: DataDir, archive: Path, now_us: int) -> None:
    """Let logd take in what there is, and do all that is due; keep a copy of every segment."""
    now_s = now_us / US
    for segment in segments(directory.journal):
        shutil.copy(segment.path, archive)
        last = repair(segment.path)
        assert last is not None
        os.utime(segment.path, (last.recorded_at / US, last.recorded_at / US))
    with store(directory) as db:
        ingest = Ingest(db, directory.journal)
        while ingest.step() is not None:
            pass
        busy = True
        while busy:
            seal = seal_next(db, directory, ingest.position.first_seq, now_s, KEEP.group)
            if seal is not None:
                os.utime(span_path(directory.sealed, seal), (now_s, now_s))
            now_s += KEEP_BESIDE_S
            busy = bool(seal or unlink_sealed(db, directory, now_s))
            busy |= drop_next(db, directory, KEEP, now_s) is not None
            busy |= bool(unlink_dropped(directory, now_s + KEEP_BESIDE_S))


def lived(directory: DataDir, archive: Path, *, restarts: bool) -> Control:
    """Live all the days, with a start each morning or with one."""
    control: Control | None = None
    for number in range(DAYS):
        at_us = BEGIN_US + number * DAY_US
        started = control is None or restarts
        if control is None or restarts:
            control = Control(directory, at_us, BUSY if restarts else QUIET)
        control.live(day(number, at_us + US, started=started), at_us + DAY_US - US)
        if restarts:
            control.journal.close()
        evening(directory, archive, at_us + DAY_US - US)
    assert control is not None
    return control


def daily(root: Path, days: int = DAYS) -> Rows:
    """The totals of so many days, as any reader has them."""
    with Source(root) as source:
        return [row for row in rows(source.log, DAILY) if row[0].toordinal() - FIRST < days]


FIRST = 739_533
"""The ordinal of the first day, 2025-10-09."""


@pytest.mark.long
@pytest.mark.parametrize("restarts", [True, False])
def test_what_is_left_of_ten_days_knows_all_that_is_folded(
    tmp_path: Path, *, restarts: bool
) -> None:
    directory, archive = data_dir(tmp_path / "kept"), data_dir(tmp_path / "all")
    control = lived(directory, archive.journal, restarts=restarts)
    before: State = control.state
    if not restarts:
        control.journal.close()
    assert_learned(before)
    ends_us = BEGIN_US + DAYS * DAY_US

    with Source(directory.root) as source:
        [(oldest_us,)] = source.ask("SELECT epoch_us(min(recorded_at)) FROM events")
        report = check(source.records())
    assert floor(directory) > before.seq // 2
    assert ends_us - oldest_us < KEEP.days * DAY_US + TOLERANCE_S * US
    assert (report.divergences, report.skipped, report.gaps) == ([], 0, [])
    assert report.dispatches > 50

    assert dump(restore(directory)) == dump(before)
    totals = daily(archive.root)
    assert len({row[0] for row in totals}) >= DAYS
    assert sum(row[4] for row in totals) == 52 * DAYS
    assert daily(directory.root) == totals

    control = Control(directory, ends_us)
    control.live(day(DAYS, ends_us + US, started=True), ends_us + DAY_US // 2)
    control.journal.close()
    assert control.state.settings == before.settings
    assert control.state.nodes[NodeId("mini")].drained_by == "ann"
    evening(directory, archive.journal, ends_us + DAY_US // 2)
    with Source(directory.root) as source:
        report = check(source.records())
    assert (report.divergences, report.skipped, report.gaps) == ([], 0, [])
    assert report.snapshots > 2
    assert daily(directory.root) == daily(archive.root)
    with store(directory) as db:
        assert rows(db, DAILY) == daily(archive.root, DAYS + 2)


def assert_learned(state: State) -> None:
    """Everything that could be lost is there: what was set, drained, measured and learned."""
    settings = state.settings
    assert (settings.queue_timeout_s, settings.max_queue) == (1234.0, 77)
    assert settings.policy == "least-connections"
    assert state.nodes[NodeId("mini")].drained_by == "ann"
    learned = [slots for node in state.nodes.values() for slots in node.slots.values()]
    assert any(slots.limit != START and not slots.told for slots in learned)
    tallies = [tally for node in state.nodes.values() for tally in node.tallies.values()]
    assert sum(tally.completed for tally in tallies) == 52 * DAYS
