"""What herd changes in a body, and nothing else: every other byte stays as the client wrote it.

Takes bodies that `asked.read` has read: one whole JSON object each.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

_MARK: Final = re.compile(rb'["{}\[\],]')
_BACKSLASH: Final = 0x5C


class Member(NamedTuple):
    """One member of an object, as offsets in its text."""

    key: str
    begins: int
    """Of its key."""
    value: int
    """Behind the colon."""
    ends: int
    """Where the comma or the brace is that follows."""


def without_extras(body: bytes) -> bytes:
    """Take out what is said to herd alone: `fallback_models`, and `tags` in `metadata`."""
    body = _without(body, "fallback_models")
    changed: list[Member] = [each for each in members(body) if each.key == "metadata"]
    values = [_without(body[each.value : each.ends], "tags") for each in changed]
    if not any(any(members(value)) for value in values):
        return _without(body, "metadata") if changed else body
    return _with_values(body, changed, values)


def with_model(body: bytes, model: str) -> bytes:
    """Put another model's name in."""
    found = [each for each in members(body) if each.key.casefold() == "model"]
    value = msgspec.json.encode(model)
    return _with_values(body, found, [_like(body, each, value) for each in found])


def with_context(body: bytes, num_ctx: int) -> bytes:
    """Put another number in for `num_ctx`, where `options` has one."""
    found = [each for each in members(body) if each.key.casefold() == "options"]
    values: list[bytes] = []
    for member in found:
        options = body[member.value : member.ends]
        inner = [each for each in members(options) if each.key == "num_ctx"]
        told = [_like(options, each, b"%d" % num_ctx) for each in inner]
        values.append(_with_values(options, inner, told))
    return _with_values(body, found, values)


def staying(body: bytes) -> bytes:
    """Say that the model stays in memory, whatever the body says of that."""
    found = [each for each in members(body) if each.key.casefold() == "keep_alive"]
    if found:
        return _with_values(body, found, [_like(body, each, b"-1") for each in found])
    begins = body.index(b"{") + 1
    return body[:begins] + b'"keep_alive":-1,' + body[begins:]


def members(text: bytes) -> Iterator[Member]:
    """Yield the members of an object; none of what is no object."""
    at = len(text) - len(text.lstrip())
    if not text.startswith(b"{", at):
        return
    at += 1
    depth, key, begins, value = 0, "", 0, 0
    while (found := _MARK.search(text, at)) is not None:
        at = found.end()
        mark = found[0]
        if mark == b'"':
            begun, at = at - 1, _string_end(text, at)
            if not value:
                key, begins = json.loads(text[begun:at]), begun
                value = at = text.index(b":", at) + 1
        elif mark in b"{[":
            depth += 1
        elif depth and mark in b"}]":
            depth -= 1
        elif not depth:
            if value:
                yield Member(key, begins, value, found.start())
            value = 0
            if mark == b"}":
                return


def _string_end(text: bytes, at: int) -> int:
    """Return where a string ends whose opening quote is before `at`."""
    while True:
        quote = text.index(b'"', at)
        first = quote
        while text[first - 1] == _BACKSLASH:
            first -= 1
        at = quote + 1
        if (quote - first) % 2 == 0:
            return at


def _without(text: bytes, key: str) -> bytes:
    """Take out the members of that exact key, each with one comma, in one pass."""
    found = list(members(text))
    kept = [place for place, member in enumerate(found) if member.key != key]
    if len(kept) == len(found):
        return text
    if not kept:
        return text[: found[0].begins] + text[found[-1].ends :]
    last = kept[-1]
    pieces = [text[: found[0].begins]]
    pieces += [text[found[each].begins : found[each + 1].begins] for each in kept[:-1]]
    pieces += [text[found[last].begins : found[last].ends], text[found[-1].ends :]]
    return b"".join(pieces)


def _with_values(text: bytes, found: Sequence[Member], values: Sequence[bytes]) -> bytes:
    """Put these values in place of those of the members, which are in order."""
    pieces: list[bytes] = []
    at = 0
    for member, value in zip(found, values, strict=True):
        pieces += [text[at : member.value], value]
        at = member.ends
    return b"".join([*pieces, text[at:]])


def _like(text: bytes, member: Member, value: bytes) -> bytes:
    """Return a value between the blanks that the old one had."""
    old = text[member.value : member.ends]
    before = old[: len(old) - len(old.lstrip())]
    after = old[len(old.rstrip()) :]
    return before + value + after
