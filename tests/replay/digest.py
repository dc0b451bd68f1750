"""Replays a log with nothing but the core: `python -m tests.replay.digest LOG.gz` in any Python.

It needs `events`, `actors`, msgspec and the standard library. All that was decided, each state on
the way and the last one go into two digests; two runs that agree in these agree in every bit.
"""

import gzip
import sys
from collections.abc import Iterable
from functools import partial
from hashlib import blake2b
from pathlib import Path
from platform import python_version

import msgspec

from actors.core.state import State, dump
from actors.core.step import step
from actors.run_queue import fold_envelope, run
from events import RequestDispatched, StateSnapshotted, decode, encode

DIGEST_BYTES = 16


class Digest(msgspec.Struct, frozen=True):
    """What a replay came to."""

    events: int
    facts: int
    dispatches: int
    decisions: str
    """Of every line that replay gives, facts included."""
    state: str
    """Of the state at each head of a segment, and at the end."""


class Replayed(msgspec.Struct, frozen=True):
    """One replay, and where it parts from the log."""

    digest: Digest
    parted: tuple[str, str] | None
    """The first recorded line that did not come out again, and what came instead."""
    python: str = ""
    msgspec: str = ""


def replay(lines: Iterable[bytes]) -> Replayed:
    """Decide everything again from the facts; the log's own decisions are only compared."""
    stored = [decode(line) for line in lines]
    state = State()
    decisions, states = (blake2b(digest_size=DIGEST_BYTES) for _ in range(2))
    facts = dispatches = 0
    again: list[bytes] = []
    for record in stored:
        if record.cause:
            continue
        if isinstance(record.event, StateSnapshotted):
            states.update(dump(state))
            state.seq = record.seq - 1  # if it was decided otherwise before, `_parted` tells
            fold_envelope(state, record)
            again.append(encode(record))
            continue
        facts += 1
        deliver = partial(step, state)
        outcome = run(state, deliver, record.event, record.recorded_at, (record.src, record.n))
        dispatches += sum(isinstance(each.event, RequestDispatched) for each in outcome.records)
        again += map(encode, outcome.records)
    for line in again:
        decisions.update(line)
    states.update(dump(state))
    return Replayed(
        Digest(len(again), facts, dispatches, decisions.hexdigest(), states.hexdigest()),
        _parted([encode(record) for record in stored], again),
        python_version(),
        msgspec.__version__,
    )


def read(path: Path) -> list[bytes]:
    """Return the lines of a compressed log."""
    return gzip.decompress(path.read_bytes()).splitlines(keepends=True)


def _parted(stored: list[bytes], again: list[bytes]) -> tuple[str, str] | None:
    for left, right in zip(stored, again, strict=False):
        if left != right:
            return left.decode(), right.decode()
    if len(stored) != len(again):
        return f"{len(stored)} lines", f"{len(again)} lines"
    return None


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(replay(read(Path(sys.argv[1])))) + b"\n")
