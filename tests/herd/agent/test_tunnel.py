"""The agent's end of the relay, against a real front and a node that answers from a script."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from events import AttemptFailed, RequestCancelled, RequestCompleted, RequestFailed
from herd.agent import tunnel
from herd.agent.keypair import Keypair
from herd.agent.tunnel import Tunnel
from herd.http import tls
from herd.http.client import FetchError, fetch
from herd.http.detour import detour, lend, socket_of
from herd.http.tunnels import SPARES
from herd.link.messages import PinView
from tests.certificates import Authority
from tests.herd.http.fleet import NDJSON, QUIET, Ask, post, streamed
from tests.herd.http.sockets import client, until
from tests.herd.http.tunnelled import LAP, URL, Relayed, relayed
from tests.herd.small_server import DEEP

Run: TypeAlias = Callable[[Coroutine[Any, Any, None]], object]
CHAT = "/api/chat"


async def whole(ask: Ask) -> None:
    ask.answer(NDJSON[-1])


async def begun(ask: Ask) -> None:
    ask.begin()
    ask.chunk(NDJSON[0])


def spares(it: Relayed) -> int:
    return it.front.unused(LAP)


def test_it_keeps_as_many_open_as_are_wanted_and_a_stream_comes_through(
    on_each_loop: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with relayed(tmp_path, streamed, monkeypatch) as it, client(it.port) as one:
            await it.opens()
            await until(lambda: spares(it) == SPARES)
            assert it.server.connections == 0, "none to Ollama before it is used"
            for _ in range(3):
                post(one, CHAT, b'{"model":"m:latest"}')
                assert (await one.answer())[1] == b"".join(NDJSON)
            assert it.server.connections == 1, "kept alive, and used again"
            assert b"Host: localhost\r\n" in it.server.asks[0].head
            await until(lambda: spares(it) == SPARES)
            assert it.said == [
                "the agent relays for this Ollama: nobody else on the network can reach it"
            ]

    on_each_loop(main())


def test_more_at_once_than_were_open(
    on_each_loop: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with relayed(tmp_path, whole, monkeypatch) as it, contextlib.AsyncExitStack() as all_:
            await it.opens()
            ones = [await all_.enter_async_context(client(it.port)) for _ in range(3 * SPARES)]
            for one in ones:
                post(one, CHAT, QUIET)
            for one in ones:
                assert (await one.answer())[1] == NDJSON[-1]

    on_each_loop(main())


def test_a_client_that_leaves_ends_it_at_ollama(
    on_each_loop: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def script(ask: Ask) -> None:
            await begun(ask)
            await ask.gone()
            ended.set()

        async with relayed(tmp_path, script, monkeypatch) as it:
            await it.opens()
            async with client(it.port) as one:
                post(one, CHAT, b'{"model":"m:latest"}')
                await one.until(NDJSON[0])
            await it.control.heard(RequestCancelled)
            await ended.wait()

    on_each_loop(main())


def test_an_ollama_that_breaks_off_is_no_end(
    on_each_loop: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(ask: Ask) -> None:
        await begun(ask)
        ask.writer.transport.abort()

    async def main() -> None:
        async with relayed(tmp_path, breaks, monkeypatch) as it, client(it.port) as one:
            await it.opens()
            post(one, CHAT, b'{"model":"m:latest"}')
            assert b"node failed" in await one.rest()
            assert (await it.control.heard(RequestFailed)).phase == "stream"

    on_each_loop(main())


def test_a_large_answer_to_a_slow_client_is_whole(
    on_each_loop: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b"".join(b'{"model":"m","done":false,"n":%d}\n' % n for n in range(200_000))

    async def large(ask: Ask) -> None:
        ask.answer(lines + NDJSON[-1], content_type=b"application/x-ndjson")

    async def main() -> None:
        async with relayed(tmp_path, large, monkeypatch) as it, client(it.port) as one:
            await it.opens()
            post(one, CHAT, b'{"model":"m:latest"}')
            await one.head()
            await asyncio.sleep(0.1)
            assert await one.reader.readexactly(len(lines) + len(NDJSON[-1])) == lines + NDJSON[-1]

    on_each_loop(main())


def test_no_ollama_is_said_and_another_node_may_try(
    on_each_loop: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with relayed(tmp_path, whole, monkeypatch) as it, client(it.port) as one:
            it.tunnel = it.agent("http://127.0.0.1:1")
            it.control.urls = [URL, it.server.url]
            await it.opens()
            post(one, CHAT, QUIET)
            assert (await one.answer())[1] == NDJSON[-1]
            failed = await it.control.heard(AttemptFailed)
            assert (failed.phase, failed.status) == ("first_byte", 502)
            it.control.urls = [URL]
            post(one, CHAT, QUIET)
            told = (await one.answer())[1]
            assert b"no Ollama at http://127.0.0.1:1: connection refused" in told

    on_each_loop(main())


def test_without_an_agent_nothing_connects(
    on_each_loop: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herd.http.upstream.CONNECT_TIMEOUT_S", 0.05)

    async def main() -> None:
        async with relayed(tmp_path, whole, monkeypatch) as it, client(it.port) as one:
            it.control.urls = [URL]
            post(one, CHAT, QUIET)
            await one.answer()
            assert (await it.control.heard(AttemptFailed)).phase == "connect"
            await it.opens()
            await until(lambda: spares(it) == SPARES)
            it.control.urls = [URL]
            post(one, CHAT, QUIET)
            assert (await it.control.heard(RequestCompleted)).status == 200

    on_each_loop(main())


def test_a_connection_that_died_unused_is_replaced_before_anybody_notices(
    on_each_loop: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with relayed(tmp_path, whole, monkeypatch) as it, client(it.port) as one:
            await it.opens()
            await until(lambda: spares(it) == SPARES)
            for line in tuple(it.tunnel.unused):
                line.transport.abort()
            post(one, CHAT, QUIET)
            assert (await one.answer())[1] == NDJSON[-1]
            await it.control.heard(RequestCompleted)
            assert "AttemptFailed" not in it.control.kinds
            await until(lambda: spares(it) == SPARES)

    on_each_loop(main())


def test_another_process_is_lent_one(
    on_each_loop: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with relayed(tmp_path, whole, monkeypatch) as it:
            await it.opens()
            assert (await fetch("POST", f"{URL}/api/show")).body == NDJSON[-1], "its own"
            server = await lend(socket_of(tmp_path, 2), it.front)
            socket_of(tmp_path, 1).touch()  # of a front that is gone
            monkeypatch.setattr(detour, "spares", None)
            monkeypatch.setattr(detour, "folder", tmp_path)
            assert (await fetch("POST", f"{URL}/api/show", body=b"{}")).body == NDJSON[-1]
            assert it.server.asks[-1].head.startswith(b"POST /api/show HTTP/1.1\r\n")
            server.close()
            with pytest.raises(FetchError, match="no connection here"):
                await fetch("GET", "relay://other/api/ps")

    on_each_loop(main())


def test_it_follows_its_balancer_and_relays_for_no_other(
    on_each_loop: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with relayed(tmp_path, whole, monkeypatch) as it:
            await it.opens()
            await until(lambda: spares(it) == SPARES)
            it.tunnel.follow("http://127.0.0.1:1")
            await until(lambda: spares(it) == 0)
            await it.opens()
            await until(lambda: spares(it) == SPARES)
            it.pins(lap=PinView(it.keys.public, revoked=True))
            await until(lambda: spares(it) == 0 and not it.tunnel.connections)

    on_each_loop(main())


def test_paused_it_opens_none_and_what_runs_goes_on(
    on_each_loop: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        paused = asyncio.Event()

        async def script(ask: Ask) -> None:
            await begun(ask)
            await paused.wait()
            ask.chunk(NDJSON[-1])
            ask.end()

        async with relayed(tmp_path, script, monkeypatch) as it, client(it.port) as one:
            await it.opens()
            post(one, CHAT, b'{"model":"m:latest"}')
            await one.until(NDJSON[0])
            await until(lambda: spares(it) == SPARES)
            it.tunnel.pause()
            await until(lambda: spares(it) == 0)
            await it.opens()
            await until(lambda: spares(it) == SPARES)
            paused.set()
            await one.until(NDJSON[-1])
            await it.control.heard(RequestCompleted)

    on_each_loop(main())


@pytest.mark.parametrize(
    "answer",
    [b"\r\n\r\n", b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n%b" % (len(DEEP), DEEP)],
    ids=["nothing", "deep"],
)
def test_an_answer_that_cannot_be_read_is_not_the_last(
    on_each_loop: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(tunnel, "FAILED_S", 0.01)
    dialled: list[None] = []

    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialled.append(None)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(odd, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        ours = Tunnel("lap", URL, Keypair(tmp_path / "key"), print, wanted=True)
        await ours.look("127.0.0.1", reachable=True)
        dialled.clear()
        ours.follow(f"http://127.0.0.1:{port}")
        await until(lambda: len(dialled) > 2)
        ours.close()
        server.close()

    on_each_loop(main())


@pytest.mark.parametrize(("names", "relays"), [(("localhost",), True), ((), False)])
def test_an_ollama_whose_certificate_lacks_this_machines_address_is_relayed_for(
    names: tuple[str, ...],
    relays: bool,  # noqa: FBT001 (a case)
    on_each_loop: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The balancer would ask that address, and could not believe what answers there."""
    authority = Authority(tmp_path)
    monkeypatch.setattr(tls, "belief", tls.Belief())
    tls.trust(str(authority.file))
    shown = tls.Renewal(*authority.issue(*names)).context
    monkeypatch.setattr(tunnel, "is_loopback", "localhost".__eq__)  # so this is another machine
    monkeypatch.setattr(tunnel, "LOOK_S", 10.0)

    async def main() -> None:
        server = await asyncio.start_server(_says_yes, "127.0.0.1", 0, ssl=shown)
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        keys = Keypair(tmp_path / "node.key")
        here = tunnel.Tunnel("lap", url, keys, lambda _: None, wanted=None)
        await here.look("127.0.0.1", reachable=True)
        assert here.relays is relays
        server.close()

    on_each_loop(main())


async def _says_yes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    writer.close()
