"""What herd changes in a body, and nothing else: every other byte stays as the client wrote it.

Takes bodies that `asked.read` has read: one whole JSON object each.
"""

from collections.abc import Sequence

import msgspec

from herd.http.members import Member, members


def without_extras(body: bytes) -> bytes:
    """Take out what is said to herd alone: `fallback_models`, and `tags` in `metadata`."""
    body = _without(body, "fallback_models")
    changed: list[Member] = [each for each in members(body) if each.key == "metadata"]
    values = [_without(body[each.value : each.ends], "tags") for each in changed]
    if not any(members(value) for value in values):
        return _without(body, "metadata") if changed else body
    return _with_values(body, changed, values)


def with_model(body: bytes, model: str) -> bytes:
    """Put another model's name in."""
    found = [each for each in members(body) if each.key.casefold() == "model"]
    value = msgspec.json.encode(model)
    return _with_values(body, found, [_like(body, each, value) for each in found])


def with_context(body: bytes, num_ctx: int) -> bytes:
    """Put another number in for `num_ctx`, or a first one, in whatever `options` there are."""
    found = [each for each in members(body) if each.key.casefold() == "options"]
    if not found:
        return _begun(body, b'"options":{"num_ctx":%d}' % num_ctx)
    values: list[bytes] = []
    for member in found:
        options = body[member.value : member.ends]
        inner = [each for each in members(options) if each.key == "num_ctx"]
        if inner:
            told = [_like(options, each, b"%d" % num_ctx) for each in inner]
            values.append(_with_values(options, inner, told))
        elif options.lstrip().startswith(b"{"):
            values.append(_begun(options, b'"num_ctx":%d' % num_ctx))
        elif options.strip() == b"null":
            values.append(_like(body, member, b'{"num_ctx":%d}' % num_ctx))
        else:  # what the node will refuse
            values.append(options)
    return _with_values(body, found, values)


def staying(body: bytes) -> bytes:
    """Say that the model stays in memory, whatever the body says of that."""
    found = [each for each in members(body) if each.key.casefold() == "keep_alive"]
    if found:
        return _with_values(body, found, [_like(body, each, b"-1") for each in found])
    return _begun(body, b'"keep_alive":-1')


def _begun(text: bytes, member: bytes) -> bytes:
    """Put one more member in, as the first; what is no object stays as it is."""
    if not text.lstrip().startswith(b"{"):
        return text
    begins = text.index(b"{") + 1
    comma = b"," if members(text) else b""
    return text[:begins] + member + comma + text[begins:]


def _without(text: bytes, key: str) -> bytes:
    """Take out the members of that exact key, each with one comma, in one pass."""
    found = members(text)
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
