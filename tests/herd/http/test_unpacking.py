"""What a node compressed though nobody asked for it is read where herd has to read it."""

import gzip
import zlib
from collections.abc import Callable

import msgspec
import pytest
import zstandard

from events import AttemptFailed
from herd.http.unpacking import unpacked
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import QUIET, Ask, Control, Script, fronting, node, post
from tests.herd.http.sockets import client
from tests.herd.http.test_refusals import among

BODY = b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}'
WHOLE = b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}'
Pack = Callable[[bytes], bytes]


def _raw(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


PACKED: dict[str, tuple[bytes, Pack]] = {
    "gzip": (b"gzip", gzip.compress),
    "its old name, in capitals": (b"X-GZIP", gzip.compress),
    "deflate": (b"deflate", zlib.compress),
    "deflate without a head": (b"deflate", _raw),
    "zstd": (b"zstd", zstandard.compress),
}
cases = pytest.mark.parametrize(("coding", "pack"), PACKED.values(), ids=PACKED)


@cases
def test_a_body_is_unpacked_and_no_more_of_it_than_is_wanted(coding: bytes, pack: Pack) -> None:
    packed = pack(b"x" * 1_000_000)
    assert unpacked(coding, packed, 2_000_000) == b"x" * 1_000_000
    assert unpacked(coding, packed, 10) == b"x" * 10
    assert not unpacked(coding, b"", 10)


@pytest.mark.parametrize("coding", [b"br", b"gzip, zstd", b"\xff", b"gzip", b"zstd"])
def test_what_cannot_be_unpacked_is_not_read(coding: bytes) -> None:
    assert unpacked(coding, b'{"error":"x"}', 10) is None


def _saying(status: int, said: bytes, coding: bytes, pack: Pack) -> Script:
    async def script(ask: Ask) -> None:
        if b"/v1/messages" in ask.head:
            ask.answer(b"404 page not found", 404, b"text/plain")
            return
        body = pack(said)
        head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Encoding: %b\r\n"
        ask.send(head % (status, coding) + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    return script


@cases
def test_an_error_is_translated_with_its_words(coding: bytes, pack: Pack, run: Run) -> None:
    async def main() -> None:
        said = b'{"error":{"message":"the prompt is too long"}}'
        async with (
            node(_saying(400, said, coding, pack)) as here,
            fronting(Control(here.url)) as listener,
            client(listener.port) as one,
        ):
            post(one, "/v1/messages", BODY)
            head, body = await one.answer()
        assert head.startswith(b"HTTP/1.1 400 ")
        assert msgspec.json.decode(body)["error"]["message"] == "the prompt is too long"

    run(main())


@cases
def test_an_answer_is_translated_too(coding: bytes, pack: Pack, run: Run) -> None:
    async def main() -> None:
        async with (
            node(_saying(200, WHOLE, coding, pack)) as here,
            fronting(Control(here.url)) as listener,
            client(listener.port) as one,
        ):
            post(one, "/v1/messages", BODY)
            _, body = await one.answer()
        assert msgspec.json.decode(body)["content"] == [{"type": "text", "text": "Hi"}]

    run(main())


@pytest.mark.parametrize(("path", "asked"), [("/v1/messages", BODY), ("/api/chat", QUIET)])
def test_what_a_node_says_of_its_failure_is_read(path: str, asked: bytes, run: Run) -> None:
    said = b'{"error":"model requires more system memory (9 GiB) than is available"}'

    async def main() -> None:
        async with node(_saying(500, said, b"gzip", gzip.compress)) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, path, asked)
                _, body = await one.answer()
            failed = await control.heard(AttemptFailed)
        assert b"more system memory (9 GiB)" in body
        assert failed.error == "answered 500: not enough memory"

    run(main())


def test_an_answer_in_a_coding_that_nobody_knows_has_failed(run: Run) -> None:
    async def main() -> None:
        async with node(_saying(200, WHOLE, b"br", gzip.compress)) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/v1/messages", BODY)
                head, body = await one.answer()
            assert head.startswith(b"HTTP/1.1 502 ")
            assert b"in a coding that cannot be read" in body

    run(main())


def test_a_model_that_is_gone_is_asked_of_another_node(run: Run) -> None:
    said = b'{"error":"model \'m:latest\' not found"}'

    async def main() -> None:
        async with (
            node(_saying(404, said, b"gzip", gzip.compress)) as here,
            node(_saying(200, WHOLE, b"identity", bytes)) as other,
        ):
            control = among(Control(here.url, other.url), here.url, other.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/v1/chat/completions", BODY)
                head, body = await one.answer()
            assert (head[:12], body) == (b"HTTP/1.1 200", WHOLE)
            await control.heard(AttemptFailed)

    run(main())
