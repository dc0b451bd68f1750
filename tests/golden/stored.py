"""What was stored once and must be readable for ever: lines, and the fields they rest on.

`events.ndjson` holds lines of every kind and version of event ever released: every field at a
value that is not its default, and every word that a field of words may hold. `fields.ndjson` holds
the fields of every kind, and of every value inside one, with their defaults: a default is not
stored in the log, so changing one would rewrite history; arrays are stored without names, so
their order may not change either.

Neither file is ever edited. `python -m tests.golden` appends what is missing. (What never left
this repository, because no release had it, may be taken out again.)
"""

from pathlib import Path
from typing import Any

import msgspec

import events
from events import Recorded, Source, encode
from events.codec import KINDS, VERSIONS
from tests.golden.samples import samples

LINES = Path(__file__).with_name("events.ndjson")
FIELDS = Path(__file__).with_name("fields.ndjson")

FIRST_INSTANT_US = 1_763_942_400_000_000


class Default(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """A field, and its default as JSON; empty where the field must be given."""

    name: str
    default: str = ""


class Shape(msgspec.Struct, frozen=True):
    """The fields of one class, in their order."""

    name: str
    """The stored name of an event, the class name of a value."""
    array: bool
    """Stored as an array: the order of the fields is part of the format."""
    fields: tuple[Default, ...]


def lines() -> list[bytes]:
    """Return the stored lines, each with its line break."""
    return LINES.read_bytes().splitlines(keepends=True) if LINES.exists() else []


def shapes() -> list[Shape]:
    """Return the stored fields of every class; a class that grew is there more than once."""
    stored = FIELDS.read_bytes().splitlines() if FIELDS.exists() else []
    return [msgspec.json.decode(line, type=Shape) for line in stored]


def missing_lines() -> list[bytes]:
    """Return a line for every kind, field or word of this code that no stored line shows."""
    had: list[dict[str, Any]] = [msgspec.json.decode(line) for line in lines()]
    missing: list[bytes] = []
    for kind in sorted(KINDS):
        for telling, event in samples(KINDS[kind]):
            seq = len(had) + len(missing) + 1
            line = encode(
                Recorded(seq, FIRST_INSTANT_US + seq, event, Source("f1-6b3c01"), seq, seq - 1)
            )
            new: dict[str, Any] = msgspec.json.decode(line)
            alike = (old for old in had if old["k"] == kind and old.get("v", 1) == VERSIONS[kind])
            if not any(new.keys() <= old.keys() and _agree(old, new, telling) for old in alike):
                missing.append(line)
    return missing


def _agree(old: dict[str, Any], new: dict[str, Any], telling: str) -> bool:
    return not telling or old[telling] == new[telling]


def missing_shapes() -> list[bytes]:
    """Return the fields of every class of this code that are not stored as they are."""
    had = shapes()
    return [msgspec.json.encode(shape) + b"\n" for shape in present_shapes() if shape not in had]


def present_shapes() -> list[Shape]:
    """Return the fields of every event and value as they are in this code."""
    values = {
        name: struct
        for name in events.__all__
        if isinstance(struct := getattr(events, name), type)
        and issubclass(struct, msgspec.Struct)
        and not issubclass(struct, events.Event)
        and struct is not Recorded
    }
    named = {kind: KINDS[kind] for kind in sorted(KINDS)} | values
    return [_shape(name, struct) for name, struct in named.items()]


def _shape(name: str, struct: type[msgspec.Struct]) -> Shape:
    return Shape(
        name=name,
        array=struct.__struct_config__.array_like,
        fields=tuple(_default(field) for field in msgspec.structs.fields(struct)),
    )


def _default(field: msgspec.structs.FieldInfo) -> Default:
    if field.required:
        return Default(field.name)
    made = field.default_factory
    default = field.default if made is msgspec.NODEFAULT else made()
    return Default(field.name, msgspec.json.encode(default).decode())
