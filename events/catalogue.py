"""Every kind of event, its fields and their sentences, read from the sources: for docs and tests.

The sources are the only place where an event is described. A sentence under a class or under a
field is what the reference shows, so nothing here is written by hand.
"""

import ast
import inspect
import sys
from functools import cache

import msgspec

from events.base import Event
from events.codec import KINDS, VERSIONS


class Field(msgspec.Struct, frozen=True):
    """One field of an event, or of a value inside an event."""

    name: str
    type: str
    """As it is written in the source."""
    default: str | None
    """As Python writes it; None where the field must be given."""
    sentence: str
    """What the source says under the field; empty where the name says it all."""


class Entry(msgspec.Struct, frozen=True):
    """One kind of event, or one value that events hold."""

    name: str
    """Of the class."""
    kind: str
    """The stored name; empty for a value."""
    version: int
    """The version that this code writes; 0 for a value."""
    sentence: str
    fields: tuple[Field, ...]


def catalogue() -> tuple[Entry, ...]:
    """Return every kind of event, in the order of their stored names."""
    return tuple(describe(KINDS[kind]) for kind in sorted(KINDS))


def values() -> tuple[Entry, ...]:
    """Return the values that events hold, in the order in which the sources define them."""
    modules = dict.fromkeys(kind.__module__ for kind in KINDS.values())
    structs = (
        struct
        for module in modules
        for name in _classes(module)
        if issubclass(struct := getattr(sys.modules[module], name), msgspec.Struct)
    )
    return tuple(describe(struct) for struct in structs if not issubclass(struct, Event))


def describe(struct: type[msgspec.Struct]) -> Entry:
    """Return what the source says of one class of `events`."""
    source = _classes(struct.__module__)[struct.__name__]
    written = {
        line.target.id: (ast.unparse(line.annotation), _sentence(below))
        for line, below in zip(source.body, [*source.body[1:], None], strict=True)
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    }
    tag = struct.__struct_config__.tag
    kind = tag if isinstance(tag, str) else ""
    return Entry(
        name=struct.__name__,
        kind=kind,
        version=VERSIONS.get(kind, 0),
        sentence=inspect.cleandoc(struct.__doc__ or ""),
        fields=tuple(
            Field(field.name, *_type_default_sentence(field, *written[field.name]))
            for field in msgspec.structs.fields(struct)
        ),
    )


def _type_default_sentence(
    field: msgspec.structs.FieldInfo, written_type: str, sentence: str
) -> tuple[str, str | None, str]:
    if field.required:
        return written_type, None, sentence
    made = field.default_factory
    default = field.default if made is msgspec.NODEFAULT else made()
    return written_type, repr(default), sentence


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _sentence(below: ast.stmt | None) -> str:
    match below:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return inspect.cleandoc(text)
        case _:
            return ""
