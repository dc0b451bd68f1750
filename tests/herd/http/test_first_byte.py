"""What goes wrong before the first byte is tried elsewhere, and nobody is the wiser."""

import socket

import msgspec
import pytest

from events import (
    AttemptFailed,
)
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import (
    CHAT,
    NDJSON,
    QUIET,
    Ask,
    Control,
    fronting,
    header,
    node,
    post,
    streamed,
)
from tests.herd.http.sockets import client
from tests.herd.http.test_relay import answered

ANSWER = b'{"model":"m","done":true,"prompt_eval_count":3,"eval_count":5,"done_reason":"stop"}'


async def _error(ask: Ask) -> None:
    ask.answer(b'{"error":"runner of canary died"}', 500)


async def _busy(ask: Ask) -> None:
    ask.answer(
        b'{"error":"server busy, please try again.  maximum pending requests exceeded"}', 503
    )


async def _closed(ask: Ask) -> None:
    ask.close()


async def _head_only(ask: Ask) -> None:
    ask.begin()
    ask.close()


async def _empty(ask: Ask) -> None:
    ask.answer(b"")


async def _empty_chunked(ask: Ask) -> None:
    ask.begin()
    ask.end()


async def _nonsense(ask: Ask) -> None:
    ask.send(b"SSH-2.0-OpenSSH_9.6\r\n")


async def _endless_head(ask: Ask) -> None:
    ask.send(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000)


async def _page(ask: Ask) -> None:
    """Say what a proxy says whose Ollama is gone."""
    ask.answer(b"<html>It works!</html>")


async def _half_a_page(ask: Ask) -> None:
    ask.begin()
    ask.chunk(b"\x00\x01")
    await ask.gone()


async def _half_a_page_and_no_chunk(ask: Ask) -> None:
    ask.begin()
    ask.send(b"4\r\ndata: \r\n")


async def _half_a_value(ask: Ask) -> None:
    ask.answer(b'{"done":true,')


async def _unfinished_at_once(ask: Ask) -> None:
    ask.begin()
    ask.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(NDJSON[0]), NDJSON[0]))


FAILURES = {
    "500": (_error, 500, "answered 500"),
    "busy": (_busy, 503, "answered 503: server busy"),
    "closed": (_closed, 0, "connection closed"),
    "closed after the head": (_head_only, 0, "connection closed"),
    "empty": (_empty, 0, "empty answer"),
    "empty and chunked": (_empty_chunked, 0, "empty answer"),
    "no HTTP": (_nonsense, 0, "not an HTTP answer"),
    "endless head": (_endless_head, 0, "more headers than fit"),
    "a page": (_page, 0, "answered no JSON"),
    "half a page": (_half_a_page, 0, "answered no JSON"),
    "half a page, in a bad chunk": (_half_a_page_and_no_chunk, 0, "answered no JSON"),
    "half a value": (_half_a_value, 0, "answer without an end"),
    "no end": (_unfinished_at_once, 0, "answer without an end"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_before_the_first_byte_is_tried_elsewhere(case: str, run: Run) -> None:
    script, status, error = FAILURES[case]

    async def main() -> None:
        async with node(script) as bad, node(streamed) as good:
            control = Control(bad.url, good.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                head, body = await one.answer()
        assert body == b"".join(NDJSON)
        assert header(head, b"X-Fleet-Node") == b"n2"
        assert header(head, b"X-Fleet-Retries") == b"1"
        assert control.kinds == ["RequestReceived", "AttemptFailed", "RequestCompleted"]
        failed = await control.heard(AttemptFailed)
        assert (failed.phase, failed.status) == ("first_byte", status)
        assert failed.error.startswith(error)
        assert "canary" not in failed.error
        assert (failed.node_id, failed.lease) == ("n1", "1.1")
        assert good.asks[0].body == CHAT

    run(main())


def test_a_node_that_nobody_answers_at_is_tried_elsewhere(run: Run) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        async with node(answered) as good:
            control = Control(f"http://127.0.0.1:{port}", "nonsense", good.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", QUIET)
                head, _ = await one.answer()
        assert header(head, b"X-Fleet-Retries") == b"2"
        first = await control.heard(AttemptFailed)
        assert (first.phase, first.error) == ("connect", "connection refused")
        assert (await control.heard(AttemptFailed, 2)).error == "not an address"

    run(main())


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/api/chat", {"error": "node failed: n1: answered 500: runner of canary died"}),
        (
            "/v1/chat/completions",
            {
                "error": {
                    "message": "node failed: n1: answered 500: runner of canary died",
                    "type": "api_error",
                    "param": None,
                    "code": None,
                }
            },
        ),
    ],
)
def test_when_no_node_is_left_the_client_hears_what_the_last_one_said(
    path: str, shape: object, run: Run
) -> None:
    async def main() -> None:
        async with node(_error) as bad:
            control = Control(bad.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, path, QUIET)
                head, body = await one.answer()
                assert head.startswith(b"HTTP/1.1 502 ")
                assert msgspec.json.decode(body) == shape
                assert header(head, b"X-Fleet-Node") == b"n1"
                post(one, path, QUIET)
                assert (await one.answer())[0].startswith(b"HTTP/1.1 502 ")
        assert control.kinds == ["RequestReceived", "AttemptFailed", "RequestReceived"]

    run(main())


def test_a_pooled_connection_that_died_is_replaced_without_counting(run: Run) -> None:
    async def main() -> None:
        async def script(ask: Ask) -> None:
            if ask is here.asks[0]:
                ask.answer(ANSWER)
            elif ask is here.asks[1]:
                ask.close()  # it came on the old connection, and dies without a byte
            else:
                await answered(ask)

        async with node(script) as here:
            control = Control(here.url, here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                for _ in range(2):
                    post(one, "/api/chat", QUIET)
                    head, body = await one.answer()
                    assert body == ANSWER
                    assert header(head, b"X-Fleet-Retries") == b"0"
            assert (here.connections, len(here.asks)) == (2, 3)
        assert control.kinds == ["RequestReceived", "RequestCompleted"] * 2

    run(main())


def test_a_fresh_connection_that_dies_is_a_failure_even_after_a_pooled_one(run: Run) -> None:
    async def main() -> None:
        async def script(ask: Ask) -> None:
            if ask is here.asks[0]:
                ask.answer(ANSWER)
            else:
                ask.close()

        async with node(script) as here:
            control = Control(here.url, here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                for status in (b"200", b"502"):
                    post(one, "/api/chat", QUIET)
                    assert (await one.answer())[0].startswith(b"HTTP/1.1 " + status)
            assert len(here.asks) == 3

    run(main())
