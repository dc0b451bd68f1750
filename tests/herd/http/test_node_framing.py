"""How a node frames its answers: what is passed on as it is, and what is not taken."""

import asyncio
import gzip

import pytest

from events import AttemptFailed, RequestCompleted, RequestFailed
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import CHAT, NDJSON, QUIET, Ask, Control, fronting, header, node, post
from tests.herd.http.sockets import client
from tests.herd.http.test_relay import ANSWER

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_LENGTH = b"Content-Length: %d\r\n" % len(ANSWER)
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_IN_CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(ANSWER), ANSWER)

AMBIGUOUS = {
    "CL and TE": _OK + _LENGTH + _CHUNKED + b"\r\n" + _IN_CHUNKS,
    "TE and CL": _OK + _CHUNKED + _LENGTH + b"\r\n" + _IN_CHUNKS,
    "the same CL twice": _OK + _LENGTH + _LENGTH + b"\r\n" + ANSWER,
    "two TE": _OK + _CHUNKED + _CHUNKED + b"\r\n" + _IN_CHUNKS,
    "TE gzip": _OK + b"Transfer-Encoding: gzip\r\n\r\n" + ANSWER,
    "TE gzip, chunked": _OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + _IN_CHUNKS,
    "TE chunked and a tab": _OK + b"Transfer-Encoding: chunked\t\r\n\r\n" + _IN_CHUNKS,
    "CL and TE, with blanks": _OK
    + _LENGTH
    + _CHUNKED.replace(b"\r", b" \r")
    + b"\r\n"
    + _IN_CHUNKS,
    "folded header": _OK + b"X: a\r\n b\r\n" + _LENGTH + b"\r\n" + ANSWER,
    "bare LF": (_OK + _LENGTH + b"\r\n").replace(b"\r", b"") + ANSWER,
    "bare CR": _OK + b"X: a\rY: b\r\n" + _LENGTH + b"\r\n" + ANSWER,
    "bad chunk": _OK + _CHUNKED + b"\r\n" + b"0x" + _IN_CHUNKS,
    "chunk with LF": _OK + _CHUNKED + b"\r\n" + _IN_CHUNKS.replace(b"\r", b""),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_an_answer_that_can_be_read_in_two_ways_is_not_taken(case: str, run: Run) -> None:
    async def ambiguous(ask: Ask) -> None:
        ask.send(AMBIGUOUS[case])
        await asyncio.sleep(0.01)
        ask.close()

    async def fine(ask: Ask) -> None:
        ask.answer(ANSWER)

    async def main() -> None:
        async with node(ambiguous) as bad, node(fine) as good:
            control = Control(bad.url, good.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", QUIET)
                assert (await one.answer())[1] == ANSWER
            failed = await control.heard(AttemptFailed)
            assert failed.error.startswith("not an HTTP answer: ")
            assert len(good.asks) == 1

    run(main())


# Compressed, though nobody asked


def test_a_compressed_stream_is_passed_on_as_it_comes(run: Run) -> None:
    packed = gzip.compress(b"".join(NDJSON))
    pieces = (packed[:10], packed[10:40], packed[40:])

    async def script(ask: Ask) -> None:
        ask.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Encoding: gzip\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for piece in pieces:
            ask.chunk(piece)
            await asyncio.sleep(0.01)
        ask.end()

    async def main() -> None:
        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT, b"Accept-Encoding: gzip")
                head, body = await one.answer()
                assert header(head, b"Content-Encoding") == b"gzip"
                assert gzip.decompress(body) == b"".join(NDJSON)
            done = await control.heard(RequestCompleted)
            assert (done.usage_source, done.completion_tokens) == ("none", 0)

    run(main())


def test_a_compressed_stream_that_breaks_off_gets_no_plain_words(run: Run) -> None:
    packed = gzip.compress(b"".join(NDJSON))

    async def script(ask: Ask) -> None:
        ask.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Encoding: br\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        ask.chunk(packed[:10])
        await asyncio.sleep(0.05)
        ask.close()

    async def main() -> None:
        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", CHAT)
                assert (await one.rest()).endswith(b"\r\n\r\na\r\n%b\r\n" % packed[:10])
            await control.heard(RequestFailed)

    run(main())
