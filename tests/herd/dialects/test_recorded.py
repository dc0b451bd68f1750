"""What llama.cpp's server really said, in the words of each API: every byte of it is known.

`recorded/llama_cpp_*` are answers of `/v1/chat/completions`, as xllamacpp's server with SmolLM2
wrote them; `recorded/as_*` are their translations. `HERD_GOLDEN=write` writes those anew: look at
what changed before it is kept.
"""

import os
from pathlib import Path

import pytest

from herd.dialects.asking import Asking
from herd.http.translations import TRANSLATIONS

HERE = Path(__file__).parent / "recorded"
ROUTES = ("/v1/messages", "/v1/responses", "/api/chat", "/api/generate")
STREAM = (HERE / "llama_cpp_chat.sse").read_bytes()
WHOLE = (HERE / "llama_cpp_chat.json").read_bytes()


def asking() -> Asking:
    """Return a request of half a second ago, at an instant that stays the same."""
    return Asking("SmolLM2:135m", b"{}", 1.0, 1_795_770_987.0, lambda: 1.5)


def golden(route: str, kind: str, told: bytes) -> bytes:
    """Return what is kept of a translation; or keep it."""
    path = HERE / f"as_{route.strip('/').replace('/', '_')}.{kind}"
    if os.environ.get("HERD_GOLDEN") == "write":
        path.write_bytes(told)
    return path.read_bytes()


@pytest.mark.parametrize("route", ROUTES)
def test_a_stream(route: str) -> None:
    told = TRANSLATIONS[route].stream(asking()).feed(STREAM)
    assert told == golden(route, "stream", told)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("size_bytes", [1, 7, 1000])
def test_a_stream_in_pieces(route: str, size_bytes: int) -> None:
    stream = TRANSLATIONS[route].stream(asking())
    pieces = [STREAM[at : at + size_bytes] for at in range(0, len(STREAM), size_bytes)]
    told = b"".join([stream.feed(piece) for piece in pieces])
    assert told == TRANSLATIONS[route].stream(asking()).feed(STREAM)


@pytest.mark.parametrize("route", ROUTES)
def test_an_answer_in_one_piece(route: str) -> None:
    told = TRANSLATIONS[route].whole(WHOLE, asking())
    assert told == golden(route, "json", told)


@pytest.mark.parametrize("route", ROUTES)
def test_a_refusal(route: str) -> None:
    refusal = (HERE / "llama_cpp_refusal.json").read_bytes()
    assert TRANSLATIONS[route].error(400, refusal) == "Expected 'messages' to be an array"
