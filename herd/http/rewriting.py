"""What herd changes in a body, and nothing else: every other byte stays as the client wrote it.

Takes bodies that `asked.read` has read: one whole JSON object each.
"""

import json
import re
from collections.abc import Iterator
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
    for member in reversed(list(members(body))):
        if member.key == "metadata":
            kept = _without(body[member.value : member.ends], "tags")
            if any(members(kept)):
                body = body[: member.value] + kept + body[member.ends :]
            else:
                body = _without(body, "metadata")
    return body


def with_model(body: bytes, model: str) -> bytes:
    """Put another model's name in."""
    for member in reversed(list(members(body))):
        if member.key.casefold() == "model":
            body = _with_value(body, member, msgspec.json.encode(model))
    return body


def with_context(body: bytes, num_ctx: int) -> bytes:
    """Put another number in for `num_ctx`, where `options` has one."""
    for member in reversed(list(members(body))):
        if member.key.casefold() == "options":
            options = body[member.value : member.ends]
            for option in reversed(list(members(options))):
                if option.key == "num_ctx":
                    options = _with_value(options, option, b"%d" % num_ctx)
            body = body[: member.value] + options + body[member.ends :]
    return body


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
    """Take out the members of that exact key, each with one comma."""
    while True:
        found = list(members(text))
        at = next((place for place, member in enumerate(found) if member.key == key), None)
        if at is None:
            return text
        member = found[at]
        if at + 1 < len(found):
            text = text[: member.begins] + text[found[at + 1].begins :]
        else:
            begins = found[at - 1].ends if at else member.begins
            text = text[:begins] + text[member.ends :]


def _with_value(text: bytes, member: Member, value: bytes) -> bytes:
    old = text[member.value : member.ends]
    before = old[: len(old) - len(old.lstrip())]
    after = old[len(old.rstrip()) :]
    return text[: member.value] + before + value + after + text[member.ends :]
