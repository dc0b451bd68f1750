"""What frames an answer: as the node framed it, also where all of it was read at once."""

from tests.herd.http.conftest import Run
from tests.herd.http.fleet import CHAT, NDJSON, Ask, Control, fronting, header, node, post
from tests.herd.http.sockets import client


async def _at_once(ask: Ask) -> None:
    """A whole stream that is read in one piece."""
    begun = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked"
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in NDJSON)
    ask.send(begun + b"\r\n\r\n" + pieces + b"0\r\n\r\n")


def test_a_stream_that_comes_at_once_is_one_for_the_client_too(run: Run) -> None:
    whole = b"".join(NDJSON)

    async def main() -> None:
        async with node(_at_once) as here:
            control = Control(*[here.url] * 3)
            async with fronting(control) as listener:
                async with client(listener.port) as one:
                    for _ in range(2):  # the connection can be used again
                        post(one, "/api/chat", CHAT)
                        told = await one.until(b"0\r\n\r\n")
                        head, _, body = told.partition(b"\r\n\r\n")
                        assert header(head, b"Transfer-Encoding") == b"chunked"
                        assert b"Content-Length" not in head
                        assert body == b"%x\r\n%b\r\n0\r\n\r\n" % (len(whole), whole)
                async with client(listener.port) as old:
                    old.send(
                        b"POST /api/chat HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b"
                        % (len(CHAT), CHAT)
                    )
                    head, _, body = (await old.rest()).partition(b"\r\n\r\n")
                    assert header(head, b"Content-Length") == b"%d" % len(whole)
                    assert body == whole

    run(main())
