"""Following the journal while it is written: what logd and `herd log --follow` rest on.

A position is a segment and an offset in it. A chunk holds whole lines of one segment and says
where they stand, so that who consumes it can remember the position together with what it made.
"""

import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from herd.journal.files import segments

CHUNK_BYTES = 8 << 20
_LOOK_BYTES = 1 << 16


class _Envelope(msgspec.Struct):
    recorded_at: int


_envelopes = msgspec.json.Decoder(_Envelope)


class Position(NamedTuple):
    """A place between two lines."""

    first_seq: int = 0
    """The segment's; 0 is before the oldest there is."""
    offset_bytes: int = 0


class Chunk(NamedTuple):
    """Whole lines of one segment, as they stand there."""

    path: Path
    start: Position
    end: Position
    data: bytes


class Tail:
    """A reader that remembers where it is. It reads what is there and never waits."""

    def __init__(self, directory: Path, position: Position, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Start at a position; it may lie in a segment that is gone by now."""
        self._directory = directory
        self._chunk_bytes = chunk_bytes
        self.position = position

    def read(self) -> Chunk | None:
        """Return the next lines, None if there are none yet.

        If the segment was cut back behind the position, its lines come again from the first on.
        """
        while True:
            # Listed before it is read: if a newer segment is there, this one is complete.
            found = [s for s in segments(self._directory) if s.first_seq >= self.position.first_seq]
            if not found:
                return None
            first_seq, path = found[0]
            if first_seq != self.position.first_seq:
                self.position = Position(first_seq)
            try:
                data = self._read(path)
            except FileNotFoundError:
                continue
            if data:
                start = self.position
                self.position = Position(first_seq, start.offset_bytes + len(data))
                return Chunk(path, start, self.position, data)
            if len(found) == 1:
                return None
            self.position = Position(found[1].first_seq)

    def _read(self, path: Path) -> bytes:
        """Return whole lines from the offset on: at least one if there is one, however long."""
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < self.position.offset_bytes:
                self.position = self.position._replace(offset_bytes=0)
            file.seek(self.position.offset_bytes)
            data = file.read(self._chunk_bytes)
            while (end := data.rfind(b"\n") + 1) == 0 and (more := file.read(self._chunk_bytes)):
                data += more
        return data[:end]


def waiting_since_us(directory: Path, position: Position) -> int | None:
    """Return when the first line behind a position was recorded, in microseconds since the epoch.

    None if there is none, or if it cannot be read.
    """
    try:
        chunk = Tail(directory, position, _LOOK_BYTES).read()
        return None if chunk is None else _envelopes.decode(chunk.data.split(b"\n")[0]).recorded_at
    except (OSError, msgspec.DecodeError):
        return None
