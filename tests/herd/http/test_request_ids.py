"""The id of a request, where the clients of OpenAI and of Anthropic look for it."""

import msgspec
import pytest

from events import RequestReceived
from herd.link.messages import Refuse
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import Ask, Control, fronting, header, node, post
from tests.herd.http.sockets import client

WHOLE = b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}'
MESSAGE = b'{"type":"message","stop_reason":"end_turn","usage":{"output_tokens":1}}'
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


async def whole(ask: Ask) -> None:
    ask.answer(MESSAGE if MESSAGES.encode() in ask.head else WHOLE)


async def named(ask: Ask) -> None:
    """Answer as vLLM with `--enable-request-id-headers`."""
    kind = b"Content-Type: application/json\r\nX-Request-Id: mine"
    ask.send(b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: %d\r\n\r\n" % (kind, len(WHOLE)) + WHOLE)


@pytest.mark.parametrize(
    ("path", "own", "other"),
    [
        (at + path, own, other)
        for at in ("", "http://localhost:11435")
        for path, own, other in (
            (CHAT, b"x-request-id", b"request-id"),
            (MESSAGES, b"request-id", b"x-request-id"),
        )
    ],
)
def test_an_answer_has_it_in_its_familys_header(
    run: Run, path: str, own: bytes, other: bytes
) -> None:
    async def main() -> None:
        async with node(whole) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, path, b'{"model":"M"}')
                head, body = await one.answer()
        received = await control.heard(RequestReceived)
        assert header(head, own) == received.request_id.encode()
        assert header(head, b"X-Herd-Request-Id") == header(head, own)
        assert b"\n%b:" % other not in head
        assert body in {WHOLE, MESSAGE}, "bodies are passed on as they are"

    run(main())


def test_a_node_that_has_one_of_its_own_is_heard(run: Run) -> None:
    async def main() -> None:
        async with (
            node(named) as here,
            fronting(Control(here.url)) as listener,
            client(listener.port) as one,
        ):
            post(one, CHAT, b'{"model":"M"}')
            head, _ = await one.answer()
        assert head.lower().count(b"\nx-request-id:") == 1
        assert header(head, b"X-Request-Id") == b"mine"

    run(main())


def test_ollamas_own_routes_have_none(run: Run) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            post(one, "/api/chat", b"{}")
            head, _ = await one.answer()
        assert b"request-id" not in head.lower()

    run(main())


def test_an_error_of_messages_has_it_in_its_body_too(run: Run) -> None:
    async def main() -> None:
        control = Control()
        control.holds = True
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, MESSAGES, b'{"model":"M"}')
            received = await control.heard(RequestReceived)
            assert control.front is not None
            control.front.refused(Refuse(received.request_id, 503, "hold_timeout", 1))
            head, body = await one.answer()
            assert header(head, b"request-id") == received.request_id.encode()
            assert msgspec.json.decode(body)["request_id"] == received.request_id
            for path, body in ((MESSAGES, b"{"), (f"{MESSAGES}/count_tokens", b"{")):
                post(one, path, body)
                head, told = await one.answer()
                assert head.startswith(b"HTTP/1.1 400 ")
                assert msgspec.json.decode(told)["request_id"].encode() == header(
                    head, b"request-id"
                )

    run(main())


async def lacks_it(ask: Ask) -> None:
    """Refuse what it is asked, on the one route that it has."""
    chats = CHAT.encode() in ask.head
    said = b'{"error":{"message":"too long"}}' if chats else b"404 page not found"
    ask.answer(said, 400 if chats else 404)


def test_a_nodes_refusal_that_is_translated_has_it_too(run: Run) -> None:
    async def main() -> None:
        asked = b'{"model":"M","max_tokens":1,"messages":[{"role":"user","content":"x"}]}'
        async with (
            node(lacks_it) as here,
            fronting(Control(here.url)) as listener,
            client(listener.port) as one,
        ):
            post(one, MESSAGES, asked)
            head, body = await one.answer()
        told = msgspec.json.decode(body)
        assert told["error"] == {"type": "invalid_request_error", "message": "too long"}
        assert told["request_id"].encode() == header(head, b"request-id")

    run(main())
