"""What could come over a wire: pieces of real talk in any order, with anything in between."""

from collections.abc import Sequence

from hypothesis import strategies as st

LINES = (
    b"GET / HTTP/1.1\r\n",
    b"POST /api/chat HTTP/1.1\r\n",
    b"POST /v1/messages HTTP/1.1\r\n",
    b"POST /api/pull HTTP/1.1\r\n",
    b"POST /api/blobs/sha256:%b HTTP/1.1\r\n" % (b"a" * 64),
    b"OPTIONS /api/tags HTTP/1.0\r\n",
    b"GET http://localhost/api/tags HTTP/1.1\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)
HEADERS = (
    b"Host: localhost\r\n",
    b"Host: localhost\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive, x\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"Origin: http://evil.example\r\n",
    b" folded\r\n",
    b"X: y\n",
    b"X-Herd-Deadline-S: 1e999\r\n",
)
BODIES = (
    b"\r\n",
    b"5\r\nabcde\r\n",
    b"0\r\n\r\n",
    b"0\r\nX: trailer\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"1;ext=1\r\na\r\n",
    b"-1\r\n",
    b"{}",
    b'{"model":"m"}',
)

ANSWERS = (
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 404 Not Found\r\n",
    b"HTTP/1.1 500 Oops\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"HTTP/1.1 999 ?\r\n",
    b"HTTP/9.9 200 OK\r\n",
)
TOLD = (
    b"Content-Type: application/x-ndjson\r\n",
    b"Content-Type: text/event-stream\r\n",
    b"Content-Type: application/json\r\n",
    b"Content-Length: 13\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Date: now\r\nX-Fleet-Node: evil\r\n",
)
TOKENS = (
    b"\r\n",
    b'd\r\n{"done":true}\r\n',
    b'{"done":true}',
    b'{"error":"x"}\n',
    b'd\r\n{"error":"x"}\r\n',
    b"e\r\ndata: [DONE]\n\n\r\n",
    b'2a\r\ndata: {"choices":[{"delta":{"content":1}}]}\r\n',
    b'2b\r\ndata: {"choices":[{"delta":{"content":"a"}}]\r\n',
    b"2\r\n\n\n\r\n",
    b"1\r\n\xff\r\n",
    b"0\r\n\r\n",
)


def talk(*parts: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return a head and what may follow it, in their order; or any of it anywhere."""
    first, middle, last = (st.sampled_from(list(part)) for part in parts)
    ordered = st.tuples(
        first,
        st.lists(middle, max_size=5).map(b"".join),
        st.just(b"\r\n"),
        st.lists(last, max_size=6).map(b"".join),
    ).map(b"".join)
    loose = st.lists(st.one_of(first, middle, last, st.binary(max_size=20)), max_size=8)
    return st.one_of(ordered, loose.map(b"".join))


def pieces(talks: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes]]:
    """Return several of them, one behind another, cut anywhere and perhaps with bytes changed."""

    @st.composite
    def drawn(draw: st.DrawFn) -> list[bytes]:
        data = bytearray(b"".join(draw(st.lists(talks, min_size=1, max_size=4))))
        for at, byte in draw(
            st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=2)
        ):
            if data:
                data[at % len(data)] = byte
        cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
        return [bytes(data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    return drawn()


CLIENTS = pieces(talk(LINES, HEADERS, BODIES))
NODES = pieces(talk(ANSWERS, TOLD, TOKENS))
