"""Reading the journal: whole lines only, in order, across segments; while it is written or not.

A torn last line is not there yet. Only a restart of control and the log's own tools read here:
everybody else uses the DuckDB view `events`.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from events import Recorded, StateSnapshotted, decode
from herd.journal import snapshots
from herd.journal.files import Segment, holding, segments, seq_of

CHUNK_BYTES = 4 << 20
_log = logging.getLogger(__name__)


class Restart(NamedTuple):
    """What a restart needs: a state, and what happened after it."""

    state_json: bytes | None
    """None if no stored state fits: fold all records from the empty state."""
    records: Iterator[Recorded]


def lines(directory: Path, from_seq: int = 1) -> Iterator[bytes]:
    """Yield the raw lines from a `seq` on, without line breaks."""
    for segment in holding(segments(directory), from_seq):
        for line in _whole_lines(segment.path):
            if from_seq > segment.first_seq and _before(line, from_seq):
                continue
            yield line


def records(directory: Path, from_seq: int = 1) -> Iterator[Recorded]:
    """Yield the records from a `seq` on; a line that cannot be read is logged and left out."""
    for line in lines(directory, from_seq):
        try:
            yield decode(line)
        except msgspec.DecodeError as error:
            _log.error("left out a damaged line of the journal: %s", error)


def load_for_restart(directory: Path, snapshots_dir: Path, *, schema: int = 1) -> Restart:
    """Return the newest state of this schema, and the records after it, from the journal alone."""
    seq, state = _newest_head(segments(directory), schema)
    side = snapshots.newest(snapshots_dir)
    if side is not None and side.schema == schema and side.seq > seq:
        seq, state = side.seq, bytes(side.state)
    return Restart(state, records(directory, seq + 1))


def _newest_head(found: list[Segment], schema: int) -> tuple[int, bytes | None]:
    for segment in reversed(found):
        first = next(_whole_lines(segment.path), None)
        if first is None:
            continue
        try:
            record = decode(first)
        except msgspec.DecodeError:
            continue
        if isinstance(record.event, StateSnapshotted) and record.event.schema == schema:
            return record.seq, bytes(record.event.state)
    return 0, None


def _whole_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        rest = b""
        while chunk := file.read(CHUNK_BYTES):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole


def _before(line: bytes, seq: int) -> bool:
    try:
        return seq_of(line) < seq
    except ValueError:
        return False
