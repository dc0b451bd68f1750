"""What the public types of `events` promise; the type checkers are the test.

A line that must be an error carries an ignore for each checker: both report an ignore that
ignores nothing, so a promise that is broken fails `make check`.
"""

from typing import assert_type

import msgspec
import pytest

from events import (
    Candidate,
    Event,
    Lease,
    NodeFacts,
    NodeId,
    Recorded,
    RequestId,
    RequestQueued,
    ResidentModel,
    Source,
    TimerFired,
    decode,
    encode,
)
from events.catalogue import Entry, catalogue
from events.codec import KINDS, VERSIONS

QUEUED = RequestQueued(request_id=RequestId("r"), model="m", position=1, reason="slots")


def test_lines_and_records() -> None:
    record = Recorded(1, 2, QUEUED)

    assert_type(encode(record), bytes)
    assert_type(decode(encode(record)), Recorded)
    assert_type(record.event, Event)
    assert_type(record.src, Source)
    assert_type(KINDS, dict[str, type[Event]])
    assert_type(VERSIONS, dict[str, int])
    assert_type(catalogue(), tuple[Entry, ...])


def test_an_event_is_narrowed_by_its_class() -> None:
    match Recorded(1, 2, QUEUED).event:
        case RequestQueued() as queued:
            assert_type(queued.request_id, RequestId)
            assert_type(queued.position, int)
        case event:
            assert_type(event, Event)


def test_nested_values_are_typed() -> None:
    facts = NodeFacts(slots=2)
    resident = (ResidentModel(name="m"),)

    assert_type(facts.slots, int)
    assert_type(resident[0].size_vram_bytes, int)


def test_ids_are_not_interchangeable() -> None:
    node = NodeId("studio")

    assert_type(node, NodeId)
    RequestQueued(
        request_id=node,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] (meant)
        model="m",
        position=1,
        reason="slots",
    )
    Candidate(
        node_id=Lease("1.1"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] (meant)
        resident=True,
        in_flight=0,
        slots=1,
        wait_s=0.0,
        score=1.0,
    )


def test_words_are_checked() -> None:
    RequestQueued(
        request_id=RequestId("r"),
        model="m",
        position=1,
        reason="whim",  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] (meant)
    )


def test_an_event_never_changes() -> None:
    queued = msgspec.structs.replace(QUEUED)

    with pytest.raises(AttributeError):
        queued.model = "n"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue] (meant)


def test_a_record_holds_an_event_and_nothing_else() -> None:
    Recorded(1, 2, TimerFired())
    Recorded(1, 2, "woken")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] (meant)
