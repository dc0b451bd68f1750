"""Requests of `/api/chat` and `/api/generate` that want no word: to load a model, or let it go.

As Ollama has it, what says nothing loads a model, and with `keep_alive` 0 lets it go. Read as Go
reads: a key matches in any case, the last one of several counts, null is as good as absent. Pure.
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
}
_NEVER: Final = re.compile(r"[+-]?(0|((0+\.?0*|\.0+)(ns|us|µs|μs|ms|s|m|h))+)")
"""A duration of no length, as Go writes it."""
_Pairs: TypeAlias = dict[str, msgspec.Raw]
_decode = msgspec.json.Decoder(_Pairs).decode


class _Said(msgspec.Struct, gc=False):
    messages: list[msgspec.Raw] | None = None
    prompt: str | None = None
    images: list[str] | None = None
    suffix: str | None = None
    keep_alive: float | str | None = None


_decode_said = msgspec.json.Decoder(_Said).decode


def wish(path: str, body: bytes) -> Wish:
    """Return what a body asks for; `path` is that of one of the two routes."""
    if len(body) > LARGEST_BYTES or _SAYS[path].search(body):
        return ""
    try:
        lowered = {name.casefold(): value for name, value in _decode(body).items()}
        said = _decode_said(msgspec.json.encode(lowered))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    if said.messages if path == "/api/chat" else said.prompt or said.images or said.suffix:
        return ""
    kept = said.keep_alive
    never = bool(_NEVER.fullmatch(kept)) if isinstance(kept, str) else kept == 0
    return "unload" if never else "load"


def done(path: str, model: str, date: str, reason: Literal["load", "unload"]) -> bytes:
    """Return Ollama's answer; `model` is the name as the client spells it."""
    told: dict[str, Any] = {"model": model, "created_at": date}
    if path == "/api/chat":
        told["message"] = {"role": "assistant", "content": ""}
    else:
        told["response"] = ""
    return msgspec.json.encode(told | {"done_reason": reason, "done": True})
