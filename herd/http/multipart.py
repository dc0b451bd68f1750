"""Bodies of `multipart/form-data`, as recordings are sent: which model they ask for.

Rules
1. What cannot be read in one way only is refused: no boundary or no end, a model or a `stream`
   that is there twice, a part without a name of its own. Other fields may be lists.
2. A field with a file name is a file, and asks for nothing.
3. To change a field leaves every other byte as the client wrote it.

The format is that of RFC 7578.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from herd.http.asked import Asked
from herd.http.problems import BadRequestError

KIND: Final = "TranscriptionRequest"
LONGEST_FIELD_BYTES: Final = 4_096
"""Of what is read: a model's name, a yes or no."""
_PARAMETER: Final = re.compile(rb';[ \t]*([\w*-]+)=("(?:[^"\\]|\\.)*"|[^;\s"]*)')
_DISPOSITION: Final = re.compile(rb"(?im)^content-disposition:[ \t]*form-data([^\r\n]*)")
_BOUNDARY: Final = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_YES: Final = ("true", "1")
_READ: Final = ("model", "stream")


class Field(NamedTuple):
    """A part of a form, with its value as offsets in the body."""

    name: str
    begins: int
    ends: int


def read(body: bytes, content_type: bytes) -> Asked:
    """Return what a form asks for; `BadRequestError` if it is none, or can be read in two ways."""
    kind, mark, parameters = content_type.partition(b";")
    if kind.strip().lower() != b"multipart/form-data":
        raise BadRequestError("request Content-Type isn't multipart/form-data")
    boundary = _parameters(mark + parameters).get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary):
        raise BadRequestError("no multipart boundary param in Content-Type")
    said: dict[str, str] = {}
    for field in fields(body, boundary):
        if field.name not in _READ:
            continue
        if field.name in said:
            raise BadRequestError(f"the form says '{field.name}' twice")
        value = body[field.begins : min(field.ends, field.begins + LONGEST_FIELD_BYTES)]
        said[field.name] = value.decode("utf-8", "replace")
    stream = said.get("stream", "").lower() in _YES
    return Asked(said.get("model", ""), stream, form=boundary)


def with_model(body: bytes, boundary: bytes, model: str) -> bytes:
    """Put another model's name in."""
    found = next(each for each in fields(body, boundary) if each.name == "model")
    return b"".join((body[: found.begins], model.encode(), body[found.ends :]))


def fields(body: bytes, boundary: bytes) -> Iterator[Field]:
    """Yield the fields of a form that are no files; `BadRequestError` where it is not whole."""
    line = b"\r\n--" + boundary
    at = len(line) - 2 if body.startswith(line[2:]) else _found(body, line, 0) + len(line)
    while not body.startswith(b"--", at):
        begins = _found(body, b"\r\n\r\n", at) + 4
        ends = _found(body, line, begins - 2)
        told = _DISPOSITION.search(body, at, begins)
        parameters = {} if told is None else _parameters(told[1])
        if b"name" not in parameters:
            raise BadRequestError("a part of the form has no name")
        if not parameters.keys() & {b"filename", b"filename*"}:
            yield Field(parameters[b"name"].decode("utf-8", "replace"), begins, max(begins, ends))
        at = ends + len(line)


def _found(body: bytes, mark: bytes, at: int) -> int:
    place = body.find(mark, at)
    if place < 0:
        raise BadRequestError("the form is not whole")
    return place


def _parameters(text: bytes) -> dict[bytes, bytes]:
    """Return the parameters of a header; one that is there twice spoils it."""
    found: dict[bytes, bytes] = {}
    for name, value in _PARAMETER.findall(text):
        if name.lower() in found:
            raise BadRequestError("a header of the form says something twice")
        found[name.lower()] = re.sub(rb"\\(.)", rb"\1", value[1:-1]) if value[:1] == b'"' else value
    return found
