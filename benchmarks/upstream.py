"""A scripted node: Ollama's answers at almost no cost, so that it is never what is measured.

`python -m benchmarks.upstream --step-s 0.01` says its address as one JSON line. `/api/chat` gives
as many lines as the body's `num_predict` says, each in a chunk and a `send` of its own: every
`--step-s` seconds, or as fast as they are taken. Streams are spread evenly over the step, as
independent nodes would be. `herd.simulator` has physics and costs twenty times as much.
"""

import argparse
import asyncio
import json
import re
from collections.abc import Callable
from functools import partial
from typing import cast

from herd.platform import run_loop, set_title

MODEL = "llama3.2:3b"
PHASES = 10
"""Groups of streams within one step."""

_DETAILS = {
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "3.2B",
    "quantization_level": "Q4_K_M",
}
_ENTRY = {
    "name": MODEL,
    "model": MODEL,
    "size": 2_019_393_189,
    "digest": "a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b8b72",
    "details": _DETAILS,
}
PAGES = {
    "/": "Ollama is running",
    "/api/version": json.dumps({"version": "0.12.0"}),
    "/api/tags": json.dumps({"models": [_ENTRY | {"modified_at": "2026-01-02T03:04:05Z"}]}),
    "/api/ps": json.dumps(
        {
            "models": [
                _ENTRY
                | {
                    "size_vram": 2_019_393_189,
                    "context_length": 8192,
                    "expires_at": "2036-01-02T03:04:05Z",
                }
            ]
        }
    ),
}
_STAMP = f'{{"model":"{MODEL}","created_at":"2026-01-02T03:04:05.678901Z",'
END = (
    '"done":true,"done_reason":"stop","total_duration":1234567,"load_duration":1234,'
    '"prompt_eval_count":12,"prompt_eval_duration":123456,"eval_count":%d,"eval_duration":1111111}'
)
SMALL_ANSWER = (
    _STAMP + '"message":{"role":"assistant","content":"Hello! How can I help you?"},' + END % 8
)
"""A whole answer that is not streamed."""
OPENAI_ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_767_322_800,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello! How can I help you?"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 8, "total_tokens": 20},
    }
)
"""The same on OpenAI's route."""


def _chunk(text: str) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text.encode())


TOKEN = _chunk(_STAMP + '"message":{"role":"assistant","content":" word"},"done":false}\n')
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
)

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_PREDICT = re.compile(rb'"num_predict": *(\d+)')
_WHOLE = re.compile(rb'"stream": *false')


def page(body: str, content_type: bytes = b"application/json") -> bytes:
    """Return an answer with its length."""
    data = body.encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (
        content_type,
        len(data),
        data,
    )


def request_of(data: bytes) -> tuple[str, bytes, bytes] | None:
    """Return path, body and what follows of the first request; None while it is not whole."""
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        return None
    length = _LENGTH.search(head)
    size = int(length[1]) if length else 0
    if len(rest) < size:
        return None
    path = head.split(b" ", 2)[1].decode().partition("?")[0]
    return path, rest[:size], rest[size:]


class Pacer:
    """Gives each stream its next token when its turn comes."""

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._loop = asyncio.get_running_loop()
        self._groups: list[dict[Stream, None]] = [{} for _ in range(PHASES if step_s else 1)]
        self._turn = 0
        self._began = 0
        self._at = self._loop.time()
        self._tick()

    def add(self, stream: "Stream") -> None:
        self._began += 1
        self._groups[self._began % len(self._groups)][stream] = None

    def remove(self, stream: "Stream") -> None:
        for group in self._groups:
            group.pop(stream, None)

    def _tick(self) -> None:
        group = self._groups[self._turn]
        self._turn = (self._turn + 1) % len(self._groups)
        for stream in tuple(group):
            if stream.next_token():
                del group[stream]
        if self._step_s:
            self._at += self._step_s / PHASES
            self._loop.call_at(self._at, self._tick)
        elif group:
            self._loop.call_soon(self._tick)
        else:
            self._loop.call_later(0.001, self._tick)


class Stream(asyncio.Protocol):
    """One connection; one answer at a time."""

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._left = 0
        self._all = 0
        self._blocked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while not self._left and (found := request_of(self._data)) is not None:
            path, body, self._data = found
            self._answer(path, body)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._pacer.remove(self)
        self._transport = None

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False

    def next_token(self) -> bool:
        """Send a token; return whether it was the last."""
        if self._blocked or self._transport is None:
            return False
        self._left -= 1
        if self._left:
            self._transport.write(TOKEN)
            return False
        last = _STAMP + '"message":{"role":"assistant","content":""},' + END % self._all + "\n"
        self._transport.write(_chunk(last) + b"0\r\n\r\n")
        if self._data:
            self.data_received(b"")
        return True

    def _answer(self, path: str, body: bytes) -> None:
        assert self._transport is not None
        if path in PAGES:
            self._transport.write(
                page(PAGES[path], b"text/plain" if path == "/" else b"application/json")
            )
        elif _WHOLE.search(body):
            self._transport.write(page(SMALL_ANSWER))
        else:
            asked = _PREDICT.search(body)
            self._all = int(asked[1]) if asked else 10
            self._left = self._all + 1
            self._transport.write(STREAM_HEAD)
            self._pacer.add(self)


async def serve(step_s: float, said: Callable[[str], None]) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Stream, Pacer(step_s)), "127.0.0.1", 0, backlog=4096)
    said(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step-s", type=float, default=0.01)
    arguments = parser.parse_args()
    set_title("scripted node")
    run_loop(serve(arguments.step_s, lambda url: print(json.dumps({"url": url}), flush=True)))


if __name__ == "__main__":
    main()
