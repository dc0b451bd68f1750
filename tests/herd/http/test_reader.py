"""What the server reads as a request, and what it refuses to read."""

import asyncio

import pytest

from herd.http.server import Limits
from tests.herd.http.conftest import Run
from tests.herd.http.sockets import GET, POST, Echo, client, serving

AMBIGUOUS = {
    "CL and TE": POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "TE and CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG",
    "two CL": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "the same CL twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "CL list": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "CL with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "CL in hex": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "CL too long": POST + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "TE xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "TE gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "TE chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two TE": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE chunked and a tab": POST + b"Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
    "CL and TE, with blanks": POST
    + b"Content-Length: 6 \r\nTransfer-Encoding: chunked \r\n\r\n0\r\n\r\nG",
    "absolute URL of another host, with blanks": b"GET http://b/x HTTP/1.1\r\nHost: a \r\n\r\n",
    "TE with a space": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "TE in HTTP/1.0": b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded header": POST + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "bare LF": b"POST /x HTTP/1.1\nHost: a\nContent-Length: 2\n\n{}",
    "bare CR": POST + b"X: a\rContent-Length: 9\r\nContent-Length: 2\r\n\r\n{}",
    "NUL": POST + b"X: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "LF after a chunk extension": POST + b"Transfer-Encoding: chunked\r\n\r\n2;a\n{}\r\n0\r\n\r\n",
    "chunk size in C": POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "chunk size overflow": POST
    + b"Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\n{}\r\n0\r\n\r\n",
    "chunk without its end": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
    "no Host": b"GET /x HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "space in the target": b"GET /x y HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /x HTTP/0.9\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "absolute URL of another host": b"GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute URL of another port": b"GET http://a:2/x HTTP/1.1\r\nHost: a:1\r\n\r\n",
    "absolute URL with a user": b"GET http://a@a/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute URL of no host": b"GET http:///x HTTP/1.1\r\nHost: \r\n\r\n",
    "absolute URL of another kind": b"GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute URL, its host nowhere else": b"GET http://a/x HTTP/1.0\r\n\r\n",
    "Host with a user": b"GET /x HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "Host with a path": b"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "Host list": b"GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "Host with a port that is none": b"GET /x HTTP/1.1\r\nHost: a:b\r\n\r\n",
    "CONNECT": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_refused(case: str, run: Run) -> None:
    async def main() -> None:
        app = Echo()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(AMBIGUOUS[case] + GET)
            heard = await one.rest()
        assert heard[:10] in (b"HTTP/1.1 4", b"HTTP/1.1 5"), heard
        assert heard.count(b"Date: ") == 1
        assert b"Connection: close" in heard
        assert app.seen == []

    run(main())


def test_the_body_is_dechunked_and_trailers_are_dropped(run: Run) -> None:
    async def main() -> None:
        app = Echo()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
            one.send(b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nHost: evil\r\nX: y\r\n\r\n" + GET)
            assert (await one.answer())[1] == b"POST /x abcde"
            assert (await one.answer())[1] == b"GET /x "
        assert app.exchanges[0].request.headers == [
            (b"Host", b"a"),
            (b"Transfer-Encoding", b"chunked"),
        ]
        assert app.exchanges[1].request.headers == [(b"Host", b"a")]

    run(main())


def test_a_request_may_come_byte_by_byte(run: Run) -> None:
    async def main() -> None:
        app = Echo()
        async with serving(app) as listener, client(listener.port) as one:
            for byte in POST + b"X-Long: abc\r\nContent-Length: 4\r\n\r\nbody":
                one.send(bytes([byte]))
                await asyncio.sleep(0)
            assert (await one.answer())[1] == b"POST /x body"
        assert app.exchanges[0].request.header(b"x-long") == b"abc"

    run(main())


def test_hosts_of_all_kinds_are_taken(run: Run) -> None:
    async def main() -> None:
        app = Echo()
        async with serving(app) as listener, client(listener.port) as one:
            for host in (b"a:1", b"A.b-c_d.lan:80", b"[::1]:11435", b"[fe80::1%eth0]", b"a:", b""):
                one.send(b"GET /x HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
                assert (await one.answer())[0].startswith(b"HTTP/1.1 200 ")

    run(main())


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a?b=%20c", "/a", "b=%20c"),
        (b"/v1/models/a%2Fb%25c", "/v1/models/a/b%c", ""),
        (b"http://a/x?y", "/x", "y"),
        (b"HTTPS://A", "/", ""),
        (b"//x/y", "//x/y", ""),
        (b"/%ff", "/\ufffd", ""),
    ],
)
def test_the_target_is_decoded_once(target: bytes, path: str, query: str, run: Run) -> None:
    async def main() -> None:
        app = Echo()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            await one.answer()
        asked = app.exchanges[0].request
        assert (asked.path, asked.query, asked.target) == (path, query, target)

    run(main())


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (b"GET /x HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 5000 + b"\r\n\r\n", 431),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 5000, 431),
        (b"GET /" + b"y" * 5000, 431),
        (b"GET /x HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 1000, 431),
        (POST + b"Content-Length: 2001\r\n\r\n", 413),
        (POST + b"Expect: 100-continue\r\nContent-Length: 2001\r\n\r\n", 413),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n7d1\r\n" + b"y" * 2001, 413),
        (POST + b"Expect: miracles\r\nContent-Length: 2\r\n\r\n", 417),
        (
            POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
            431,
        ),
    ],
)
def test_limits_are_answered_and_close(asked: bytes, status: int, run: Run) -> None:
    async def main() -> None:
        app = Echo()
        limits = Limits(head_bytes=4000, body_bytes=2000)
        async with serving(app, limits) as listener, client(listener.port) as one:
            one.send(asked)
            heard = await one.rest()
        assert heard.startswith(b"HTTP/1.1 %d " % status)
        assert app.seen == []

    run(main())


def test_a_refused_client_can_go_on_sending_and_read_the_refusal(run: Run) -> None:
    async def main() -> None:
        limits = Limits(body_bytes=1000)
        async with serving(Echo(), limits) as listener, client(listener.port) as one:
            one.send(POST + b"Content-Length: 3000000\r\n\r\n")
            for _ in range(30):
                one.send(b"y" * 100_000)
                await one.writer.drain()
            assert (await one.rest()).startswith(b"HTTP/1.1 413 ")

    run(main())


@pytest.mark.parametrize(
    "body", [b"Content-Length: 27\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1b\r\n"]
)
def test_an_upgrade_is_ignored_and_its_body_is_no_request(body: bytes, run: Run) -> None:
    inner = b"GET /evil HTTP/1.1\r\nHost:a\r"
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    end = b"\r\n0\r\n\r\n" if b"chunked" in body else b""

    async def main() -> None:
        app = Echo()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(POST + upgrade + body + inner)
            one.send(end + GET)
            assert (await one.answer())[1] == b"POST /x " + inner
            assert (await one.answer())[1] == b"GET /x "
        assert len(app.seen) == 2

    run(main())


def test_a_refusal_behind_an_upgrade_is_the_same(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    upgrade = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    limits = Limits(body_bytes=10)

    async def main() -> None:
        async with serving(Echo(), limits) as listener, client(listener.port) as one:
            one.send(upgrade + POST + b"Content-Length: 11\r\n\r\n")
            assert (await one.answer())[1] == b"GET /x "
            assert (await one.answer())[0].startswith(b"HTTP/1.1 413 ")
        assert not caplog.records

    run(main())
