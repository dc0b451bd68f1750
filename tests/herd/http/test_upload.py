"""Bodies that are handed on while they come."""

import asyncio

import pytest

from herd.http import server as server_module
from herd.http.exchange import Exchange
from herd.http.server import Limits
from herd.http.upload import Upload
from tests.herd.http.conftest import Run
from tests.herd.http.sockets import GET, POST, TEXT, Held, client, serving, until

UP = b"POST /up/x HTTP/1.1\r\nHost: a\r\n"
LIMITS = Limits(streamed=(b"/up/",), body_bytes=1_000, linger_s=0.2)


class Kept:
    """A sink that keeps what comes."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = asyncio.Event()

    def piece(self, data: bytes) -> None:
        self.data += data

    def whole(self) -> None:
        self.ended.set()


async def taken(app: Held) -> tuple[Exchange, Upload, Kept]:
    exchange = await app.exchange()
    upload = exchange.request.upload
    assert upload is not None
    kept = Kept()
    upload.open(kept)
    return exchange, upload, kept


@pytest.mark.parametrize("chunked", [True, False])
def test_it_comes_in_pieces_and_may_be_larger_than_the_limit(chunked: bool, run: Run) -> None:  # noqa: FBT001 (drawn)
    async def main() -> None:
        app = Held()
        async with serving(app, LIMITS) as listener, client(listener.port) as one:
            data = b"x" * 5_000
            framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 10000"
            one.send(UP + framing + b"\r\n\r\n")
            exchange, upload, kept = await taken(app)
            assert upload.length == (None if chunked else 10_000)
            piece = b"1388\r\n%b\r\n" % data if chunked else data
            one.send(piece)
            await until(lambda: len(kept.data) == len(data))
            assert not upload.ended
            one.send(piece + (b"0\r\nX-Trailer: 1\r\n\r\n" if chunked else b""))
            await kept.ended.wait()
            assert kept.data == data * 2
            assert upload.size_bytes == 10_000
            one.send(GET)  # behind it on the same connection
            exchange.respond(201, TEXT, b"done")
            assert (await one.answer())[1] == b"done"
            (await app.exchange()).respond(200, TEXT, b"next")
            assert (await one.answer())[1] == b"next"

    run(main())


def test_who_expects_it_is_told_to_go_on_when_somebody_takes_it(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app, LIMITS) as listener, client(listener.port) as one:
            one.send(UP + b"Expect: 100-continue\r\nContent-Length: 2000\r\n\r\n")
            exchange = await app.exchange()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(one.reader.read(1), 0.05)
            _, _, kept = await taken(_again(app))
            assert await one.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
            one.send(b"y" * 2_000)
            await kept.ended.wait()
            exchange.respond(200, TEXT, b"all")
            assert (await one.answer())[1] == b"all"

    run(main())


def test_who_is_refused_never_sends_it(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app, LIMITS) as listener, client(listener.port) as one:
            one.send(UP + b"Expect: 100-continue\r\nContent-Length: 2000\r\n\r\n")
            (await app.exchange()).respond(401, TEXT, b"no")
            head, body = await one.answer()
            assert (head[:13], body) == (b"HTTP/1.1 401 ", b"no")
            assert b"\r\nConnection: close\r\n" in head
            assert await one.rest() == b""

    run(main())


def test_the_client_waits_for_who_takes_it(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app, LIMITS) as listener, client(listener.port) as one:
            size = 64 * 1024 * 1024
            one.send(UP + b"Content-Length: %d\r\n\r\n" % size)
            exchange, upload, kept = await taken(app)
            upload.hold()
            one.send(bytes(size))
            for _ in range(20):
                await asyncio.sleep(0.01)
            assert upload.held
            assert upload.size_bytes <= 512 * 1024, "a read or two may have been under way"
            upload.read_on()
            await kept.ended.wait()
            assert upload.size_bytes == size
            exchange.respond(200, TEXT, b"all")
            assert (await one.answer())[1] == b"all"

    run(main())


def test_without_a_taker_nothing_is_read(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app, LIMITS) as listener, client(listener.port) as one:
            size = 8 * 1024 * 1024
            one.send(UP + b"Content-Length: %d\r\n\r\n" % size + bytes(size))
            upload = (await app.exchange()).request.upload
            assert upload is not None
            await asyncio.sleep(0.1)
            assert upload.size_bytes <= 512 * 1024
            kept = Kept()
            upload.open(kept)
            await kept.ended.wait()
            assert len(kept.data) == size

    run(main())


def test_an_answer_before_its_end_closes_and_what_follows_is_no_request(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app, LIMITS) as listener, client(listener.port) as one:
            one.send(UP + b"Content-Length: 2000\r\n\r\nabc")
            exchange, _, _ = await taken(app)
            exchange.respond(507, TEXT, b"full")
            one.send(b"x" * 1_997 + GET)
            head, body = await one.answer()
            assert (head[:13], body) == (b"HTTP/1.1 507 ", b"full")
            assert b"\r\nConnection: close\r\n" in head
            assert await one.rest() == b""
        assert len(app.exchanges) == 1

    run(main())


@pytest.mark.parametrize("started", [False, True])
def test_a_body_that_cannot_be_read_is_answered_in_place_of_the_app(
    started: bool,  # noqa: FBT001 (drawn)
    run: Run,
) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app, LIMITS) as listener, client(listener.port) as one:
            one.send(UP + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            exchange, _, _ = await taken(app)
            gone = asyncio.Event()
            exchange.on_gone = gone.set
            if started:
                exchange.start(200, TEXT, None, b"so far")
            one.send(b"zz\r\n")
            await gone.wait()
            if started:
                with pytest.raises(ConnectionResetError):
                    await one.rest()
            else:
                assert (await one.rest()).startswith(b"HTTP/1.1 400 ")

    run(main())


@pytest.mark.parametrize("held", [False, True])
def test_a_client_that_stops_sending_times_out_but_not_while_it_has_to_wait(
    held: bool,  # noqa: FBT001 (drawn)
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.02)
    limits = Limits(streamed=(b"/up/",), body_timeout_s=0.1, linger_s=0.1)

    async def main() -> None:
        app = Held()
        async with serving(app, limits) as listener, client(listener.port) as one:
            one.send(UP + b"Content-Length: 2000\r\n\r\nabc")
            exchange, upload, _ = await taken(app)
            gone = asyncio.Event()
            exchange.on_gone = gone.set
            if held:
                upload.hold()
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(gone.wait(), 0.4)
                upload.read_on()
            await gone.wait()
            assert (await one.rest()).startswith(b"HTTP/1.1 408 ")

    run(main())


def test_a_client_that_leaves_is_told(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app, LIMITS) as listener:
            gone = asyncio.Event()
            async with client(listener.port) as one:
                one.send(UP + b"Content-Length: 2000\r\n\r\nabc")
                exchange, upload, kept = await taken(app)
                exchange.on_gone = gone.set
            await gone.wait()
            assert not upload.ended
            assert not kept.ended.is_set()

    run(main())


@pytest.mark.parametrize(("size", "status"), [(900, 200), (1_100, 413)])
def test_behind_another_request_it_is_a_body_like_any_other(
    size: int, status: int, run: Run
) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app, LIMITS) as listener, client(listener.port) as one:
            one.send(GET + UP + b"Content-Length: %d\r\n\r\n" % size + b"x" * size)
            (await app.exchange()).respond(200, TEXT, b"first")
            assert (await one.answer())[1] == b"first"
            if status == 200:
                second = await app.exchange()
                assert second.request.upload is None
                second.respond(200, TEXT, b"%d" % len(second.request.body))
            head, body = await one.answer()
            assert head.startswith(b"HTTP/1.1 %d " % status)
            assert body == b"900" or status == 413

    run(main())


def test_only_posts_to_such_targets_stream(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app, LIMITS) as listener:
            for asked in (POST, UP.replace(b"POST", b"PUT")):
                async with client(listener.port) as one:
                    one.send(asked + b"Content-Length: 3\r\n\r\nabc")
                    assert (await app.exchange()).request.upload is None

    run(main())


def test_an_empty_one_and_an_upgrade(run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with serving(app, LIMITS) as listener, client(listener.port) as one:
            one.send(UP + b"\r\n")
            exchange, _, kept = await taken(app)
            await kept.ended.wait()
            exchange.respond(200, TEXT, b"empty")
            assert (await one.answer())[1] == b"empty"
            one.send(UP + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc")
            exchange, _, kept = await taken(app)
            await kept.ended.wait()
            assert kept.data == b"abc"

    run(main())


def _again(app: Held) -> Held:
    """Let the request that came last come once more."""
    app.came.set()
    return app
