"""The check of a whole log, on all cores of the machine.

A stored state begins a piece that can be checked alone, up to and with a later stored state:
if every piece ends in the state that the next begins with, they are one replay. What is found is
the same as that of one check from the first record to the last.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeAlias

from herd.platform import fresh_workers
from herd.replay.check import Report, check
from herd.replay.source import Source, Watched, unwatched

FEW_EVENTS: Final = 100_000
"""So many are checked sooner than a second process has begun."""
LEAST_PIECE: Final = 25_000
"""Events: to find fewer in the journal, all of which is read for each piece, takes longer than to
check them. Each start of control stores a state, so there may be hundreds."""

Piece: TypeAlias = tuple[int, int]
"""First and last `seq`; the last is the stored state that the next piece begins with, or the
log's end."""
Shown: TypeAlias = Callable[[Iterator[Report], int], Iterable[Report]]
"""Passes the reports of pieces on, so many, and may show how far it has come."""

_source: Source | None = None
"""The log as a worker reads it."""


def unshown(reports: Iterator[Report], total: int) -> Iterator[Report]:
    """Pass the reports on, and show nothing."""
    del total
    return reports


def check_on_all_cores(
    source: Source, first: int, watched: Watched = unwatched, shown: Shown = unshown
) -> Report:
    """Check a log from a record on; a short one in this process, and in one go."""
    total = source.last_seq - first + 1
    parts = pieces(source, first)
    workers = min(os.cpu_count() or 1, len(parts))
    if workers == 1 or total < FEW_EVENTS:
        return check(watched(source.records(first), total))
    pool = fresh_workers(workers, _open, (source.path,))
    try:
        return joined(shown(pool.map(_check, parts), len(parts)))
    finally:
        pool.shutdown(cancel_futures=True)


def pieces(source: Source, first: int) -> list[Piece]:
    """Cut the log from a record on at stored states that lie far enough apart."""
    bounds = [first]
    bounds += (head for head in source.heads if bounds[-1] + LEAST_PIECE <= head < source.last_seq)
    bounds.append(source.last_seq + 1)
    return [(begin, min(end, source.last_seq)) for begin, end in pairwise(bounds)]


def check_piece(source: Source, piece: Piece) -> Report:
    """Check one piece; the stored state at its end is compared, and counted with the next."""
    first, last = piece
    report = check(source.records(first, last))
    if last < source.last_seq:
        report.events -= 1
    return report


def joined(reports: Iterable[Report]) -> Report:
    """Add up the reports of pieces that follow one another."""
    whole = Report()
    for each in reports:
        whole.events += each.events
        whole.facts += each.facts
        whole.decisions += each.decisions
        whole.dispatches += each.dispatches
        whole.snapshots += each.snapshots
        whole.skipped += each.skipped
        whole.unknown += each.unknown
        whole.cut_off += each.cut_off
        whole.gaps += each.gaps
        whole.divergences += each.divergences
    return whole


def _open(path: Path | str | None) -> None:
    global _source  # noqa: PLW0603 (one a worker, for all pieces that it gets)
    _source = Source(path)


def _check(piece: Piece) -> Report:
    assert _source is not None  # noqa: S101 (opened when the worker began)
    return check_piece(_source, piece)
