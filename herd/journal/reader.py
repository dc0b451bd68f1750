"""Reading the journal: whole lines only, in order, across segments; while it is written or not.

A torn last line is not there yet. Only a restart of control and the log's own tools read here:
everybody else uses the DuckDB view `events`.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from events import Recorded, StateSnapshotted, decode
from herd.journal import snapshots
from herd.journal.files import Segment, holding, segments, seq_of
from herd.journal.formats import refuse_newer
from herd.journal.tail import Position

CHUNK_BYTES = 4 << 20
_NEAR_BYTES = 16 << 10
_log = logging.getLogger(__name__)


class Restart(NamedTuple):
    """What a restart needs: a state, and what happened after it."""

    state_json: bytes | None
    """None if no stored state fits: fold all records from the empty state."""
    records: Iterator[Recorded]


def lines(directory: Path, from_seq: int = 1) -> Iterator[bytes]:
    """Yield the raw lines from a `seq` on, without line breaks."""
    start = position_of(directory, from_seq)
    for first_seq, path in segments(directory):
        if first_seq >= start.first_seq:
            at = start.offset_bytes if first_seq == start.first_seq else 0
            yield from _whole_lines(path, at)


def position_of(directory: Path, seq: int) -> Position:
    """Return where the first line stands whose number is not below `seq`."""
    found = holding(segments(directory), seq)
    if not found:
        return Position()
    first_seq, path = found[0]
    return Position(first_seq, _offset_of(path, seq) if seq > first_seq else 0)


def records(directory: Path, from_seq: int = 1) -> Iterator[Recorded]:
    """Yield the records from a `seq` on, of the lines that can be read."""
    for _, record in decoded(lines(directory, from_seq)):
        yield record


def decoded(stored: Iterable[bytes]) -> Iterator[tuple[bytes, Recorded]]:
    """Yield each line with its record; one that cannot be read is logged and left out."""
    for line in stored:
        try:
            record = decode(line)
        except msgspec.DecodeError as error:
            _log.error("left out a line of the log that is damaged: %s", error)
        else:
            yield line, record


def load_for_restart(directory: Path, snapshots_dir: Path, *, schema: int = 1) -> Restart:
    """Return the newest state of this schema, and the records after it, from the journal alone.

    Raises `HerdError` for a log that a newer herd has written.
    """
    seq, state = _newest_head(segments(directory), schema)
    side = snapshots.newest(snapshots_dir)
    if side is not None:
        refuse_newer(side, schema)
    if side is not None and side.schema == schema and side.seq > seq:
        seq, state = side.seq, bytes(side.state)
    return Restart(state, records(directory, seq + 1))


def _newest_head(found: list[Segment], schema: int) -> tuple[int, bytes | None]:
    """Return a head's state, which is the one before its own record, and the `seq` of that."""
    for segment in reversed(found):
        first = next(_whole_lines(segment.path), None)
        if first is None:
            continue
        try:
            record = decode(first)
        except msgspec.DecodeError:
            continue
        if isinstance(record.event, StateSnapshotted):
            refuse_newer(record.event, schema)
            if record.event.schema == schema:
                return record.seq - 1, bytes(record.event.state)
    return 0, None


def _offset_of(path: Path, seq: int) -> int:
    """Search by halves, since a segment's numbers only rise, then line by line to the place.

    Halving never passes over a line it cannot read; the last steps leave such lines behind.
    """
    with path.open("rb") as file:
        early, late = 0, file.seek(0, os.SEEK_END)
        while late - early > _NEAR_BYTES:
            middle = (early + late) // 2
            file.seek(middle)
            start = middle + len(file.readline())
            if _seq_or(seq, file.readline()) < seq:
                early = start
            else:
                late = middle
        file.seek(early)
        for line in file:
            if _seq_or(0, line) >= seq or not line.endswith(b"\n"):
                break
            early += len(line)
    return early


def _whole_lines(path: Path, offset_bytes: int = 0) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(offset_bytes)
        rest = b""
        while chunk := file.read(CHUNK_BYTES):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole


def _seq_or(default: int, line: bytes) -> int:
    try:
        return seq_of(line)
    except ValueError:
        return default
