"""Blanks behind a header's value, which are no part of it (RFC 9110, 5.5)."""

import pytest

from events import RequestCompleted
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import QUIET, Ask, Control, fronting, header, node
from tests.herd.http.sockets import GET, Echo, client, serving
from tests.herd.http.test_relay import ANSWER

BLANKS = [b" ", b"\t", b" \t "]
_LENGTH = b"Content-Length: %d" % len(ANSWER)
_IN_CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(ANSWER), ANSWER)


@pytest.mark.parametrize("blank", BLANKS)
def test_a_client_may_send_them(blank: bytes, run: Run) -> None:
    asked = (b"Host: a", b"X: y z", b"Content-Length: 2")
    lines = b"".join(line + blank + b"\r\n" for line in asked)

    async def main() -> None:
        app = Echo()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(b"POST /x HTTP/1.1\r\n" + lines + b"\r\n{}" + GET)
            assert (await one.answer())[1] == b"POST /x {}"
            assert (await one.answer())[1] == b"GET /x "
        assert app.exchanges[0].request.headers == [
            (b"Host", b"a"),
            (b"X", b"y z"),
            (b"Content-Length", b"2"),
        ]

    run(main())


@pytest.mark.parametrize("upgrade", [b"", b"Connection: upgrade \r\nUpgrade: h2c \r\n"])
def test_a_client_may_send_them_behind_chunked(upgrade: bytes, run: Run) -> None:
    lines = b"Host: a\r\nTransfer-Encoding: chunked \r\nExpect: 100-continue \r\n" + upgrade

    async def main() -> None:
        async with serving(Echo()) as listener, client(listener.port) as one:
            one.send(b"POST /x HTTP/1.1\r\n" + lines + b"\r\n")
            assert (await one.head()).startswith(b"HTTP/1.1 100 ")
            one.send(b"2\r\n{}\r\n0\r\n\r\n" + GET)
            assert (await one.answer())[1] == b"POST /x {}"
            assert (await one.answer())[1] == b"GET /x "

    run(main())


@pytest.mark.parametrize("blank", BLANKS)
def test_they_do_not_reach_the_node(blank: bytes, run: Run) -> None:
    async def fine(ask: Ask) -> None:
        ask.answer(ANSWER)

    async def main() -> None:
        async with node(fine) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                one.send(
                    b"POST /api/chat HTTP/1.1\r\nHost: localhost%b\r\nX: y%b\r\n"
                    b"Content-Encoding: identity%b\r\nContent-Length: %d%b\r\n\r\n%b"
                    % (blank, blank, blank, len(QUIET), blank, QUIET)
                )
                assert (await one.answer())[1] == ANSWER
            asked = here.asks[0].head
        assert header(asked, b"X") == b"y"
        assert header(asked, b"Content-Encoding") == b"identity"

    run(main())


@pytest.mark.parametrize(
    ("lines", "body", "length"),
    [
        *[(_LENGTH + blank, ANSWER, True) for blank in BLANKS],
        *[(_LENGTH + b"\r\nContent-Encoding: identity" + blank, ANSWER, True) for blank in BLANKS],
        (b"Transfer-Encoding: chunked  ", _IN_CHUNKS, False),
    ],
)
def test_a_node_may_send_them(
    lines: bytes,
    body: bytes,
    length: bool,  # noqa: FBT001 (drawn)
    run: Run,
) -> None:
    async def script(ask: Ask) -> None:
        ask.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json \r\n%b\r\n\r\n" % lines)
        ask.send(body)

    async def main() -> None:
        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                one.send(
                    b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(QUIET), QUIET)
                )
                head, told = await one.answer()
                assert told == ANSWER
                assert header(head, b"Content-Type") == b"application/json"
                assert (b"Content-Length: %d\r\n" % len(ANSWER) in head) is length
            assert (await control.heard(RequestCompleted)).usage_source == "reported"

    run(main())
