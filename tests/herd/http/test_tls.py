"""TLS towards clients: the same server behind it, on each loop."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from herd.config import Settings
from herd.errors import HerdError
from herd.http import server as server_module
from herd.http.server import App, Limits, Listener, listen
from herd.http.tls import Renewal, renewal
from herd.tasks import spawn
from tests.certificates import Authority
from tests.herd.http.conftest import Run
from tests.herd.http.sockets import GET, POST, TEXT, Client, Echo, Held, until
from tests.herd.http.test_upload import UP, taken

LIMITS = Limits(streamed=(b"/up/",))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def secured(
    app: App, authority: Authority, limits: Limits = LIMITS
) -> AsyncGenerator[Listener]:
    shown = Renewal(*authority.issue())
    listener = await listen(app, host="127.0.0.1", limits=limits, tls=shown.context)
    try:
        yield listener
    finally:
        listener.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def client(port: int, authority: Authority) -> AsyncGenerator[Client]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=authority.trusting(), server_hostname="localhost"
    )
    made = Client(reader, writer)
    try:
        yield made
    finally:
        made.close()


def test_requests_on_one_connection_pipelined_and_streamed(authority: Authority, run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with (
            secured(app, authority) as listener,
            client(listener.port, authority) as one,
        ):
            one.send(GET + POST + b"Content-Length: 3\r\n\r\nabc")
            first = await app.exchange()
            first.start(200, TEXT)
            first.write(b"a")
            assert (await one.head()).startswith(b"HTTP/1.1 200 OK\r\n")
            assert await one.until(b"a\r\n") == b"1\r\na\r\n", "before the answer's end"
            first.finish(b"b")
            assert await one.until(b"0\r\n\r\n") == b"1\r\nb\r\n0\r\n\r\n"
            second = await app.exchange()
            second.respond(200, TEXT, second.request.body)
            assert (await one.answer())[1] == b"abc"

    run(main())


@pytest.mark.parametrize("how", ["closed", "aborted", "reset"])
def test_a_client_that_leaves_is_seen_while_it_waits(
    how: str, authority: Authority, run: Run
) -> None:
    async def main() -> None:
        app = Held()
        async with secured(app, authority) as listener:
            gone = asyncio.Event()
            async with client(listener.port, authority) as one:
                one.send(GET)
                (await app.exchange()).on_gone = gone.set
                if how == "closed":
                    one.writer.close()
                elif how == "aborted":
                    one.close()
                else:
                    one.reset()
                await gone.wait()
            await until(lambda: not listener.connections)

    run(main())


def test_a_slow_reader_blocks_the_writer_and_releases_it(authority: Authority, run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with (
            secured(app, authority) as listener,
            client(listener.port, authority) as one,
        ):
            one.send(GET)
            exchange = await app.exchange()
            blocked, writable = asyncio.Event(), asyncio.Event()
            exchange.on_blocked, exchange.on_writable = blocked.set, writable.set
            exchange.start(200, TEXT)
            sent = 0
            while not blocked.is_set():
                exchange.write(b"z" * 65_536)
                sent += 65_536
                await asyncio.sleep(0)
                assert sent < 256 * 1024 * 1024
            reading = spawn(one.answer(), name="reading")
            await writable.wait()
            exchange.finish()
            assert len((await reading)[1]) == sent

    run(main())


def test_a_client_that_takes_nothing_is_given_up(
    authority: Authority, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.02)

    async def main() -> None:
        app = Held()
        limits = Limits(write_timeout_s=0.1)
        async with (
            secured(app, authority, limits) as listener,
            client(listener.port, authority) as one,
        ):
            one.send(GET)
            exchange = await app.exchange()
            gone = asyncio.Event()
            exchange.on_gone = gone.set
            exchange.start(200, TEXT)
            while not gone.is_set():
                if not exchange.blocked:
                    exchange.write(b"z" * 65_536)
                await asyncio.sleep(0)

    run(main())


def test_a_refused_client_can_go_on_sending_and_read_the_refusal(
    authority: Authority, run: Run
) -> None:
    async def main() -> None:
        limits = Limits(body_bytes=10)
        async with (
            secured(Echo(), authority, limits) as listener,
            client(listener.port, authority) as one,
        ):
            one.send(POST + b"Content-Length: 30000000\r\n\r\n")
            for _ in range(30):
                one.send(b"x" * 1_000_000)
                await one.writer.drain()
            assert (await one.answer())[0].startswith(b"HTTP/1.1 413 ")

    run(main())


def test_a_refused_client_that_stays_is_closed(
    authority: Authority, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.02)

    async def main() -> None:
        limits = Limits(linger_s=0.05)
        async with (
            secured(Echo(), authority, limits) as listener,
            client(listener.port, authority) as one,
        ):
            one.send(b"nonsense\r\n\r\n")
            assert (await one.answer())[0].startswith(b"HTTP/1.1 400 ")
            await until(lambda: not listener.connections)

    run(main())


def test_an_aborted_answer_is_never_a_clean_end(authority: Authority, run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with (
            secured(app, authority) as listener,
            client(listener.port, authority) as one,
        ):
            one.send(GET)
            exchange = await app.exchange()
            exchange.start(200, TEXT, None, b"so far")
            await one.until(b"so far\r\n")
            exchange.cut(b"last words")
            heard = await one.rest()
            assert heard == b"a\r\nlast words\r\n"

    run(main())


def test_an_upload_waits_for_who_takes_it(authority: Authority, run: Run) -> None:
    async def main() -> None:
        app = Held()
        async with (
            secured(app, authority) as listener,
            client(listener.port, authority) as one,
        ):
            size = 24 * 1024 * 1024
            one.send(UP + b"Content-Length: %d\r\n\r\n" % size)
            exchange, upload, kept = await taken(app)
            upload.hold()
            one.send(bytes(size))
            for _ in range(20):
                await asyncio.sleep(0.01)
            assert upload.size_bytes <= 1024 * 1024
            upload.read_on()
            await kept.ended.wait()
            assert len(kept.data) == size
            exchange.respond(200, TEXT, b"all")
            assert (await one.answer())[1] == b"all"

    run(main())


def test_who_speaks_plainly_or_not_at_all_is_closed(authority: Authority, run: Run) -> None:
    async def main() -> None:
        limits = Limits(handshake_timeout_s=0.2)
        async with secured(Echo(), authority, limits) as listener:
            for said in (GET, b""):
                reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
                writer.write(said)
                with suppress(ConnectionResetError):
                    assert not (await reader.read()).startswith(b"HTTP/")
                writer.transport.abort()
            async with client(listener.port, authority) as one:
                one.send(GET)
                assert (await one.answer())[0].startswith(b"HTTP/1.1 200 ")

    run(main())


# Certificates


async def shown(port: int, authority: Authority, name: str) -> bool:
    """Whether a new connection is shown a certificate of that name."""
    try:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=authority.trusting(), server_hostname=name
        )
    except ssl.SSLCertVerificationError:
        return False
    writer.transport.abort()
    return True


def test_a_renewed_certificate_is_taken_over_and_a_broken_one_is_not(
    authority: Authority, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        caplog.clear()
        files = authority.issue("old.test")
        certificate, key = map(Path, files)
        whole = key.read_bytes()
        kept = Renewal(*files)
        listener = await listen(Echo(), host="127.0.0.1", tls=kept.context)
        try:
            assert await shown(listener.port, authority, "old.test")
            assert not kept.look()
            key.write_bytes(b"half of a k")
            assert not kept.look()
            assert not kept.look()
            assert caplog.text.count("the old certificate stays in force") == 1
            assert await shown(listener.port, authority, "old.test")
            key.write_bytes(whole)
            assert kept.look()
            authority.issue("new.test")
            assert kept.look()
            assert await shown(listener.port, authority, "new.test")
            assert not await shown(listener.port, authority, "old.test")
            certificate.unlink()
            assert not kept.look()
            assert await shown(listener.port, authority, "new.test")
        finally:
            listener.abort()

    run(main())


def test_what_is_no_certificate_is_named(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue()
    other = authority.issue("other.test", into="other")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    for files, said in (
        ((certificate, str(tmp_path / "none.key")), "none.key cannot be read"),
        ((certificate, other[1]), "no certificate with its key"),
        ((str(nonsense), key), "no certificate with its key"),
        ((certificate, ""), "no certificate with its key"),
    ):
        with pytest.raises(HerdError, match=said):
            Renewal(*files)
    with pytest.raises(HerdError, match="without its certificate"):
        renewal(Settings(tls_key=key))
    assert renewal(Settings()) is None


def test_one_file_may_hold_both(authority: Authority, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(Path(name).read_bytes() for name in authority.issue()))
    assert renewal(Settings(tls_cert=str(both))) is not None
