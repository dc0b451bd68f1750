"""Requests as few clients send them, that HTTP allows all the same; and some that it does not."""

import asyncio

import pytest

from herd.http import server as server_module
from herd.http.server import Limits
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import QUIET, Ask, Control, fronting, header, node, post
from tests.herd.http.sockets import GET, POST, TEXT, Echo, Held, client, serving
from tests.herd.http.test_relay import ANSWER, answered


@pytest.mark.parametrize("path", ["/", "/api/tags", "/api/version"])
def test_head_is_get_without_its_body(path: str, run: Run) -> None:
    """Ollama has it on these three routes."""

    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            one.send(b"HEAD %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
            told = await one.head()
            got, body = await one.get(path)
        assert body
        assert header(told, b"Content-Length") == b"%d" % len(body)
        assert told.replace(header(told, b"Date"), b"") == got.replace(header(got, b"Date"), b"")

    run(main())


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (b"HEAD /api/chat", 405),
        (b"HEAD /v1/models", 405),
        (b"DELETE /api/chat", 405),
        (b"PUT /x", 404),
        (b"OPTIONS *", 405),
        (b"GET *", 400),
        (b"FROBNICATE /x", 400),
    ],
)
def test_other_methods_and_targets_are_told_so(asked: bytes, status: int, run: Run) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            one.send(asked + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await one.head()).startswith(b"HTTP/1.1 %d " % status)

    run(main())


def test_line_breaks_before_a_request_are_skipped(run: Run) -> None:
    async def main() -> None:
        async with serving(Echo()) as listener, client(listener.port) as one:
            one.send(b"\r\n" + POST + b"Content-Length: 2\r\n\r\n{}\r\n\r\n" + GET)
            assert (await one.answer())[1] == b"POST /x {}"
            assert (await one.answer())[1] == b"GET /x "

    run(main())


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"CHUNKED"])
def test_a_coding_is_spelled_as_one_likes(coding: bytes, run: Run) -> None:
    async def main() -> None:
        async with serving(Echo()) as listener, client(listener.port) as one:
            one.send(POST + b"tRANSFER-eNCODING: " + coding + b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + GET)
            assert (await one.answer())[1] == b"POST /x {}"
            assert (await one.answer())[1] == b"GET /x "

    run(main())


@pytest.mark.parametrize("head", [b"POST /x HTTP/1.0\r\n", POST + b"Expect: 100-Continue\r\n"])
def test_only_who_asks_to_go_on_is_told_to(head: bytes, run: Run) -> None:
    """HTTP/1.0 knows no interim answers, whatever such a client says."""
    old = b"1.0" in head

    async def main() -> None:
        async with serving(Echo()) as listener, client(listener.port) as one:
            one.send(head + b"Expect: 100-continue\r\n" * old + b"Content-Length: 2\r\n\r\n{}")
            heard = await one.head()
            assert heard.startswith(b"HTTP/1.1 200 " if old else b"HTTP/1.1 100 ")

    run(main())


def test_a_client_that_says_close_is_closed(run: Run) -> None:
    async def main() -> None:
        async with serving(Echo()) as listener, client(listener.port) as one:
            one.send(GET[:-2] + b"Connection: close\r\n\r\n" + GET)
            heard = await one.rest()
        assert heard.count(b"HTTP/1.1 200 ") == 1
        assert b"Connection: close\r\n" in heard

    run(main())


def test_a_client_that_closes_its_half_has_gone_as_ollama_has_it(run: Run) -> None:
    """Go's server cancels a handler at FIN; `printf … | nc` gets what is answered at once."""

    async def main() -> None:
        gone = asyncio.Event()

        async def script(ask: Ask) -> None:
            await ask.gone()
            gone.set()

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener:
                async with client(listener.port) as one:
                    post(one, "/api/chat", QUIET)
                    await here.ask()
                    one.writer.write_eof()
                    await gone.wait()
                    assert await one.rest() == b""
                async with client(listener.port) as one:
                    one.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                    one.writer.write_eof()
                    assert (await one.rest()).endswith(b'{"status":"ok"}')

    run(main())


@pytest.mark.parametrize(
    "part", [b"POST /api/ch", POST, POST + b"Content-Length: 9\r\n\r\n{", POST[:-2] + b"X: "]
)
def test_half_a_request_is_none(part: bytes, run: Run) -> None:
    async def main() -> None:
        app = Echo()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(part)
            one.writer.write_eof()
            assert await one.rest() == b""
            assert not app.seen

    run(main())


def test_bytes_that_are_no_ascii_travel_in_headers(run: Run) -> None:
    async def main() -> None:
        async def script(ask: Ask) -> None:
            ask.send(
                b"HTTP/1.1 200 OK\r\nX-Name: J\xc3\xb6rg\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
            )

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", QUIET, b"X-Who: J\xc3\xb6rg", b"X-Two: 1", b"X-Two: 2")
                head, _ = await one.answer()
            asked = here.asks[0].head
        assert header(asked, b"X-Who") == header(head, b"X-Name") == b"J\xc3\xb6rg"
        assert b"X-Two: 1\r\nX-Two: 2\r\n" in asked
        assert b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n" in head

    run(main())


@pytest.mark.parametrize("extension", [b"1;" + b"y" * 100_000, b"0" * 100_000])
def test_chunks_are_not_said_without_end(extension: bytes, run: Run) -> None:
    """What is around a chunk costs a client nothing and is kept by nobody; it has an end too."""

    async def main() -> None:
        limits = Limits(body_bytes=1_000, head_bytes=1_000)
        async with serving(Echo(), limits) as listener, client(listener.port) as one:
            one.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(20):
                one.send(extension)
                await asyncio.sleep(0)
            assert (await one.head()).startswith(b"HTTP/1.1 413 ")

    run(main())


def test_chunks_of_a_byte_are_taken_also_behind_another_request(run: Run) -> None:
    async def main() -> None:
        limits = Limits(body_bytes=3_000, head_bytes=100)
        async with serving(Echo(), limits) as listener, client(listener.port) as one:
            one.send(POST + b"Content-Length: 2500\r\n\r\n" + b"z" * 2_500)
            one.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(50):
                one.send(b"1\r\ny\r\n" * 50)
                await asyncio.sleep(0)
            one.send(b"0\r\n\r\n")
            await one.answer()
            assert (await one.answer())[1] == b"POST /x " + b"y" * 2_500

    run(main())


def test_a_client_that_reads_slowly_is_not_given_up(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.02)

    async def main() -> None:
        app = Held()
        limits = Limits(write_timeout_s=1)
        async with serving(app, limits) as listener, client(listener.port) as one:
            one.send(GET)
            exchange = await app.exchange()
            exchange.start(200, TEXT)
            left = 24_000_000  # much more than the sockets take: it waits here for long
            exchange.write(b"z" * left)
            while left > 0 and not exchange.ended:
                left -= len(await one.reader.read(1 << 18))
                await asyncio.sleep(0.03)
            assert not exchange.ended

    run(main())


def test_a_front_asks_for_nothing_more_than_it_was_asked(run: Run) -> None:
    """Hop-by-hop headers, trailers and what is herd's own stay here."""

    async def main() -> None:
        async with node(answered) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                one.send(
                    b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
                    b"Trailer: X-Sum\r\nTE: trailers\r\nUpgrade: h2c\r\nKeep-Alive: 5\r\n"
                    b"Proxy-Connection: keep-alive\r\nConnection: Upgrade, X-One\r\nX-One: 1\r\n"
                    b"\r\n%x\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(QUIET), QUIET)
                )
                await one.answer()
            lines = here.asks[0].head.split(b"\r\n")[1:-2]
        assert [line.partition(b":")[0] for line in lines] == [b"Host", b"Content-Length"]
        assert here.asks[0].body == QUIET

    run(main())
