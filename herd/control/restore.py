"""The state of the last run: newest snapshot, and the tail of the journal folded onto it."""

import msgspec

from actors.core.state import SCHEMA, State, dump, load
from actors.run_queue import fold, fold_envelope
from events import Recorded, StateSnapshotted
from herd.errors import HerdError
from herd.journal.formats import refuse_newer
from herd.journal.reader import load_for_restart, records
from herd.paths import DataDir
from herd.version import version

_read_ahead: list[State] = []
"""The state that was read while another herd still wrote the log."""


def read_ahead(directory: DataDir) -> None:
    """Read the log while another herd writes it, so that `restore` has only the rest to read."""
    _read_ahead[:] = [restore(directory)]


def restore(directory: DataDir) -> State:
    """Return the fold of the whole journal; the empty state for a fresh one."""
    if _read_ahead:
        state = _read_ahead.pop()
        rest = records(directory.journal, state.seq + 1)
        first = next(rest, None)
        if first is None:
            return state
        if first.seq == state.seq + 1:  # else the log has gone on without what was read
            for record in (first, *rest):
                apply(state, record)
            return state
    state_json, since = load_for_restart(directory.journal, directory.snapshots, schema=SCHEMA)
    state = State() if state_json is None else load(state_json)
    for record in since:
        apply(state, record)
    return state


def apply(state: State, record: Recorded) -> None:
    """Fold one record of the journal, whatever precedes it.

    A stored state is the one before its own record, and after a time without recording the next
    segment begins further on: a `StateSnapshotted` therefore replaces the state.
    """
    if record.seq > state.seq + 1 and not isinstance(record.event, StateSnapshotted):
        state.seq = record.seq - 1
    if isinstance(record.event, StateSnapshotted):
        become(state, stored(record, record.event))
        state.seq = record.seq - 1
        fold_envelope(state, record)
    else:
        fold(state, record)


def stored(record: Recorded, event: StateSnapshotted) -> State:
    """Return the state that a record holds; raises `HerdError` if it cannot be taken over."""
    refuse_newer(event, SCHEMA)
    try:
        return load(bytes(event.state))
    except msgspec.MsgspecError as error:
        raise HerdError(
            f"the stored state at seq {record.seq}, written by herd {event.version}, cannot be "
            f"read: {error}",
            "the log is damaged there, and can be read from a later time on",
        ) from error


def become(state: State, other: State) -> None:
    """Make a state equal to another, in place: the actors hold on to the one they have."""
    for name in State.__struct_fields__:
        setattr(state, name, getattr(other, name))
    state.kept.clear()


def head_of_segment(state: State, recorded_at: int) -> Recorded:
    """Return the record of the whole state that opens a segment."""
    snapshot = StateSnapshotted(state=msgspec.Raw(dump(state)), schema=SCHEMA, version=version())
    return Recorded(state.seq + 1, recorded_at, snapshot)
