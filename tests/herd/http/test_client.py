"""One small request: framing, phases, limits, on real sockets."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from herd.http import tls
from herd.http.client import FetchError, Response, fetch
from herd.http.tls import Renewal
from tests.certificates import Authority

Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


async def _ask(  # the whole life of one server and one request
    serve: Serve,
    *,
    method: str = "GET",
    path: str = "/",
    host: str = "127.0.0.1",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    body: bytes = b"",
    timeout_s: float = 5.0,
    max_bytes: int = 1_000_000,
    tls: ssl.SSLContext | None = None,
) -> Response:
    ended = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            if body:
                request += await reader.readexactly(len(body))
            await serve(request, writer)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        finally:
            ended.set()

    server = await asyncio.start_server(connected, host, 0, ssl=tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        try:
            response = await fetch(
                method,
                f"{'https' if tls else 'http'}://{shown}:{port}{path}",
                headers=headers,
                body=body,
                timeout_s=timeout_s,
                max_bytes=max_bytes,
            )
        except FetchError as error:
            if error.phase not in {"address", "connect"}:
                await ended.wait()
            raise
        await ended.wait()
        return response


def _answers(*parts: bytes) -> Serve:
    async def serve(_request: bytes, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)

    return serve


def _failure(serve: Serve, **how: float) -> FetchError:
    timeout_s = how.get("timeout_s", 5.0)
    with pytest.raises(FetchError) as caught:
        asyncio.run(_ask(serve, timeout_s=timeout_s, max_bytes=int(how.get("max_bytes", 1000))))
    return caught.value


@pytest.mark.parametrize(
    "answer",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",),
        (b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 5\r\n\r\nhe", b"llo"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n",
            b"3\r\nllo\r\n0\r\n\r\n",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo"),
        (b"HTTP/1.0 200 OK\r\n\r\nhello",),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ],
    ids=["length", "split", "chunked", "until-eof", "http-1.0", "continue"],
)
def test_reads_every_framing(answer: tuple[bytes, ...]) -> None:
    response = asyncio.run(_ask(_answers(*answer)))
    assert (response.status, response.body) == (200, b"hello")


def test_an_error_status_is_an_answer() -> None:
    answer = b"HTTP/1.1 503 Busy\r\nX-Why: load \t\r\nContent-Length: 0\r\n\r\n"
    response = asyncio.run(_ask(_answers(answer)))
    assert (response.status, response.header(b"x-why"), response.body) == (503, b"load", b"")


def test_head_ends_at_the_head() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    response = asyncio.run(_ask(_answers(answer), method="HEAD"))
    assert (response.status, response.body) == (200, b"")


def test_sends_method_path_host_headers_and_body() -> None:
    seen: list[bytes] = []

    async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    sent = _ask(serve, method="POST", path="/a%20b?c=d", headers=((b"X-A", b"1"),), body=b"{}")
    assert asyncio.run(sent).status == 204
    head, _, body = seen[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /a%20b?c=d HTTP/1.1"
    assert lines[1].startswith(b"Host: 127.0.0.1:")
    assert {b"X-A: 1", b"Content-Length: 2", b"Connection: close"} <= set(lines)
    assert body == b"{}"


def test_reaches_an_ipv6_host() -> None:
    answer = _answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv6")
    try:
        response = asyncio.run(_ask(answer, host="::1"))
    except OSError:
        pytest.skip("this machine has no ::1")
    assert response.body == b"v6"


def test_https_checks_the_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "belief", tls.Belief())  # this process's own, put back
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    context = Renewal(*authority.issue()).context
    answer = _answers(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntls")

    with pytest.raises(FetchError, match=r"TLS failed: .*certificate") as caught:
        asyncio.run(_ask(answer, tls=context))
    assert caught.value.phase == "connect"
    tls.trust(str(stranger.file))
    with pytest.raises(FetchError, match=r"TLS failed: .*certificate"):
        asyncio.run(_ask(answer, tls=context))
    tls.trust(str(authority.file))
    assert asyncio.run(_ask(answer, tls=context)).body == b"tls"
    elsewhere = Renewal(*authority.issue("elsewhere.test")).context
    with pytest.raises(FetchError, match=r"TLS failed: .*IP address mismatch"):
        asyncio.run(_ask(answer, tls=elsewhere))


def test_nobody_listens() -> None:
    async def ask() -> None:
        server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await fetch("GET", f"http://127.0.0.1:{port}/")

    with pytest.raises(FetchError, match="connection refused") as caught:
        asyncio.run(ask())
    assert caught.value.phase == "connect"


def test_a_name_that_cannot_be() -> None:
    with pytest.raises(FetchError, match="name not known") as caught:
        asyncio.run(fetch("GET", "http://a..b/"))
    assert caught.value.phase == "connect"


def test_silence_ends_at_the_deadline_in_its_phase() -> None:
    async def silent(_request: bytes, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)

    async def half(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
        await asyncio.sleep(0.3)

    first, second = _failure(silent, timeout_s=0.05), _failure(half, timeout_s=0.05)
    assert (first.phase, first.text) == ("first_byte", "no answer within 0.05 s")
    assert second.phase == "body"


@pytest.mark.parametrize(
    ("answer", "phase", "text"),
    [
        (b"", "first_byte", "closed before the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "body", "closed before the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "body", "closed"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "first_byte", "not an HTTP answer"),
        (
            b"HTTP/1.1 101 Ok\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
            "first_byte",
            "not an HTTP",
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "first_byte", "bytes of headers"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000, "body", "more than 1000 bytes of body"),
    ],
    ids=["nothing", "short-body", "torn-chunks", "not-http", "upgrade", "huge-head", "huge-body"],
)
def test_a_bad_answer_is_a_failure(answer: bytes, phase: str, text: str) -> None:
    error = _failure(_answers(answer))
    assert error.phase == phase
    assert text in error.text


@pytest.mark.parametrize(
    "url",
    ["", "ftp://a/", "http://", "http://a b/", "http://a/\r\nX: y", "http://a:99999/", "http://ä/"],
)
def test_refuses_what_is_no_address(url: str) -> None:
    with pytest.raises(FetchError) as caught:
        asyncio.run(fetch("GET", url))
    assert caught.value.phase == "address"


def test_refuses_a_header_with_a_line_break() -> None:
    with pytest.raises(FetchError, match="line break"):
        asyncio.run(_ask(_answers(), headers=((b"X", b"1\r\nY: 2"),)))
