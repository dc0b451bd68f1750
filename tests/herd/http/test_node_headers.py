"""What a node's headers say of its body, and of pages that may read it."""

import gzip

import msgspec
import pytest

from events import ModelFacts
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import QUIET, Ask, Control, fronting, header, node, node_view, post, view
from tests.herd.http.sockets import client
from tests.herd.http.test_relay import ANSWER
from tests.herd.http.test_show import at

LLAMA = ModelFacts(name="llama3.2:3b", size_bytes=2_000_000_000)
TOLD = b'{"capabilities":["completion"]}'


def test_which_page_may_read_an_answer_is_not_for_the_node_to_say(run: Run) -> None:
    async def open_to_all(ask: Ask) -> None:
        ask.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Access-Control-Allow-Origin: *\r\naccess-control-allow-credentials: true\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
        )

    async def main() -> None:
        async with node(open_to_all) as here:
            control = Control(here.url, here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", QUIET, b"Origin: http://localhost:3000")
                head, body = await one.answer()
                assert body == ANSWER
                assert head.lower().count(b"access-control-") == 1
                allowed = header(head, b"Access-Control-Allow-Origin")
                assert allowed == b"http://localhost:3000"
                post(one, "/api/chat", QUIET)
                head, _ = await one.answer()
                assert b"access-control-" not in head.lower()

    run(main())


@pytest.mark.parametrize("path", ["/api/show", "/api/delete"])
def test_a_compressed_answer_to_an_order_is_said_to_be_one(path: str, run: Run) -> None:
    packed = gzip.compress(TOLD)

    async def compressed(ask: Ask) -> None:
        ask.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(packed), packed)
        )

    async def main() -> None:
        async with node(compressed) as here:
            control = Control()
            control.view = view(at(node_view("ada", LLAMA), here.url))
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, path, b'{"model":"llama3.2:3b"}')
                head, body = await one.answer()
        assert header(head, b"Content-Encoding") == b"gzip"
        assert gzip.decompress(body) == TOLD

    run(main())


def test_a_translated_error_has_no_headers_of_the_body_that_it_came_in(run: Run) -> None:
    packed = gzip.compress(b'{"error":{"message":"too long"}}')

    async def refusing(ask: Ask) -> None:
        if b"/v1/chat/completions" not in ask.head:
            ask.answer(b"404 page not found", 404, b"text/plain")
            return
        ask.send(
            b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nX-Own: 1\r\n"
            b'Content-Encoding: gzip\r\nETag: "a"\r\nContent-Digest: sha-256=:a:\r\n'
            b"Content-Length: %d\r\n\r\n%b" % (len(packed), packed)
        )

    async def main() -> None:
        async with (
            node(refusing) as here,
            fronting(Control(here.url)) as listener,
            client(listener.port) as one,
        ):
            asked = b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}'
            post(one, "/v1/messages", asked)
            head, body = await one.answer()
        assert head.startswith(b"HTTP/1.1 400 ")
        assert msgspec.json.decode(body)["error"]["message"] == "too long"
        assert header(head, b"X-Own") == b"1"
        for name in (b"content-encoding", b"etag", b"content-digest"):
            assert name not in head.lower()

    run(main())
