"""A small log to write and read: what a quiet hour of a fleet of two looks like."""

from collections.abc import Iterable, Iterator
from itertools import count, islice
from pathlib import Path

import msgspec

from events import (
    CONTROL,
    Candidate,
    Event,
    Lease,
    NodeId,
    Recorded,
    RequestCompleted,
    RequestDispatched,
    RequestId,
    RequestReceived,
    Source,
    StateSnapshotted,
)
from herd.journal.segments import Journal, Limits

START_US = 1_760_000_000_000_000
FRONT = Source("f1-aaaaaa")
OTHER = NodeId("other")
SMALL = Limits(reserve_bytes=4096)
"""No test needs 64 MB of reserve."""


def snapshot(seq: int, state: bytes = b"{}") -> Recorded:
    event = StateSnapshotted(state=msgspec.Raw(state), version="0.1.0")
    return Recorded(seq, START_US + seq * 1000, event)


def at(seq: int, event: Event, src: Source = FRONT) -> Recorded:
    return Recorded(seq, START_US + seq * 1000, event, src, 0 if src == CONTROL else seq)


def request_id(number: int) -> RequestId:
    return RequestId(f"0199{number:08x}-0000-7000-8000-000000000000")


def requests() -> Iterator[Event]:
    """Undisturbed requests without end, three events each."""
    for number in count(1):
        request, node = request_id(number), NodeId("mini" if number % 3 else "studio")
        lease = Lease(f"1.{number}")
        model = "qwen2.5:7b" if number % 2 else "llama3.2:latest"
        yield RequestReceived(request_id=request, model=model, client="192.0.2.7")
        terms = (
            Candidate(node, resident=True, in_flight=0, slots=4, wait_s=0.0, score=90.5),
            Candidate(OTHER, resident=True, in_flight=1, slots=4, wait_s=1.0, score=50.0),
        )
        yield RequestDispatched(
            request_id=request, model=model, node_id=node, lease=lease, queue_s=0.25, terms=terms
        )
        yield RequestCompleted(
            request_id=request,
            model=model,
            node_id=node,
            lease=lease,
            ttft_s=0.5,
            service_s=2.0,
            prompt_tokens=11,
            completion_tokens=40,
            usage_source="reported",
            finish="stop",
        )


def log_of(events: Iterable[Event], first_seq: int = 1) -> list[Recorded]:
    """A snapshot and the events behind it."""
    records = [snapshot(first_seq)]
    records += [at(seq, event) for seq, event in enumerate(events, first_seq + 1)]
    return records


def busy_log(size: int, first_seq: int = 1) -> list[Recorded]:
    return log_of(islice(requests(), size - 1), first_seq)


def write_segment(directory: Path, records: list[Recorded]) -> Journal:
    """Write one more segment; the journal stays open."""
    journal = Journal.open(directory, directory.parent / "snapshots", SMALL)
    journal.rotate(records[0])
    journal.append(records[1:])
    return journal
