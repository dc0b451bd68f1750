"""What passes through herd, and what is tried again before its first byte."""

import asyncio

import pytest

from events import (
    RequestCompleted,
    RequestReceived,
)
from herd.http import multipart
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


@pytest.mark.parametrize("path", [route.path for route in ROUTES if route.kind != multipart.KIND])
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
