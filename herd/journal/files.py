"""Which files a journal is made of.

A segment is named after the `seq` of its first line, 20 digits with leading zeros, so that names
sort as numbers. Whatever else lies in the folder is not a segment.
"""

import re
from pathlib import Path
from typing import NamedTuple

SUFFIX = ".ndjson"
RESERVE = "reserve"
"""The file that holds room for a full disk."""
_NAME = re.compile(r"(\d{20})\.ndjson")
_SEQ_AT = len(b'{"seq":')


class Segment(NamedTuple):
    """One file of the journal."""

    first_seq: int
    path: Path


def segment_path(directory: Path, first_seq: int) -> Path:
    """Return the file of the segment that begins with this `seq`."""
    return directory / f"{first_seq:020d}{SUFFIX}"


def segments(directory: Path) -> list[Segment]:
    """Return the segments there are now, oldest first; none if there is no such folder."""
    try:
        names = [entry.name for entry in directory.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    matches = (_NAME.fullmatch(name) for name in names)
    return sorted(Segment(int(found[1]), directory / found[0]) for found in matches if found)


def holding(found: list[Segment], seq: int) -> list[Segment]:
    """Return the segments from the one that holds `seq` on."""
    start = 0
    for index, segment in enumerate(found):
        if segment.first_seq <= seq:
            start = index
    return found[start:]


def seq_of(line: bytes) -> int:
    """Return the `seq` of a line without decoding it: it stands first. Raises `ValueError`."""
    return int(line[_SEQ_AT : line.index(b",", _SEQ_AT)])
