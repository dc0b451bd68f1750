"""The process that looks back: `python -m herd.replay.looking DATA_DIR SEQ`, begun by a front.

It writes one JSON object: the fleet after that event as `/fleet/status` would have told it, or
`{"error"}`. A stored state precedes every segment, so that at most a segment is folded.
"""

import contextlib
import sys

import msgspec

from herd import platform
from herd.control.view import view_of
from herd.errors import HerdError
from herd.http.endpoints import fleet
from herd.replay.source import Source

_US = 1_000_000


def main(directory: str, seq: int) -> None:
    """Write what was there."""
    with contextlib.suppress(OSError):
        platform.lower_priority()
    sys.stdout.buffer.write(msgspec.json.encode(told(directory, seq)))


def told(directory: str, seq: int) -> dict[str, object]:
    """Return the fleet after an event, with that event's own line."""
    try:
        with Source(directory) as source:
            state = source.state_at(seq)
            [record] = source.records(state.seq, state.seq)
    except HerdError as error:
        return {"error": "; ".join(filter(None, (error.what, error.next_step)))}
    at_s = state.recorded_at / _US
    event = record.event
    return {
        "seq": state.seq,
        "at": at_s,
        "kind": type(event).__struct_config__.tag,
        "request_id": getattr(event, "request_id", None),
        "node_id": getattr(event, "node_id", None),
        "model": getattr(event, "model", None),
        "status": fleet.status(view_of(state, recording=True), at_s),
    }


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
