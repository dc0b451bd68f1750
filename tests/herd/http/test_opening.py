"""Bodies that come compressed: what the node gets, and what is said of those that are refused."""

import pytest
import zstandard

from events import RequestReceived
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import CHAT, NDJSON, Control, fronting, node, post, streamed
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
