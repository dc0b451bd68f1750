"""Which model a body asks for, and whether it wants a stream: read as Ollama itself reads it.

Rules
1. Ollama is written in Go: a key matches in any case, the last one of several counts, null is as
   good as absent. A balancer that reads otherwise sends a request to the wrong model.
2. One exact top-level `model` is the rule: the fast path reads it without making the rest of the
   body into objects. Whatever is odd takes the slow path, which reads as Go does.
3. Texts of refusals are Ollama's own. They never quote the body.
4. `fallback_models` and `tags` in `metadata` are said to herd alone: only their exact spelling
   counts, and they are not passed on (`rewriting`). `metadata` is the client's in all else.
"""

import json
import re
from typing import Final, TypeAlias, cast

import msgspec

from events import Prefix
from herd.http import unmarshal
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


class _Metadata(msgspec.Struct, gc=False):
    tags: list[str] | None = None


class _Body(msgspec.Struct, gc=False):
    model: str | None = None
    stream: bool | None = None
    user: str | None = None
    options: _Options | None = None
    fallback_models: list[str] | None = None
    metadata: _Metadata | None = None
    messages: list[msgspec.Raw] | None = None
    system: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    max_tokens: msgspec.Raw = msgspec.Raw()
    max_output_tokens: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Body).decode

_Pairs: TypeAlias = list[tuple[str, object]]

_STREAMLESS: Final = ("EmbedRequest", "EmbeddingRequest")
"""Bodies that have no `stream`: Go does not look at it."""
_MOST: Final = 1 << 40
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
    except msgspec.DecodeError as error:
        if b"\\u" in body:  # perhaps half of a surrogate pair, in whose place Go puts a mark
            return _read_slowly(body, streams=streams, kind=kind)
        text = str(error)
        where = "" if "(byte " in text else f" (byte {len(body)})"
        raise BadRequestError(f"{text}{where}") from error
    except UnicodeDecodeError as error:
        raise BadRequestError(f"JSON is malformed: not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise BadRequestError("JSON is malformed: exceeded max depth") from error
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
    if found.fallback_models is None and found.metadata is None:
        return asked
    tags = None if found.metadata is None else found.metadata.tags
    return _with_extras(asked, found.fallback_models, tags)


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
    return prefixes((found.tools, found.system), found.messages or ())


def _read_slowly(body: bytes, *, streams: bool, kind: str) -> Asked:
    """Read as Go's encoding/json does, pair by pair."""
    document = _document(body, kind)
    model, stream, user, num_ctx = "", streams, "", 0
    limit, most_tokens = _limit(kind), 0
    for key, value in document.pairs:
        match key.casefold(), value:
            case _, None:
                continue
            case "model", str():
                model = value
            case "stream", bool():
                stream = value
            case ("model" | "stream") as name, _:
                _check(name, value, kind)
            case "user", str():
                user = value
            case "options", _Object():
                told = dict(value.pairs)
                num_ctx = _count(told.get("num_ctx"))
                most_tokens = _count(told.get(limit)) or most_tokens
            case name, _ if name == limit:
                most_tokens = _count(value)
            case _:
                continue
    asked = Asked(_readable(model), stream, _readable(user), num_ctx, most_tokens)
    return _with_extras(asked, *_extras(document))


def _document(body: bytes, kind: str) -> "_Object":
    try:
        document: object = json.loads(body, object_pairs_hook=_Object)
        document = _Object([]) if document is None else document  # to Go that says nothing
    except (ValueError, RecursionError) as error:
        where = f" (byte {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        raise BadRequestError(f"JSON is malformed{where}") from error
    if not isinstance(document, _Object):
        raise unmarshal.no_object(document, kind)
    return document


def _check(name: str, value: object, kind: str) -> None:
    """Refuse a value of the wrong type, if there is such a field."""
    if name == "model":
        raise unmarshal.wrong(value, kind, name, "string")
    if not kind.endswith(_STREAMLESS):
        raise unmarshal.wrong(value, kind, name, "bool")


def _extras(document: "_Object") -> tuple[list[str] | None, list[str] | None]:
    pairs = dict(document.pairs)
    metadata = pairs.get("metadata")
    tags = _texts(dict(metadata.pairs).get("tags")) if isinstance(metadata, _Object) else None
    named = pairs.get("fallback_models")
    fallbacks = _texts(named)
    if named is not None and fallbacks is None:
        raise BadRequestError("fallback_models must be a list of model names")
    return fallbacks, tags


def _with_extras(asked: Asked, fallbacks: list[str] | None, tags: list[str] | None) -> Asked:
    if fallbacks is None and tags is None:
        return asked
    named = fallbacks or []
    if len(named) > MOST_FALLBACKS:
        raise BadRequestError(f"fallback_models may name {MOST_FALLBACKS} models at most")
    return msgspec.structs.replace(
        asked,
        fallbacks=tuple([_readable(name) for name in named]),
        tags=tuple([_readable(tag) for tag in tags or []]),
        extras=True,
    )


def _texts(value: object) -> list[str] | None:
    """Return a list of texts; None for anything else."""
    if not isinstance(value, list):
        return None
    texts = [text for text in cast("list[object]", value) if isinstance(text, str)]
    return texts if len(texts) == len(cast("list[object]", value)) else None


def _readable(text: str) -> str:
    """Return text without lone surrogates, which no encoding has."""
    return text.encode("utf-8", "replace").decode()


class _Object:
    """A JSON object with its pairs in order, doubles and all."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: _Pairs) -> None:
        self.pairs = pairs


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
