"""Bodies that come compressed: what the node gets, and what is said of those that are refused."""

import msgspec
import pytest
import zstandard

from events import ModelFacts, NodeFacts, RequestReceived
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import (
    CHAT,
    NDJSON,
    Ask,
    Control,
    fronting,
    node,
    node_view,
    post,
    streamed,
    view,
)
from tests.herd.http.sockets import client

ZSTD = b"Content-Encoding: zstd"


def in_two_frames(body: bytes) -> bytes:
    return zstandard.compress(body[:9]) + zstandard.compress(body[9:])


@pytest.mark.parametrize("path", ["/v1/responses", "/api/chat"])
def test_the_node_gets_it_plain_and_the_log_its_size(path: str, run: Run) -> None:
    async def main() -> None:
        async with node(streamed) as here:
            control = Control(*[here.url] * 3)
            async with fronting(control) as listener, client(listener.port) as one:
                for body, header in (
                    (zstandard.compress(CHAT), ZSTD),
                    (in_two_frames(CHAT), b"content-encoding: ZSTD"),
                    (CHAT, b"Content-Encoding: identity"),
                ):
                    post(one, path, body, header)
                    _, answer = await one.answer()
                    assert answer == b"".join(NDJSON)
            assert [ask.body for ask in here.asks] == [CHAT] * 3
            for ask in here.asks[:2]:
                assert b"encoding: zstd" not in ask.head.lower()
                assert b"Content-Length: %d\r\n" % len(CHAT) in ask.head
            received = await control.heard(RequestReceived, 3)
        assert received.body_bytes == len(CHAT)

    run(main())


@pytest.mark.parametrize(
    ("body", "coding", "status", "words"),
    [
        (CHAT, b"zstd", b"400", b"no zstd"),
        (b"", b"zstd", b"400", b"error"),
        (zstandard.compress(CHAT)[:-9], b"zstd", b"400", b"error"),
        (CHAT, b"gzip", b"415", b"only zstd"),
        (CHAT, b"zstd, gzip", b"415", b"only zstd"),
    ],
)
def test_what_cannot_be_opened_is_refused(
    body: bytes, coding: bytes, status: bytes, words: bytes, run: Run
) -> None:
    async def main() -> None:
        control = Control()
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/v1/chat/completions", body, b"Content-Encoding: " + coding)
            head, answer = await one.answer()
            assert head.startswith(b"HTTP/1.1 " + status)
            assert words in answer
        assert control.facts == []

    run(main())


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api/show", b'{"model":"llama3.2:3b"}'),
        ("/api/delete", b'{"model":"llama3.2:3b"}'),
        ("/api/generate", b'{"model":"llama3.2:3b","keep_alive":0}'),
        ("/v1/messages/count_tokens", b'{"model":"claude","messages":[]}'),
    ],
)
def test_whoever_answers_opens_it(path: str, asked: bytes, run: Run) -> None:
    async def fine(ask: Ask) -> None:
        resident = b'{"models":[{"name":"llama3.2:3b","model":"llama3.2:3b"}]}'
        ask.answer(resident if b"/api/ps" in ask.head else b"{}")

    async def main() -> None:
        async with node(fine) as here:
            control = Control()
            ada = node_view("ada", ModelFacts(name="llama3.2:3b"))
            control.view = view(msgspec.structs.replace(ada, url=here.url))
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, path, zstandard.compress(asked), ZSTD)
                head, _ = await one.answer()
                assert head.startswith(b"HTTP/1.1 200 ")
                assert [ask.body for ask in here.asks if ask.body] in ([asked], [])
                post(one, path, asked, b"Content-Encoding: gzip")
                head, said = await one.answer()
                assert head.startswith(b"HTTP/1.1 415 ")
                assert b"only zstd" in said

    run(main())


def test_a_load_for_a_server_that_loads_by_itself_is_known_also_compressed(run: Run) -> None:
    asked = b'{"model":"v1m1"}'

    async def main() -> None:
        control = Control()
        ada = node_view("ada", ModelFacts(name="v1m1"), facts=NodeFacts(dialect="openai"))
        seen = view(ada)
        control.view = msgspec.structs.replace(seen, settings={"translate_ollama": True})
        async with fronting(control) as listener, client(listener.port) as one:
            post(one, "/api/generate", zstandard.compress(asked), ZSTD)
            head, said = await one.answer()
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b'"done_reason":"load"' in said

    run(main())
