"""The server on real sockets: in which order it answers, and when it lets go."""

import asyncio

import pytest

from herd.http import server as server_module
from herd.http.server import Exchange, Limits
from tests.herd.http.conftest import Run
from tests.herd.http.sockets import GET, POST, TEXT, Echo, Held, client, serving


def test_pipelined_requests_are_answered_in_order(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(10)))
            for number in range(10):
                exchange = await app.exchange()
                assert len(app.exchanges) == number + 1
                exchange.respond(200, TEXT, exchange.request.path.encode())
            assert [(await one.answer())[1] for _ in range(10)] == [b"/%d" % n for n in range(10)]

    run(main())


def test_a_client_that_pipelines_too_much_is_answered_so_far_and_closed(run: Run) -> None:
    async def main() -> None:
        app = Held()
        limits = Limits(pipelined=3)
        async with serving(app, limits) as listener, client(listener.port) as one:
            one.send(GET * 50)
            for _ in range(4):
                (await app.exchange()).respond(200, TEXT, b"ok")
            heard = await one.rest()
        assert heard.count(b"HTTP/1.1 200 OK") == 4
        assert len(app.exchanges) == 4

    run(main())


def test_a_bad_request_behind_a_good_one_waits_for_its_turn(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(GET + b"nonsense\r\n\r\n")
            exchange = await app.exchange()
            exchange.start(200, TEXT)
            exchange.write(b"one")
            exchange.finish(b"two")
            assert (await one.answer())[1] == b"onetwo"
            assert (await one.rest()).startswith(b"HTTP/1.1 400 ")

    run(main())


def test_http_1_0_is_closed_unless_it_asks_to_stay(run: Run) -> None:
    async def main() -> None:
        async with serving(Echo()) as listener:
            async with client(listener.port) as one:
                one.send(b"GET /x HTTP/1.0\r\n\r\n")
                heard = await one.rest()
                assert b"Connection: close" in heard
                assert heard.endswith(b"GET /x ")
            async with client(listener.port) as one:
                one.send(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
                assert b"Connection: keep-alive" in (await one.answer())[0]
                assert (await one.answer())[1] == b"GET /x "

    run(main())


def test_http_1_0_gets_no_chunks(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            exchange = await app.exchange()
            exchange.start(200, TEXT, first=b"one")
            exchange.write(b"two")
            exchange.finish()
            heard = await one.rest()
        assert b"chunked" not in heard
        assert heard.endswith(b"\r\n\r\nonetwo")

    run(main())


def test_head_gets_a_length_and_no_body(run: Run) -> None:
    async def main() -> None:
        async with serving(Echo()) as listener, client(listener.port) as one:
            one.send(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
            assert b"Content-Length: 8\r\n" in await one.head()
            assert (await one.answer())[1] == b"GET /x "

    run(main())


@pytest.mark.parametrize("status", [204, 304])
def test_a_bodiless_status_has_no_body(status: int, run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(GET + GET)
            (await app.exchange()).respond(status, (), b"")
            (await app.exchange()).respond(200, (), b"next")
            head = await one.head()
            assert b"Content-Length" not in head
            assert b"chunked" not in head
            assert (await one.answer())[1] == b"next"

    run(main())


def test_expect_100_continue_is_answered_before_the_body(run: Run) -> None:
    async def main() -> None:
        async with serving(Echo()) as listener, client(listener.port) as one:
            one.send(POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            assert await one.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            one.send(b"{}")
            assert (await one.answer())[1] == b"POST /x {}"

    run(main())


def test_a_100_continue_never_comes_inside_another_answer(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(GET + POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            exchange = await app.exchange()
            exchange.start(200, TEXT, 6, b"one")
            exchange.finish(b"two")
            assert (await one.answer())[1] == b"onetwo"
            assert await one.head() == b"HTTP/1.1 100 Continue\r\n\r\n"

    run(main())


def test_a_client_that_leaves_is_seen_while_it_waits(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app) as listener:
            for leave in ("close", "reset", "write_eof"):
                async with client(listener.port) as one:
                    one.send(GET)
                    exchange = await app.exchange()
                    gone = asyncio.Event()
                    exchange.on_gone = gone.set
                    if leave == "write_eof":
                        one.writer.write_eof()
                    elif leave == "reset":
                        one.reset()
                    else:
                        one.close()
                    await gone.wait()
                    assert exchange.ended
                    exchange.respond(200, TEXT, b"nobody hears this")
                    exchange.start(200, TEXT)
                    exchange.write(b"nor this")
                    exchange.finish()

    run(main())


def test_leaving_is_seen_behind_pipelined_requests(run: Run) -> None:
    async def main() -> None:
        app = Held()
        limits = Limits(pipelined=2)
        async with serving(app, limits) as listener, client(listener.port) as one:
            one.send(GET * 20)
            exchange = await app.exchange()
            gone = asyncio.Event()
            exchange.on_gone = gone.set
            one.close()
            await gone.wait()
            assert len(app.exchanges) == 1

    run(main())


def test_a_slow_reader_blocks_the_writer_and_releases_it(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(GET)
            exchange = await app.exchange()
            blocked, writable = asyncio.Event(), asyncio.Event()
            exchange.on_blocked = blocked.set
            exchange.on_writable = writable.set
            exchange.start(200, TEXT)
            sent = 0
            while not exchange.blocked:
                exchange.write(b"z" * 65_536)
                sent += 65_536
                await asyncio.sleep(0)
            assert blocked.is_set()
            assert sent < 50_000_000
            reading = asyncio.ensure_future(one.answer())
            await writable.wait()
            exchange.finish()
            assert len((await reading)[1]) == sent

    run(main())


def test_a_client_that_takes_nothing_is_given_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.02)

    async def main() -> None:
        app = Held()
        limits = Limits(write_timeout_s=0.1)
        async with serving(app, limits) as listener, client(listener.port) as one:
            one.send(GET)
            exchange = await app.exchange()
            gone = asyncio.Event()
            exchange.on_gone = gone.set
            exchange.start(200, TEXT)
            while not exchange.blocked:
                exchange.write(b"z" * 65_536)
                await asyncio.sleep(0)
            await gone.wait()
            with pytest.raises(ConnectionResetError):
                await one.rest()

    run(main())


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"GET /x HT", 408), (POST + b"Content-Length: 10\r\n\r\nabc", 408), (b"", 0), (GET, 200)],
)
def test_slow_and_idle_clients_time_out(
    sent: bytes, status: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.02)
    limits = Limits(head_timeout_s=0.1, body_timeout_s=0.1, idle_timeout_s=0.1, linger_s=0.1)

    async def main() -> None:
        async with serving(Echo(), limits) as listener, client(listener.port) as one:
            one.send(sent)
            heard = await one.rest()
            assert heard.startswith(b"HTTP/1.1 %d " % status if status else b"")
            one.close()
            await listener.closed(5)

    run(main())


def test_too_many_connections_are_refused(run: Run) -> None:
    async def main() -> None:
        app = Echo()
        limits = Limits(connections=1)
        async with serving(app, limits) as listener, client(listener.port) as one:
            one.send(GET)
            await one.answer()
            async with client(listener.port) as two:
                two.send(GET)
                assert (await two.rest()).startswith(b"HTTP/1.1 503 ")
            one.send(GET)
            await one.answer()
        assert len(app.seen) == 2

    run(main())


def test_an_aborted_answer_is_never_a_clean_end(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app) as listener:
            for asked in (GET, b"GET /x HTTP/1.0\r\n\r\n"):
                async with client(listener.port) as one:
                    one.send(asked)
                    exchange = await app.exchange()
                    exchange.start(200, TEXT, first=b"one")
                    await one.until(b"one")
                    exchange.abort()
                    with pytest.raises(ConnectionResetError):
                        await one.rest()

    run(main())


def test_a_cut_answer_says_its_last_words_without_a_last_chunk(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(GET)
            exchange = await app.exchange()
            exchange.start(200, TEXT, first=b"one")
            exchange.cut(b"broken")
            heard = await one.rest()
        assert heard.endswith(b"\r\n\r\n3\r\none\r\n6\r\nbroken\r\n")

    run(main())


def test_an_answer_short_of_its_length_is_aborted(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(GET)
            exchange = await app.exchange()
            exchange.start(200, TEXT, 10, b"three")
            await one.until(b"three")
            with pytest.raises(ValueError, match="more than"):
                exchange.write(b"more than six")
            exchange.finish()
            with pytest.raises(ConnectionResetError):
                await one.rest()

    run(main())


def test_an_error_in_the_app_is_a_500_and_the_connection_lives(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    def app(exchange: Exchange) -> None:
        if exchange.request.path == "/bad":
            raise RuntimeError("a defect")
        exchange.respond(200, TEXT, b"fine")

    async def main() -> None:
        async with serving(app) as listener, client(listener.port) as one:
            one.send(b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
            assert (await one.answer())[0].startswith(b"HTTP/1.1 500 ")
            assert (await one.answer())[1] == b"fine"

    run(main())
    assert "a defect" in caplog.text


def test_a_header_cannot_be_injected(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(GET)
            exchange = await app.exchange()
            for value in (b"a\r\nX: y", b"a\nX: y", b"a\rX", b"a\0"):
                with pytest.raises(ValueError, match="line break"):
                    exchange.start(200, ((b"X", value),))
            exchange.respond(200, (), b"")
            await one.answer()

    run(main())


def test_closing_lets_answers_finish(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app) as listener:
            async with client(listener.port) as idle, client(listener.port) as one:
                one.send(GET)
                exchange = await app.exchange()
                listener.close()
                assert await idle.rest() == b""
                closed = asyncio.ensure_future(listener.closed(10))
                exchange.respond(200, TEXT, b"done")
                assert (await one.rest()).endswith(b"done")
                await closed
            with pytest.raises(ConnectionRefusedError):
                async with client(listener.port or 1):
                    pass

    run(main())


def test_closing_is_bounded(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app) as listener, client(listener.port) as one:
            one.send(GET)
            exchange = await app.exchange()
            listener.close()
            await listener.closed(0.05)
            assert exchange.ended
            with pytest.raises(ConnectionResetError):
                await one.rest()

    run(main())
