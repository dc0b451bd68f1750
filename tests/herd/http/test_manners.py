"""What the protocol allows on each side, and the other side never sees."""

import asyncio

import pytest

from herd.http import server as server_module
from herd.http.front import LIMITS, Front
from herd.http.server import Limits, listen
from herd.tasks import spawn
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import QUIET, Ask, Control, fronting, node, post
from tests.herd.http.sockets import GET, POST, Client, Echo, client, serving
from tests.herd.http.test_relay import ANSWER


async def _with_trailers(ask: Ask) -> None:
    ask.begin(b"application/json")
    ask.send(
        b"%x;why=not\r\n%b\r\n0\r\nX-Trailer: 1\r\nX-Fleet-Node: liar\r\n\r\n"
        % (len(ANSWER), ANSWER)
    )


def test_a_nodes_trailers_and_chunk_extensions_go_no_further(run: Run) -> None:
    async def main() -> None:
        async with node(_with_trailers) as here:
            control = Control(here.url, here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                for _ in range(2):  # on one connection each
                    post(one, "/api/chat", QUIET)
                    head, body = await one.answer()
                    assert body == ANSWER
                    assert b"railer" not in head
                    assert b"liar" not in head
            assert here.connections == 1

    run(main())


def test_pipelined_requests_of_a_model_are_answered_in_their_order(run: Run) -> None:
    async def main() -> None:
        async def numbered(ask: Ask) -> None:
            ask.answer(ANSWER.replace(b'"m"', b'"%b"' % ask.head.partition(b"X-N: ")[2][:1]))

        async with node(numbered) as here:
            control = Control(*[here.url] * 3)
            async with fronting(control) as listener, client(listener.port) as one:
                for number in b"123":
                    post(one, "/api/chat", QUIET, b"X-N: %c" % number)
                heard = [(await one.answer())[1][9:12] for _ in range(3)]
        assert heard == [b'"1"', b'"2"', b'"3"']

    run(main())


@pytest.mark.parametrize("drip", [b"GET /x HTTP/1.1\r\nX: ", GET + b"GET /x"])
def test_a_head_that_comes_drop_by_drop_is_given_up(
    drip: bytes, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.02)
    limits = Limits(head_timeout_s=0.2, linger_s=0.05)

    async def main() -> None:
        async with serving(Echo(), limits) as listener, client(listener.port) as one:
            one.send(drip)
            heard = spawn(one.rest(), name="reading")
            while not heard.done():
                one.send(b"y")
                await asyncio.sleep(0.02)
            assert b"HTTP/1.1 408 " in await heard

    run(main())


def test_a_body_may_come_slowly_as_long_as_it_comes(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.02)

    async def main() -> None:
        limits = Limits(body_timeout_s=0.3)
        async with serving(Echo(), limits) as listener, client(listener.port) as one:
            one.send(POST + b"Content-Length: 8\r\n\r\n")
            for byte in b"abcdefgh":
                one.send(b"%c" % byte)
                await asyncio.sleep(0.08)
            assert (await one.answer())[1] == b"POST /x abcdefgh"

    run(main())


def test_ipv6_on_both_sides(run: Run) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"\r\nHost: [::1]:" in head
            await reader.readexactly(len(QUIET))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER)
            writer.close()

        server = await asyncio.start_server(serve, "::1", 0)
        port = server.sockets[0].getsockname()[1]
        control = Control(f"http://[::1]:{port}")
        front = control.front = Front(control)
        listener = await listen(front, host="::1", limits=LIMITS)
        try:
            one = Client(*await asyncio.open_connection("::1", listener.port))
            one.send(
                b"POST /api/chat HTTP/1.1\r\nHost: [::1]:%d\r\nContent-Length: %d\r\n\r\n%b"
                % (listener.port, len(QUIET), QUIET)
            )
            assert (await one.answer())[1] == ANSWER
            one.close()
        finally:
            server.close()
            listener.abort()
            front.close()
            await asyncio.sleep(0)

    run(main())


def test_a_proxys_way_of_asking_finds_the_same_route(run: Run) -> None:
    async def main() -> None:
        async with fronting(Control()) as listener, client(listener.port) as one:
            one.send(b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await one.answer())[1] == b'{"status":"ok"}'

    run(main())
