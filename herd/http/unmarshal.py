"""What Go says of JSON that is not what a route reads: the words of Ollama's `encoding/json`.

A kind is Go's name of what a route reads, with its package: `api.ChatRequest`.
"""

from collections.abc import Mapping
from typing import Final

from herd.http.problems import BadRequestError

_GO_TYPES: Final[dict[type[object], str]] = {
    bool: "bool",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    type(None): "null",
}


def no_object(value: object, kind: str) -> BadRequestError:
    """Say that a body is no object."""
    return BadRequestError(f"json: cannot unmarshal {_go_type(value)} into Go value of type {kind}")


def wrong(value: object, kind: str, field: str, wanted: str) -> BadRequestError:
    """Say that a field is not of its type, which Go calls `wanted`."""
    name = kind.rpartition(".")[2]
    return BadRequestError(
        f"json: cannot unmarshal {_go_type(value)} into Go struct field {name}.{field} "
        f"of type {wanted}"
    )


def first_wrong(
    pairs: Mapping[str, object], kind: str, wanted: Mapping[str, str]
) -> BadRequestError | None:
    """Say which field is the first that is not of its type, if one is.

    The keys of `pairs` are in lower case; null is of every type.
    """
    for name, value in pairs.items():
        go_type = wanted.get(name)
        said = _go_type(value)
        if go_type and said not in {"null", "object" if "[" in go_type else go_type}:
            return wrong(value, kind, name, go_type)
    return None


def _go_type(value: object) -> str:
    return _GO_TYPES.get(type(value), "object")
