"""Comments in a stream, with which a node says that it lives while it reads a prompt.

mlx-lm's server sends `: keepalive 2048/20000` from the first instant on, llama.cpp's a bare colon.
They pass, so that nobody on the way takes the silence for the end; they are no tokens.
"""

import asyncio

import pytest

from events import RequestCompleted
from herd.http.reading import Sse
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Ask, Control, fronting, node, post
from tests.herd.http.sockets import client

ASKED = b'{"model":"m","stream":true,"messages":[]}'
EVENT = b'data: {"choices":[{"delta":{"content":"a:b\\n:c"}}]}\n\n'
LAST = b'data: {"choices":[{"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
READS_S = 0.05
"""How long the node reads the prompt."""


@pytest.mark.parametrize("comment", [b": keepalive 2048/20000\n\n", b":\n\n", b": ping\r\n\r\n"])
def test_the_first_token_is_timed_not_the_first_comment(run: Run, comment: bytes) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def script(ask: Ask) -> None:
            ask.begin(b"text/event-stream")
            ask.chunk(comment)
            await go_on.wait()
            ask.chunk(comment)
            await asyncio.sleep(READS_S)
            for event in (EVENT, LAST, DONE):
                ask.chunk(event)
            ask.end()

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/v1/chat/completions", ASKED)
                assert b"text/event-stream" in await one.until(comment), "it passes at once"
                go_on.set()
                assert EVENT in await one.until(b"0\r\n\r\n")
            done = await control.heard(RequestCompleted)
        assert READS_S <= done.ttft_s <= done.service_s
        assert (done.completion_tokens, done.usage_source) == (2, "counted")

    run(main())


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_comments_are_no_tokens(end: bytes) -> None:
    reading = Sse()
    for piece in (
        b": a\n\n",
        b": b\n\n: c\n\n",
        EVENT,
        EVENT + b":\n\n" + EVENT,
        b": d\n\n" + LAST,
    ):
        reading.feed(piece.replace(b"\n", end))
        assert reading.tokens >= 0
    reading.feed(DONE)
    assert reading.tokens == 5
    assert reading.usage().completion_tokens == 4
