"""A check in pieces finds what a check in one go finds, whatever is wrong with the log."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from events import Recorded, RequestDispatched, RequestQueued, StateSnapshotted
from herd.control.restore import apply, head_of_segment
from herd.replay import cores
from herd.replay.check import Report, check
from herd.replay.cores import check_on_all_cores, check_piece, joined, pieces
from herd.replay.source import Source
from tests.actors.cast import book, node, received
from tests.herd.logd.rig import data_dir, write
from tests.playbook import Playbook, after

SEGMENTS = 5

Segments = list[list[Recorded]]


def segments() -> Segments:
    """Five of them, with the decisions of three requests in each."""
    playing = book(*node("ada", slots=2), *node("bob", slots=1))
    found = [playing.given(received("r0"), after(60.0)).log]
    while len(found) < SEGMENTS:
        head = head_of_segment(playing.state, playing.now_us)
        more = Playbook()
        apply(more.state, head)
        more.log, more.now_us = [head], playing.now_us
        names = (f"{len(found)}{letter}" for letter in "abc")
        playing = more.given(*(received(each) for each in names), after(60.0))
        found.append(playing.log)
    return found


def a_decision(segment: list[Recorded]) -> int:
    return next(n for n, each in enumerate(segment) if each.cause)


def right(log: Segments) -> None:
    """Nothing is wrong with it."""
    assert len(log) == SEGMENTS


def another_decision(log: Segments) -> None:
    place = a_decision(log[1])
    event = log[1][place].event
    assert isinstance(event, RequestQueued | RequestDispatched)
    log[1][place] = replace(log[1][place], event=replace(event, model="another"))


def a_wrong_stored_state(log: Segments) -> None:
    older, head = log[1][0].event, log[2][0].event
    assert isinstance(older, StateSnapshotted)
    assert isinstance(head, StateSnapshotted)
    log[2][0] = replace(log[2][0], event=replace(head, state=older.state))


def a_gap(log: Segments) -> None:
    del log[3][4:7]


def a_gap_before_a_head(log: Segments) -> None:
    del log[1][-3:]


def no_first_state(log: Segments) -> None:
    del log[0][0]


def decisions_cut_off(log: Segments) -> None:
    del log[4][a_decision(log[4]) :]


DAMAGES = (
    right,
    another_decision,
    a_wrong_stored_state,
    a_gap,
    a_gap_before_a_head,
    no_first_state,
    decisions_cut_off,
)


class Held(Source):
    """A log in memory: no journal can be brought to write some of these."""

    def __init__(self, log: Segments) -> None:
        self._log = [each for segment in log for each in segment]
        self.first_seq, self.last_seq = self._log[0].seq, self._log[-1].seq
        self.heads = [e.seq for e in self._log if isinstance(e.event, StateSnapshotted)]
        self.first_head = self.heads[0]

    def records(self, first: int = 0, last: int = 1 << 62) -> Iterator[Recorded]:
        return (each for each in self._log if first <= each.seq <= last)


@pytest.fixture(params=DAMAGES, ids=lambda damage: damage.__name__)
def source(request: pytest.FixtureRequest) -> Source:
    log = segments()
    damage: Callable[[Segments], None] = request.param
    damage(log)
    return Held(log)


def in_one_go(source: Source) -> Report:
    return check(source.records())


@pytest.mark.parametrize("least", [1, 12, 1000])
def test_the_pieces_together_find_the_same(
    source: Source, monkeypatch: pytest.MonkeyPatch, least: int
) -> None:
    monkeypatch.setattr(cores, "LEAST_PIECE", least)
    parts = pieces(source, source.first_seq)
    every = len(source.heads) + (source.first_head != source.first_seq)
    assert all(last - first >= least for first, last in parts[:-1])
    assert len(parts) == every if least == 1 else len(parts) < every
    found = joined(check_piece(source, each) for each in parts)
    assert found == in_one_go(source)


def test_so_do_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = segments()
    another_decision(log)
    write(data_dir(tmp_path), *log)
    shown: list[int] = []

    def seen(reports: Iterator[Report], total: int) -> Iterator[Report]:
        shown.append(total)
        return reports

    monkeypatch.setattr(cores, "FEW_EVENTS", 0)
    monkeypatch.setattr(cores, "LEAST_PIECE", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with Source(tmp_path) as source:
        found = check_on_all_cores(source, source.first_seq, shown=seen)
        assert found == in_one_go(source)
    assert (len(found.divergences), shown) == (1, [SEGMENTS])
    assert found.skipped > 0


def test_a_short_log_is_checked_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(data_dir(tmp_path), *segments())
    monkeypatch.setattr(cores, "fresh_workers", None)
    watched: list[int] = []

    def seen(records: Iterator[Recorded], total: int) -> Iterator[Recorded]:
        watched.append(total)
        return records

    with Source(tmp_path) as source:
        found = check_on_all_cores(source, source.first_seq, seen)
        assert watched == [source.last_seq]
    assert (found.events, found.divergences) == (source.last_seq, [])
