"""What real servers said, in the words of each API: every byte of it is known.

`recorded/NAME.sse` and `NAME.json` are answers of `/v1/chat/completions` as servers wrote them:
`llama_cpp_*` xllamacpp's with SmolLM2, `mlx_*` mlx-lm's with the model of `tests/clients/tiny.py`,
which thinks, calls a tool and is cut short, `vllm_*` vLLM's (0.32 on a CPU) with the same.
`NAME.as_*` are their translations. `HERD_GOLDEN=write` writes those anew: look at what changed
before it is kept.
"""

import os
from pathlib import Path

import pytest

from herd.dialects import refused
from herd.dialects.asking import Asking
from herd.http.reading import reading_of
from herd.http.translations import TRANSLATIONS
from herd.http.usage import Usage

HERE = Path(__file__).parent / "recorded"
ROUTES = ("/v1/messages", "/v1/responses", "/api/chat", "/api/generate")
NAMES = sorted(path.stem for path in HERE.glob("*.sse"))
REFUSALS = {
    "llama_cpp_refusal": "Expected 'messages' to be an array",
    "mlx_refusal": "Request did not contain messages",
    "mlx_bad_value": "temperature must be of type ('float', 'int')",
    "mlx_unknown": "Cannot find an appropriate cached snapshot folder",
    "vllm_refusal": "1 validation error:\n  {'type': 'missing', 'loc': 'body.messages'",
    "vllm_unknown": "The model `nope` does not exist.",
}
SAID = {
    "llama_cpp_chat": (37, 12, 0, "length"),
    "mlx_chat": (33, 30, 32, "stop"),
    "mlx_length": (33, 4, 32, "length"),
    "mlx_tool": (37, 44, 36, "tool_calls"),
    "vllm_chat": (33, 30, 0, "stop"),
    "vllm_length": (33, 4, 0, "length"),
    "vllm_tool": (37, 44, 0, "tool_calls"),
}
"""Tokens of the prompt, of the answer, and of the prompt from a cache; why it ended."""

each_route = pytest.mark.parametrize("route", ROUTES)
each_stream = pytest.mark.parametrize("name", NAMES)


def asking() -> Asking:
    """Return a request of half a second ago, at an instant that stays the same."""
    return Asking("SmolLM2:135m", b"{}", 1.0, 1_795_770_987.0, lambda: 1.5)


def golden(name: str, route: str, kind: str, told: bytes) -> bytes:
    """Return what is kept of a translation; or keep it."""
    path = HERE / f"{name}.as_{route.strip('/').replace('/', '_')}.{kind}"
    if os.environ.get("HERD_GOLDEN") == "write":
        path.write_bytes(told)
    return path.read_bytes()


@each_stream
@each_route
def test_a_stream(name: str, route: str) -> None:
    told = TRANSLATIONS[route].stream(asking()).feed((HERE / f"{name}.sse").read_bytes())
    assert told == golden(name, route, "stream", told)


@each_stream
@each_route
@pytest.mark.parametrize("size_bytes", [1, 7, 1000])
def test_a_stream_in_pieces(name: str, route: str, size_bytes: int) -> None:
    said = (HERE / f"{name}.sse").read_bytes()
    stream = TRANSLATIONS[route].stream(asking())
    pieces = [said[at : at + size_bytes] for at in range(0, len(said), size_bytes)]
    told = b"".join([stream.feed(piece) for piece in pieces])
    assert told == TRANSLATIONS[route].stream(asking()).feed(said)


@pytest.mark.parametrize("name", [name for name in NAMES if (HERE / f"{name}.json").exists()])
@each_route
def test_an_answer_in_one_piece(name: str, route: str) -> None:
    told = TRANSLATIONS[route].whole((HERE / f"{name}.json").read_bytes(), asking())
    assert told == golden(name, route, "json", told)


@each_stream
def test_what_is_read_while_it_passes(name: str) -> None:
    said = (HERE / f"{name}.sse").read_bytes()
    reading = reading_of(b"text/event-stream")
    for piece in said.splitlines(keepends=True):
        reading.feed(piece)
    prompt, answer, cached, finish = SAID[name]
    assert reading.usage() == Usage(
        whole=True,
        prompt_tokens=prompt,
        completion_tokens=answer,
        source="reported",
        finish=finish,
        cached_tokens=cached,
    )


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal(name: str) -> None:
    assert refused.words((HERE / f"{name}.json").read_bytes()).startswith(REFUSALS[name])
