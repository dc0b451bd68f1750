"""What a simulated model makes of tools and of schemas: a call, or an object that fits. Pure.

It calls the first tool of whose name the last message says a word of four letters or more, and
fills in what the tool's JSON schema wants: the first number that was said, or `simulated`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

SAID: Final = "simulated"
"""Every text that is made up to fit a schema."""

_DEEPEST: Final = 8
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?", re.ASCII)
_WORD = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{4,}")
_PIECE = re.compile(r".{1,4}", re.DOTALL)

Schema = Mapping[str, Any]


class Call(msgspec.Struct, frozen=True, gc=False):
    """A tool that the model wants to be called."""

    name: str
    arguments: Mapping[str, Any]


class _Function(msgspec.Struct, gc=False):
    name: str = ""
    parameters: dict[str, Any] | None = None


class _Tool(msgspec.Struct, gc=False):
    function: _Function


def wanted(tools: Sequence[msgspec.Raw], text: str) -> Call | None:
    """Return the call that the last message, from its user, leads to; None: words will do."""
    said = text.lower()
    for raw in tools:
        try:
            asked = msgspec.json.decode(raw, type=_Tool).function
        except msgspec.DecodeError:  # a node does not read what it does not understand
            continue
        if any(word.lower() in said for word in _words(asked.name)):
            return Call(asked.name, cast("dict[str, Any]", fitting(asked.parameters or {}, text)))
    return None


def _words(name: str) -> list[str]:
    return [word for word in _WORD.findall(name) if len(word) > len("get")]


def schema_of(format_: msgspec.Raw) -> Schema | None:
    """Return the schema that `format` holds; None for `"json"` and for nothing."""
    try:
        return msgspec.json.decode(format_, type=dict[str, Any])
    except msgspec.DecodeError:
        return None


def in_pieces(value: object) -> tuple[str, ...]:
    """Write a value as JSON, in pieces of four characters: each stands for a token."""
    return tuple(_PIECE.findall(msgspec.json.encode(value).decode()))


def fitting(schema: Schema, text: str) -> object:
    """Return a value that fits a JSON schema, made of what a text says; an object at the top."""
    definitions = {**_mapping(schema.get("definitions")), **_mapping(schema.get("$defs"))}
    return _value({"type": "object", **schema}, definitions, text, _DEEPEST)


def _value(schema: Schema, definitions: Schema, text: str, deeper: int) -> object:
    for given in ("const", "default"):
        if given in schema:
            return schema[given]
    for first in _list(schema.get("enum")):
        return first
    inner = _alternative(schema, definitions)
    kind = _type(schema)
    if not deeper:
        return None
    if inner is not None:
        return _value(inner, definitions, text, deeper - 1)
    if kind == "object":
        return {
            name: _value(_mapping(each), definitions, text, deeper - 1)
            for name, each in _mapping(schema.get("properties")).items()
        }
    if kind == "array":
        return [_value(_mapping(schema.get("items")), definitions, text, deeper - 1)]
    return _plain(kind, text)


def _alternative(schema: Schema, definitions: Schema) -> Schema | None:
    """Return the schema that stands behind a reference, or the first choice that is not null."""
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return _mapping(definitions.get(reference.rpartition("/")[2]))
    for choice in ("anyOf", "oneOf", "allOf"):
        for each in _list(schema.get(choice)):
            if _mapping(each).get("type") != "null":
                return _mapping(each)
    return None


def _type(schema: Schema) -> object:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return next((each for each in _list(kind) if each != "null"), kind)


def _plain(kind: object, text: str) -> object:
    number = _NUMBER.search(text)
    match kind:
        case "integer":
            return int(float(number[0])) if number else 1
        case "number":
            return float(number[0]) if number else 1.0
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return SAID


def _mapping(value: object) -> Schema:
    return cast("Schema", value) if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return cast("Sequence[Any]", value) if isinstance(value, list) else ()
