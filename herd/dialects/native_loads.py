"""Requests of Ollama's own routes that want no word: to load a model, or let it go.

As Ollama has it, what says nothing loads a model, and with `keep_alive` 0 lets it go; who wants no
vectors only loads. Read as Go reads: a key matches in any case, the last one of several counts,
null is as good as absent. Pure.
"""

import re
from typing import Any, Final, Literal, TypeAlias

import msgspec

Wish: TypeAlias = Literal["", "load", "unload"]
"""Nothing, where an answer is wanted, or the node had better say what is wrong."""

LARGEST_BYTES: Final = 4_096
"""Nobody takes more words to say nothing."""

_SAYS: Final = {
    "/api/chat": re.compile(rb'"messages"\s*:\s*\[\s*\{'),
    "/api/generate": re.compile(rb'"prompt"\s*:\s*"[^"]'),
    "/api/embed": re.compile(rb'"input"\s*:\s*(?:"[^"]|\[\s*")'),
    "/api/embeddings": re.compile(rb'"prompt"\s*:\s*"[^"]'),
}
_VECTORS: Final[dict[str, dict[str, Any]]] = {
    "/api/embed": {"embeddings": []},
    "/api/embeddings": {"embedding": []},
}
"""What an answer without any says."""
_NEVER: Final = re.compile(r"[+-]?(0|((0+(\.0*)?|\.0+)(ns|us|µs|μs|ms|s|m|h))+)")
"""A duration of no length, as Go writes it."""
_Pairs: TypeAlias = dict[str, msgspec.Raw]
_decode = msgspec.json.Decoder(_Pairs).decode


class _Said(msgspec.Struct, gc=False):
    messages: list[msgspec.Raw] | None = None
    prompt: str | None = None
    images: list[str] | None = None
    suffix: str | None = None
    input: str | list[msgspec.Raw] | None = None
    keep_alive: float | str | None = None


_decode_said = msgspec.json.Decoder(_Said).decode


def wish(path: str, body: bytes) -> Wish:
    """Return what a body asks for; `path` is that of one of the routes."""
    if len(body) > LARGEST_BYTES or _SAYS[path].search(body):
        return ""
    try:
        lowered = {name.casefold(): value for name, value in _decode(body).items()}
        said = _decode_said(msgspec.json.encode(lowered))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    if _says(path, said):
        return ""
    if path in _VECTORS:
        return "load"
    kept = said.keep_alive
    never = bool(_NEVER.fullmatch(kept)) if isinstance(kept, str) else kept == 0
    return "unload" if never else "load"


def _says(path: str, said: _Said) -> bool:
    match path:
        case "/api/chat":
            return bool(said.messages)
        case "/api/embed":
            return bool(said.input)
        case _:
            return bool(said.prompt or said.images or said.suffix)


def done(path: str, model: str, date: str, reason: Literal["load", "unload"]) -> bytes:
    """Return Ollama's answer; `model` is the name as the client spells it."""
    if path == "/api/embeddings":
        return msgspec.json.encode(_VECTORS[path])
    if path == "/api/embed":
        return msgspec.json.encode({"model": model} | _VECTORS[path])
    told: dict[str, Any] = {"model": model, "created_at": date}
    if path == "/api/chat":
        told["message"] = {"role": "assistant", "content": ""}
    else:
        told["response"] = ""
    return msgspec.json.encode(told | {"done_reason": reason, "done": True})
