"""Clients that leave at the last event of a stream, before its framing ends."""

import asyncio

import pytest

from events import RequestCancelled, RequestCompleted, RequestFailed
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import CHAT, NDJSON, SSE, Ask, Control, fronting, node, post
from tests.herd.http.sockets import client

MESSAGES = (
    b'event: message_start\ndata: {"message":{"usage":{"input_tokens":9}}}\n\n',
    (
        b'event: message_delta\ndata: {"delta":{"stop_reason":"end_turn"},'
        b'"usage":{"output_tokens":4}}\n\n'
    ),
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
)
NAMED, LINES = b"text/event-stream", b"application/x-ndjson"
STREAMS = [
    pytest.param("/api/chat", LINES, NDJSON, id="ndjson"),
    pytest.param("/v1/chat/completions", NAMED, SSE, id="chunks"),
    pytest.param("/v1/messages", NAMED, MESSAGES, id="named events"),
]


@pytest.mark.parametrize(("path", "kind", "events"), STREAMS)
def test_who_leaves_at_it_has_had_the_whole_answer(
    run: Run, path: str, kind: bytes, events: tuple[bytes, ...]
) -> None:
    async def main() -> None:
        async def script(ask: Ask) -> None:
            ask.begin(kind)
            for event in events:
                ask.chunk(event)
            await ask.gone()

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, path, CHAT)
                await one.until(events[-1])
                one.close()
                done = await control.heard(RequestCompleted)
        assert control.kinds == ["RequestReceived", "RequestCompleted"]
        assert done.status == 200
        assert done.completion_tokens > 0

    run(main())


@pytest.mark.parametrize(("path", "kind", "events"), STREAMS)
def test_who_leaves_before_it_cancels(
    run: Run, path: str, kind: bytes, events: tuple[bytes, ...]
) -> None:
    half = events[-1][: len(events[-1]) // 2]

    async def main() -> None:
        async def script(ask: Ask) -> None:
            ask.begin(kind)
            for event in (*events[:-1], half):
                ask.chunk(event)
            await ask.gone()

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, path, CHAT)
                await one.until(half)
                one.close()
                cancelled = await control.heard(RequestCancelled)
        assert cancelled.phase == "stream"
        assert control.kinds == ["RequestReceived", "RequestCancelled"]

    run(main())


def test_who_leaves_at_the_error_of_a_node_has_been_failed(run: Run) -> None:
    async def main() -> None:
        error = b'data: {"error":{"message":"out of memory"}}\n\n'

        async def script(ask: Ask) -> None:
            ask.begin(NAMED)
            ask.chunk(SSE[0])
            ask.chunk(error)
            await ask.gone()

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/v1/chat/completions", CHAT)
                await one.until(error)
                one.close()
                failed = await control.heard(RequestFailed)
        assert (failed.fault, failed.phase) == ("node", "stream")

    run(main())


def test_who_leaves_at_no_error_cancels(run: Run) -> None:
    """Some servers say `"error":null` in every event."""

    async def main() -> None:
        event = b'data: {"choices":[{"delta":{"content":"hi"}}],"error":null}\n\n'

        async def script(ask: Ask) -> None:
            ask.begin(NAMED)
            ask.chunk(event)
            await ask.gone()

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/v1/chat/completions", CHAT)
                await one.until(event)
                one.close()
                await control.heard(RequestCancelled)
        assert control.kinds == ["RequestReceived", "RequestCancelled"]

    run(main())


def test_a_value_that_is_not_a_stream_ends_by_its_framing_alone(run: Run) -> None:
    """All of a large one may have come but its last bytes: nobody looks at what that says."""

    async def main() -> None:
        body = b'{"model":"a","done":true}'

        async def script(ask: Ask) -> None:
            ask.begin(b"application/json")
            ask.chunk(body)
            await ask.gone()

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                await one.until(body)
                await asyncio.sleep(0)
                one.close()
                await control.heard(RequestCancelled)

    run(main())
