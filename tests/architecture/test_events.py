import re
from collections.abc import Iterator

import msgspec
import pytest

import events
from events import Event, Unknown
from events.catalogue import catalogue, values
from events.codec import KINDS
from tests.architecture.tree import expect_none


def descendants(kind: type[Event]) -> Iterator[type[Event]]:
    for child in kind.__subclasses__():
        if child.__module__.startswith("events."):
            yield child
            yield from descendants(child)


ALL = sorted(set(descendants(Event)), key=lambda kind: kind.__name__)
STORED = [kind for kind in ALL if kind is not Unknown]

OTHER_UNITS = re.compile(
    r"(^|_)(ms|ns|us|seconds|minutes|kb|mb|gb|timeout|duration|latency|delay|memory|vram|size)$"
)
"""Endings of names that leave the unit open, or say another than seconds, bytes and tokens."""


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
def test_an_event_is_frozen_public_and_explained(kind: type[Event]) -> None:
    config = kind.__struct_config__

    assert config.frozen
    assert config.omit_defaults
    assert not config.gc
    assert not config.forbid_unknown_fields
    assert kind.__name__ in events.__all__
    assert kind.__doc__
    assert kind.__doc__ != Event.__doc__
    assert kind.__doc__.rstrip().endswith(".")


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
def test_an_event_is_stored_under_its_own_name(kind: type[Event]) -> None:
    snake_case = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()

    assert kind.__struct_config__.tag_field == "k"
    assert kind.__struct_config__.tag == snake_case
    assert KINDS[snake_case] is kind
    assert all(field.name == field.encode_name for field in msgspec.structs.fields(kind))


def test_an_event_never_uses_a_name_of_the_envelope() -> None:
    envelope = {"seq", "recorded_at", "src", "n", "cause", "k", "v"}

    for kind in STORED:
        assert not envelope.intersection(kind.__struct_fields__), kind.__name__


def test_every_event_can_be_read_and_written() -> None:
    assert set(KINDS.values()) == set(STORED)


def test_measures_name_their_unit() -> None:
    expect_none(
        f"{entry.name}.{field.name}"
        for entry in (*catalogue(), *values())
        for field in entry.fields
        if (field.type == "float" and not field.name.endswith(("_s", "score", "share")))
        or (field.type == "int" and OTHER_UNITS.search(field.name))
    )


def test_values_inside_events_are_frozen_and_public() -> None:
    for entry in values():
        struct = getattr(events, entry.name, None)
        if entry.name.startswith("_"):
            continue
        assert struct is not None, f"{entry.name} is not public"
        assert struct.__struct_config__.frozen
