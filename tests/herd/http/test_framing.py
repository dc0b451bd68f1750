"""What frames an answer: as the node framed it, also where all of it was read at once."""

import pytest

from tests.herd.http.conftest import Run
from tests.herd.http.fleet import CHAT, NDJSON, SSE, Ask, Control, fronting, header, node, post
from tests.herd.http.sockets import client

STREAMS = {
    "/api/chat": (b"application/x-ndjson", NDJSON),
    "/api/generate": (b"application/x-ndjson", NDJSON),
    "/v1/chat/completions": (b"text/event-stream", SSE),
}


@pytest.mark.parametrize("closes", [False, True], ids=["chunked", "until it closes"])
@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_that_comes_at_once_is_one_for_the_client_too(
    path: str,
    closes: bool,  # noqa: FBT001 (drawn)
    run: Run,
) -> None:
    kind, pieces = STREAMS[path]
    whole = b"".join(pieces)

    async def at_once(ask: Ask) -> None:
        """Say all of it so that it is read in one piece."""
        begun = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n" % kind
        if closes:
            ask.send(begun + b"\r\n" + whole)
            ask.close()
            return
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        ask.send(begun + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")

    async def main() -> None:
        async with node(at_once) as here:
            control = Control(*[here.url] * 3)
            async with fronting(control) as listener:
                async with client(listener.port) as one:
                    for _ in range(2):  # the connection can be used again
                        post(one, path, CHAT)
                        told = await one.until(b"\r\n0\r\n\r\n")
                        head, _, body = told.partition(b"\r\n\r\n")
                        assert header(head, b"Transfer-Encoding") == b"chunked"
                        assert b"Content-Length" not in head
                        assert body.startswith(b"%x\r\n%b\r\n" % (len(whole), whole))
                async with client(listener.port) as old:
                    old.send(
                        b"POST %b HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b"
                        % (path.encode(), len(CHAT), CHAT)
                    )
                    head, _, body = (await old.rest()).partition(b"\r\n\r\n")
                    assert b"chunked" not in head
                    assert body == whole

    run(main())


def test_an_answer_in_one_piece_that_comes_in_chunks_stays_so(run: Run) -> None:
    """Go does so with what is larger than 2 kB: clients may read either way."""
    value = b'{"model":"m","done":true,"eval_count":1,"x":"%b"}' % (b"y" * 4_000)

    async def in_chunks(ask: Ask) -> None:
        begun = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
        ask.send(begun + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(value), value))

    async def main() -> None:
        async with node(in_chunks) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", b'{"model":"m:latest","stream":false}')
                head, body = await one.answer()
        assert header(head, b"Transfer-Encoding") == b"chunked"
        assert body == value

    run(main())
