"""What a node says in an answer that is an error: each make of server has a place for it. Pure.

Ollama and llama.cpp say it in `error`, as a text or with a `message`; vLLM and SGLang in `message`;
those made with FastAPI in `detail`; some made with Go as plain text.
"""

import contextlib
from typing import Final

import msgspec

LONGEST: Final = 500
"""Of what is no text in a place for one."""
NOTHING: Final = (b"", b"null", b'""', b"false", b"{}")
"""An `error` that says that there is none."""
_MARKUP: Final = ("<", "{", "[")
_MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Said(msgspec.Struct, gc=False):
    error: msgspec.Raw = msgspec.Raw(b"")
    message: msgspec.Raw = msgspec.Raw(b"")
    detail: msgspec.Raw = msgspec.Raw(b"")


class _Error(msgspec.Struct, gc=False):
    message: msgspec.Raw


_decode = msgspec.json.Decoder(_Said).decode
_decode_error = msgspec.json.Decoder(_Error).decode
_decode_any = msgspec.json.Decoder(msgspec.Raw).decode
_decode_text = msgspec.json.Decoder(str).decode


def words(body: bytes) -> str:
    """Return what an answer says; nothing where it says nothing that a human could read."""
    try:
        said = _decode(body)
    except _MALFORMED:
        return _plain(body)
    return error_words(said.error) or error_words(said.message) or error_words(said.detail)


def error_words(raw: msgspec.Raw) -> str:
    """Return what an `error` says; nothing where there is none."""
    found = bytes(raw)
    if found in NOTHING:
        return ""
    for decode in (_decode_text, _message):
        try:
            return decode(found)
        except _MALFORMED:
            continue
    return found.decode("utf-8", "replace")[:LONGEST]


def _message(raw: bytes) -> str:
    return _decode_text(_decode_error(raw).message)


def _plain(body: bytes) -> str:
    """Return a text that is no JSON, nor the page of some proxy."""
    with contextlib.suppress(*_MALFORMED):
        _decode_any(body)
        return ""
    text = body.decode("utf-8", "replace").strip()
    readable = not text.startswith(_MARKUP) and all(c.isprintable() or c.isspace() for c in text)
    return text[:LONGEST] if readable else ""
