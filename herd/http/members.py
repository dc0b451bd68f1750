"""Where the members of a JSON object are: found in C, so that what they hold costs next to nothing.

Rules
1. msgspec passes over the values, and says how long each is; keys that equal no other keep apart
   what comes twice. Python sees each member once, and nothing of what is inside.
2. What msgspec refuses and Go takes is hidden from it, in a copy of the same length: bytes that are
   no UTF-8, and halves of surrogate pairs.
3. An object of more than `MOST` members is refused: whoever walks through millions of them keeps
   everybody else on the loop waiting.
"""

import json
import re
from typing import Any, Final, NamedTuple

import msgspec

from herd.http.problems import BadRequestError

MOST: Final = 1_024
"""Of one object; the largest request of any API has some dozens."""

_MALFORMED: Final = "JSON is malformed"
_PLAIN: Final = bytes(range(0x80)) + b"_" * 0x80
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_BLANKS: Final = re.compile(rb"[ \t\r\n]*")


class Member(NamedTuple):
    """One member of an object, as offsets in its text."""

    key: str
    begins: int
    """Of its key."""
    value: int
    """Behind the colon."""
    ends: int
    """Where the comma or the brace is that follows."""


class _Key:
    """A key that equals no other."""

    __slots__ = ()


class _Keys:
    """Makes as many keys as an object may have."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MOST

    def make(self, _kind: type[Any], _text: object) -> _Key:
        if not self._left:
            raise BadRequestError(f"JSON has an object of more than {MOST} members")
        self._left -= 1
        return _Key()


def members(text: bytes) -> list[Member]:
    """Return the members of an object, doubles and all; none of what is no object."""
    if not text.lstrip().startswith(b"{"):
        return []
    hidden = _hidden(text)
    try:
        values = msgspec.json.decode(
            hidden, type=dict[_Key, msgspec.Raw], dec_hook=_Keys().make
        ).values()
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed(error, text) from error
    found: list[Member] = []
    at = 0
    for value in values:
        begins = hidden.index(b'"', at)
        behind = hidden.index(b'"', begins + 1) + 1
        colon = hidden.index(b":", behind) + 1
        at = _behind_blanks(hidden, _behind_blanks(hidden, colon) + len(value))
        found.append(Member(str(_read(text[begins:behind])), begins, colon, at))
    return found


def shallow(text: bytes) -> object:
    """Return a value, its numbers as floats; in place of a list or an object an empty one."""
    match text.strip()[:1]:
        case b"{":
            return {}
        case b"[":
            return []
        case _:
            return _read(text)


def malformed(error: Exception, text: bytes) -> BadRequestError:
    """Say what is wrong with a text, and where."""
    if isinstance(error, RecursionError):
        return BadRequestError(f"{_MALFORMED}: exceeded max depth")
    said = str(error)
    if not said.startswith(_MALFORMED):
        said = f"{_MALFORMED}: {said[:1].lower()}{said[1:]}"
    return BadRequestError(said if "(byte " in said else f"{said} (byte {len(text)})")


def _hidden(text: bytes) -> bytes:
    """Return a text of the same structure, in which every quote begins or ends a string."""
    if not text.isascii():
        text = text.translate(_PLAIN)
    if b"\\" in text:
        text = text.replace(rb"\\", b"__").replace(rb"\"", b"__")
        if rb"\u" in text:
            text = _SURROGATE.sub(b"______", text)
    return text


def _behind_blanks(text: bytes, at: int) -> int:
    found = _BLANKS.match(text, at)
    return at if found is None else found.end()


def _read(text: bytes) -> object:
    """Read a text without structure, as Go does: what is no UTF-8 has a mark in its place."""
    try:
        return json.loads(text.decode("utf-8", "replace"), parse_int=float)
    except ValueError as error:
        raise BadRequestError("JSON is malformed") from error
