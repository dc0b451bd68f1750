"""Where a segment really ends: at its last whole line that can be read.

A killed process leaves a torn line, a power cut perhaps worse. Both are cut off for good before
anything is appended; whole lines that cannot be read are kept beside the segment.
"""

import logging
import os
from pathlib import Path
from typing import BinaryIO

import msgspec

_BACKWARD_BYTES = 1 << 16
_log = logging.getLogger(__name__)


class Place(msgspec.Struct, frozen=True):
    """Where a record stands in the log, and when it was recorded."""

    seq: int
    recorded_at: int


_decoder = msgspec.json.Decoder(Place)


def repair(path: Path) -> Place | None:
    """Cut a segment back to its last whole line; return that line's place, None if none is left."""
    with path.open("r+b") as file:
        size = end = file.seek(0, os.SEEK_END)
        place = None
        while end > 0 and place is None:
            start = _line_start(file, end)
            file.seek(start)
            place = _place(file.read(end - start))
            if place is None:
                end = start
        if end < size:
            _log.warning("cutting %d unreadable bytes off %s", size - end, path.name)
            file.seek(end)
            dropped = file.read()
            if b"\n" in dropped:
                path.with_suffix(f".damaged-{end}").write_bytes(dropped)
            file.truncate(end)
    return place


def _place(line: bytes) -> Place | None:
    if not line.endswith(b"\n"):
        return None
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError:
        return None


def _line_start(file: BinaryIO, end: int) -> int:
    """Return where the line begins whose last byte stands before `end`."""
    upto = end - 1
    while upto > 0:
        start = max(0, upto - _BACKWARD_BYTES)
        file.seek(start)
        found = file.read(upto - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        upto = start
    return 0
