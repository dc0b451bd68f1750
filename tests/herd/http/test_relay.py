"""What passes through herd, and what is tried again before its first byte."""

import asyncio
import socket

import msgspec
import pytest

from events import (
    AttemptFailed,
    RequestCompleted,
    RequestReceived,
)
from herd.http.endpoints.inference import ROUTES
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import (
    CHAT,
    NDJSON,
    QUIET,
    Ask,
    Control,
    Script,
    fronting,
    header,
    node,
    post,
    streamed,
)
from tests.herd.http.sockets import client

ANSWER = b'{"model":"m","done":true,"prompt_eval_count":3,"eval_count":5,"done_reason":"stop"}'


async def answered(ask: Ask) -> None:
    ask.answer(ANSWER)


@pytest.mark.parametrize("path", [route.path for route in ROUTES])
def test_a_request_reaches_the_route_of_the_same_name_byte_for_byte(path: str, run: Run) -> None:
    body = b' { "model" : "m:latest" ,\n"input":["\xc3\xa9"], "options":{"seed":1e0}, "x":null }'

    async def main() -> None:
        async with node(answered) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(
                    one,
                    path + "?a=%20b",
                    body,
                    b"Authorization: Bearer x",
                    b"Content-Type: text/plain",
                    b"Origin: http://localhost:3000",
                    b"Accept-Encoding: gzip",
                    b"Connection: keep-alive, X-Secret",
                    b"X-Secret: 1",
                    b"TE: trailers",
                    b"X-Herd-Deadline-S: 9",
                    b"X-Herd-Priority: Batch",
                )
                head, answer = await one.answer()
            asked = here.asks[0]
        assert answer == ANSWER
        assert header(head, b"Content-Length") == b"%d" % len(ANSWER)
        assert asked.body == body
        assert asked.head.split(b"\r\n") == [
            b"POST %b?a=%%20b HTTP/1.1" % path.encode(),
            b"Host: " + here.url.removeprefix("http://").encode(),
            b"Authorization: Bearer x",
            b"Content-Type: text/plain",
            b"Content-Length: %d" % len(body),
            b"",
            b"",
        ]
        assert control.kinds == ["RequestReceived", "RequestCompleted"]
        received = await control.heard(RequestReceived)
        assert received.route == path
        assert received.deadline_s == 9
        assert received.priority == "batch"
        assert received.body_bytes == len(body)

    run(main())


def test_an_answer_names_who_gave_it(run: Run) -> None:
    async def main() -> None:
        async with node(answered) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", b'{"model":"M","stream":false}')
                head, _ = await one.answer()
            received = await control.heard(RequestReceived)
        assert header(head, b"X-Fleet-Node") == b"n1"
        assert header(head, b"X-Fleet-Requested-Model") == b"M"
        assert header(head, b"X-Fleet-Served-Model") == b"M:latest"
        assert header(head, b"X-Fleet-Fallback") == b"false"
        assert header(head, b"X-Fleet-Retries") == b"0"
        assert header(head, b"X-Fleet-Score") == b"1.5"
        assert header(head, b"X-Herd-Request-Id") == received.request_id.encode()
        assert b"X-Herd-Predicted" not in head, "nothing was predicted"
        assert header(head, b"Date")
        assert (received.model, received.asked_model) == ("M:latest", "M")

    run(main())


def test_a_stream_passes_as_it_comes_and_is_reported_whole(run: Run) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def script(ask: Ask) -> None:
            ask.begin()
            ask.chunk(NDJSON[0])
            await go_on.wait()
            ask.chunk(NDJSON[1] + NDJSON[2][:20])
            ask.chunk(NDJSON[2][20:])
            ask.end()

        async with node(script) as here:
            control = Control(here.url, here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                for _ in range(2):
                    go_on.clear()
                    post(one, "/api/chat", CHAT)
                    head = await one.until(NDJSON[0] + b"\r\n")
                    assert b"Transfer-Encoding: chunked" in head
                    go_on.set()
                    rest = await one.until(b"0\r\n\r\n")
                    assert NDJSON[2][20:] in rest
            assert here.connections == 1
            done = await control.heard(RequestCompleted, 2)
        assert (done.prompt_tokens, done.completion_tokens) == (7, 2)
        assert (done.load_s, done.usage_source, done.finish) == (1.5, "reported", "stop")
        assert (done.node_id, done.lease, done.status) == ("n2", "1.2", 200)

    run(main())


def test_http_1_0_clients_get_the_stream_without_chunks(run: Run) -> None:
    async def main() -> None:
        async with node(streamed) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                one.send(
                    b"POST /api/chat HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(CHAT), CHAT)
                )
                assert (await one.rest()).endswith(b"\r\n\r\n" + b"".join(NDJSON))

    run(main())


async def _interim(ask: Ask) -> None:
    ask.send(b"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n")
    ask.answer(ANSWER)


async def _until_close(ask: Ask) -> None:
    ask.send(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + ANSWER)
    ask.close()


async def _hops(ask: Ask) -> None:
    ask.send(
        b"HTTP/1.1 200 OK\r\nConnection: close, X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\n"
        b"X-Fleet-Node: liar\r\nX-Real: 2\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
    )
    ask.close()


async def _with_more_behind(ask: Ask) -> None:
    ask.answer(ANSWER)
    ask.answer(b"EVIL")


@pytest.mark.parametrize("script", [_interim, _until_close, _hops, _with_more_behind])
def test_odd_answers_arrive_as_good_ones(script: Script, run: Run) -> None:
    async def main() -> None:
        async with node(script) as here:
            control = Control(here.url, here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                for _ in range(2):
                    post(one, "/api/chat", QUIET)
                    head, body = await one.answer()
                    assert body == ANSWER
                    assert b"X-Early" not in head
                    assert b"X-Own" not in head
                    assert b"eep-Alive" not in head
                    assert header(head, b"X-Fleet-Node") in (b"n1", b"n2")
        assert control.kinds == ["RequestReceived", "RequestCompleted"] * 2

    run(main())


@pytest.mark.parametrize("status", [400, 401, 404, 429])
def test_a_nodes_own_refusal_passes_unchanged(status: int, run: Run) -> None:
    async def main() -> None:
        async with node(lambda ask: _say(ask, status)) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/v1/chat/completions", QUIET)
                head, body = await one.answer()
                assert head.startswith(b"HTTP/1.1 %d " % status)
                assert body == b'{"error":"no \xc3\xa9"}'
                assert header(head, b"X-Fleet-Node") == b"n1"
                assert (await control.heard(RequestCompleted)).status == status

    run(main())


async def _say(ask: Ask, status: int) -> None:
    ask.answer(b'{"error":"no \xc3\xa9"}', status)


# Before the first byte


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
    ask.answer(b"<html>It works!</html>")


async def _half_a_page(ask: Ask) -> None:
    ask.begin()
    ask.chunk(b"\x00\x01")
    await ask.gone()


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
