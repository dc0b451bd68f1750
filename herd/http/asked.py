"""Which model a body asks for, and whether it wants a stream: read as Ollama itself reads it.

Rules
1. Ollama is written in Go: a key matches in any case, the last one of several counts, null is as
   good as absent. A balancer that reads otherwise sends a request to the wrong model.
2. One exact top-level `model` is the rule: the fast path reads it without making the rest of the
   body into objects. Whatever is odd takes the slow path, which reads as Go does.
3. What is large is walked through in C (`members`): no tree is made of a body, odd or not.
4. Texts of refusals are Ollama's own. They never quote the body.
5. `fallback_models` and `tags` in `metadata` are said to herd alone: only their exact spelling
   counts, and they are not passed on (`rewriting`). `metadata` is the client's in all else.
"""

import json
import re
from collections.abc import Iterator
from typing import Final, cast

import msgspec

from events import Prefix
from herd.http import unmarshal
from herd.http.members import MOST, malformed, members, shallow
from herd.http.prefixes import LEAST_BYTES, prefixes
from herd.http.problems import BadRequestError

_MODEL: Final = b"model"
_STREAM: Final = b"stream"
_QUOTED_MODEL: Final = b'"model"'
_QUOTED_STREAM: Final = b'"stream"'
_LARGE_BYTES: Final = 64 * 1024
_SPARSE: Final = 256
"""Bytes for each quote: a body with fewer quotes consists of pictures, and is read by these."""
_ESCAPED_LETTER: Final = re.compile(rb"\\u00[4-7]|\\u017[fF]|\\u212[aA]")
"""A key may hide behind escapes: the letters of ASCII, and the two that Go folds into them."""


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What routing needs of a body."""

    model: str
    stream: bool
    user: str = ""
    num_ctx: int = 0
    most_tokens: int = 0
    """Of its answer; 0 if it says nothing."""
    fallbacks: tuple[str, ...] = ()
    """Models to take instead, in order; as the client spells them."""
    tags: tuple[str, ...] = ()
    extras: bool = False
    """It says something to herd alone."""
    prefixes: tuple[Prefix, ...] = ()
    form: bytes = b""
    """What is between the parts of a form (`multipart`); empty for JSON."""


class _Options(msgspec.Struct, gc=False):
    num_ctx: int | None = None
    num_predict: msgspec.Raw = msgspec.Raw()


class _Body(msgspec.Struct, gc=False):
    model: str | None = None
    stream: bool | None = None
    user: str | None = None
    options: _Options | None = None
    fallback_models: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()
    messages: msgspec.Raw = msgspec.Raw()
    system: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    max_tokens: msgspec.Raw = msgspec.Raw()
    max_output_tokens: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Body).decode

_decode_messages = msgspec.json.Decoder(list[msgspec.Raw]).decode

_STREAMLESS: Final = ("EmbedRequest", "EmbeddingRequest")
"""Bodies that have no `stream`: Go does not look at it."""
_MOST: Final = 1 << 40
_MOST_COMMAS: Final = 64 * 1024
"""In and between the messages whose beginnings are told."""
_ODD: Final = ("model", "stream", "user", "options")
_EXTRAS: Final = ("fallback_models", "metadata")
_TOKENS: Final = re.compile(rb"(\d{1,12})(?:\.0*)?")
MOST_FALLBACKS: Final = 16


def read(body: bytes, *, streams: bool, kind: str) -> Asked:
    """Read a body; `streams` is what its route does unless told, `kind` Go's name for it."""
    if not body:
        raise BadRequestError("missing request body")
    try:
        found = _decode(body)
    except msgspec.ValidationError:
        return _read_slowly(body, streams=streams, kind=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        if b"\\u" in body:  # perhaps half of a surrogate pair, in whose place Go puts a mark
            return _read_slowly(body, streams=streams, kind=kind)
        raise malformed(error, body) from error
    except UnicodeDecodeError as error:
        raise BadRequestError(f"JSON is malformed: not UTF-8 (byte {error.start})") from error
    if body.count(b":") > MOST:
        _bound(body)
    models, streams_said = _said(body)
    if (
        found.model is None
        or models != 1
        or streams_said != (found.stream is not None)
        # to look for the one byte first is quick in pictures
        or (b"\\" in body and b"\\u" in body and _ESCAPED_LETTER.search(body) is not None)
    ):
        return _read_slowly(body, streams=streams, kind=kind)
    options = found.options
    asked = Asked(
        found.model,
        streams if found.stream is None else found.stream,
        found.user or "",
        0 if options is None else _count(options.num_ctx),
        _most(found, kind),
        prefixes=_prefixes(found) if found.messages and len(body) >= LEAST_BYTES else (),
    )
    if not found.fallback_models and not found.metadata:
        return asked
    return _with_extras(asked, bytes(found.fallback_models), bytes(found.metadata))


def _said(body: bytes) -> tuple[int, int]:
    """Return how often a body says "model" and "stream" in quotes, in any case."""
    words = _words(body) if len(body) >= _LARGE_BYTES else None
    if words is None:
        lowered = body.lower()
        return lowered.count(_QUOTED_MODEL), lowered.count(_QUOTED_STREAM)
    return words.count(_MODEL), words.count(_STREAM)


def _words(body: bytes) -> list[bytes] | None:
    """Return the short pieces between the quotes of a body, in lower case; None if it has many."""
    words: list[bytes] = []
    start = body.find(b'"') + 1
    for _ in range(len(body) // _SPARSE):
        end = body.find(b'"', start)
        if end < 0:
            return words
        if end - start <= len(_STREAM):
            words.append(body[start:end].lower())
        start = end + 1
    return None


def _prefixes(found: _Body) -> tuple[Prefix, ...]:
    """Return the beginnings of its prompt; none where so much may be listed that it takes long."""
    said = bytes(found.messages)
    if not said.startswith(b"[") or said.count(b",") > _MOST_COMMAS:
        return ()
    messages = _decode_messages(said)
    return prefixes((found.tools, found.system), messages) if messages else ()


def _read_slowly(body: bytes, *, streams: bool, kind: str) -> Asked:
    """Read as Go's encoding/json does, member by member."""
    model, stream, user, num_ctx = "", streams, "", 0
    limit, most_tokens = _limit(kind), 0
    said_to_herd: dict[str, bytes] = {}
    for key, text in _members(body, kind):
        if key in _EXTRAS:
            said_to_herd[key] = text
            continue
        name = key.casefold()
        match name, shallow(text) if name in {*_ODD, limit} else None:
            case _, None:
                pass
            case "model", str() as said:
                model = said
            case "stream", bool() as said:
                stream = said
            case (("model" | "stream"), value):
                _check(name, value, kind)
            case "user", str() as said:
                user = said
            case "options", dict():
                num_ctx = _count(_last(text, "num_ctx"))
                most_tokens = _count(_last(text, limit)) or most_tokens
            case _, value:
                most_tokens = _count(value) if name == limit else most_tokens
    asked = Asked(_readable(model), stream, _readable(user), num_ctx, most_tokens)
    return _with_extras(asked, *[said_to_herd.get(key, b"") for key in _EXTRAS])


def _members(body: bytes, kind: str) -> Iterator[tuple[str, bytes]]:
    """Yield the members of a body: the key, and what it holds."""
    if not body.lstrip().startswith(b"{"):
        try:
            msgspec.json.decode(body, type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise malformed(error, body) from error
        if (value := shallow(body)) is not None:  # to Go null says nothing
            raise unmarshal.no_object(value, kind)
    for member in members(body):
        yield member.key, body[member.value : member.ends]


def _last(text: bytes, key: str) -> object:
    """Return the last value of that exact key, as `shallow` reads it; None if there is none."""
    found = [text[each.value : each.ends] for each in members(text) if each.key == key]
    return shallow(found[-1]) if found else None


def _bound(body: bytes) -> None:
    """Refuse more members than `rewriting` may have to walk through."""
    for member in members(body):
        if member.key.casefold() in {"options", "metadata"}:
            members(body[member.value : member.ends])


def _check(name: str, value: object, kind: str) -> None:
    """Refuse a value of the wrong type, if there is such a field."""
    if name == "model":
        raise unmarshal.wrong(value, kind, name, "string")
    if not kind.endswith(_STREAMLESS):
        raise unmarshal.wrong(value, kind, name, "bool")


def _with_extras(asked: Asked, named: bytes, metadata: bytes) -> Asked:
    """Add what is said to herd alone, in two values of the body; empty where it has none."""
    fallbacks = _texts(named)
    if fallbacks is None and named and shallow(named) is not None:
        raise BadRequestError("fallback_models must be a list of model names")
    held = [metadata[each.value : each.ends] for each in members(metadata) if each.key == "tags"]
    tags = _texts(held[-1]) if held else None
    if fallbacks is None and tags is None:
        return asked
    if fallbacks is not None and len(fallbacks) > MOST_FALLBACKS:
        raise BadRequestError(f"fallback_models may name {MOST_FALLBACKS} models at most")
    return msgspec.structs.replace(
        asked,
        fallbacks=tuple([_readable(name) for name in fallbacks or []]),
        tags=tuple([_readable(tag) for tag in tags or []]),
        extras=True,
    )


def _texts(raw: bytes) -> list[str] | None:
    """Return a list of texts; None for anything else."""
    if not raw.lstrip().startswith(b"["):
        return None
    if raw.count(b",") > MOST or raw.count(b"[") > MOST:
        raise BadRequestError(f"JSON has a list of more than {MOST} names")
    try:
        value: object = json.loads(raw.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise BadRequestError("JSON is malformed") from error
    texts = [text for text in cast("list[object]", value) if isinstance(text, str)]
    return texts if len(texts) == len(cast("list[object]", value)) else None


def _readable(text: str) -> str:
    """Return text without lone surrogates, which no encoding has."""
    return text.encode("utf-8", "replace").decode()


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 < value < _MOST else 0


def _limit(kind: str) -> str:
    """Return what a body calls the most tokens of its answer: of several only one is looked at."""
    if kind.startswith("api."):
        return "num_predict"  # one of the options
    return "max_output_tokens" if kind == "openai.ResponsesRequest" else "max_tokens"


def _most(found: _Body, kind: str) -> int:
    """Return the most tokens of an answer; whatever is odd says nothing."""
    options, limit = found.options, _limit(kind)
    if limit == "num_predict":
        said = b"" if options is None else bytes(options.num_predict)
    else:
        said = bytes(found.max_tokens if limit == "max_tokens" else found.max_output_tokens)
    told = _TOKENS.fullmatch(said) if said else None
    return int(told[1]) if told else 0
