import msgspec
import pytest

from events import NodeFacts, Recorded, RequestDispatched, RequestQueued
from events.catalogue import Entry, Field, catalogue, describe, values
from events.codec import KINDS, VERSIONS


def test_every_kind_is_listed_once_in_order() -> None:
    assert [entry.kind for entry in catalogue()] == sorted(KINDS)
    assert {entry.kind: entry.version for entry in catalogue()} == VERSIONS


def test_an_entry_says_what_the_source_says() -> None:
    assert describe(RequestQueued) == Entry(
        name="RequestQueued",
        kind="request_queued",
        version=1,
        sentence="A request could not be bound at once and waits in its model's queue.",
        fields=(
            Field("request_id", "RequestId", None, ""),
            Field("model", "str", None, ""),
            Field("position", "int", None, "Place in the queue, from 1."),
            Field(
                "reason",
                "Literal['slots', 'hold']",
                None,
                "`slots`: some node can serve it, later. `hold`: no online node has the model now.",
            ),
            Field(
                "predicted_wait_s",
                "float",
                "0.0",
                "Predicted wait for a slot; 0 where too little is known.",
            ),
        ),
    )


def test_defaults_are_written_as_python_writes_them() -> None:
    defaults = {field.name: field.default for field in describe(RequestDispatched).fields}

    assert defaults["request_id"] is None
    assert defaults["attempt"] == "1"
    assert defaults["queue_s"] == "0.0"
    assert defaults["terms"] == "()"
    assert defaults["cold"] == "False"


def test_a_made_default_is_shown_as_made() -> None:
    assert [field.default for field in describe(Tally).fields] == ["{}"]


class Tally(msgspec.Struct):
    """Counts by name."""

    counts: dict[str, int] = {}
    """How often each was seen."""


def test_the_envelope_can_be_described_too() -> None:
    entry = describe(Recorded)

    assert (entry.kind, entry.version) == ("", 0)
    assert entry.fields[0].sentence.startswith("Position in the whole log")


def test_values_inside_events_are_listed_without_the_events() -> None:
    names = [entry.name for entry in values()]

    assert {"Candidate", "CarriedRequest", "ModelFacts", "NodeFacts", "ResidentModel"} <= set(names)
    assert not {kind.__name__ for kind in KINDS.values()} & set(names)
    assert all(entry.sentence for entry in values())


@pytest.mark.parametrize("struct", [*KINDS.values(), NodeFacts], ids=lambda kind: kind.__name__)
def test_every_field_of_the_class_is_described(struct: type[msgspec.Struct]) -> None:
    entry = describe(struct)

    assert tuple(field.name for field in entry.fields) == struct.__struct_fields__
    assert all(field.type for field in entry.fields)
    assert entry.sentence
