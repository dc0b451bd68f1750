"""Folded states beside the journal, so that a restart folds thousands of events, not millions.

Only ever an optimisation: the state at the head of a segment and the events after it give the
same. A snapshot is written beside its name and renamed, so one that is there is whole; the newest
two are kept.
"""

import logging
import os
import re
from pathlib import Path

import msgspec

from herd.journal.disk import BINARY, sync_data, sync_directory

KEPT = 2

_NAME = re.compile(r"(\d{20})\.json")
_log = logging.getLogger(__name__)


class Snapshot(msgspec.Struct, frozen=True):
    """The whole state of control after the event `seq`."""

    seq: int
    recorded_at: int
    """Of that event."""
    schema: int
    """Of the state, as in `StateSnapshotted`."""
    version: str
    """Of the code."""
    state: msgspec.Raw
    """The state as JSON."""


_decoder = msgspec.json.Decoder(Snapshot)


def write(directory: Path, snapshot: Snapshot) -> Path:
    """Keep a snapshot; `Journal.sync()` comes first, or a power cut could leave it alone."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / f"{snapshot.seq:020d}.json"
    fresh = path.with_suffix(".tmp")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, 0o600)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(msgspec.json.encode(snapshot))
        sync_data(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    sync_directory(directory)
    for old in _paths(directory)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def newest(directory: Path, not_after_seq: int | None = None) -> Snapshot | None:
    """Return the newest snapshot that can be read (up to an event), if there is one."""
    for path in _paths(directory):
        if not_after_seq is not None and int(path.stem) > not_after_seq:
            continue
        try:
            return _decoder.decode(path.read_bytes())
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("ignoring the snapshot %s: %s", path.name, error)
    return None


def _paths(directory: Path) -> list[Path]:
    """Return the snapshots, newest first."""
    try:
        found = [path for path in directory.iterdir() if _NAME.fullmatch(path.name)]
    except FileNotFoundError:
        return []
    return sorted(found, reverse=True)
