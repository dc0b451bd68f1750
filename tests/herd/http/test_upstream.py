"""Connections to nodes: when they are used again, and when they are let go."""

import asyncio

import pytest

from events import RequestCompleted
from herd.http import upstream
from herd.http.client import FetchError
from herd.http.upstream import Pool
from herd.http.ways import Carrier
from herd.link.messages import View
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import QUIET, Ask, Control, fronting, node, post
from tests.herd.http.sockets import client

HEAD = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"


class Heard:
    """A receiver that keeps what it is told."""

    def __init__(self) -> None:
        self.connection: Carrier | None = None
        self.body = b""
        self.error = ""
        self.over = asyncio.Event()

    def connected(self, connection: Carrier) -> None:
        self.connection = connection

    def unreachable(self, error: str) -> None:
        self.error = error
        self.over.set()

    def heard(self, body: bytes, *, ended: bool) -> None:
        self.body += body
        if ended:
            self.over.set()

    def lost(self, error: str) -> None:
        self.error = error
        self.over.set()

    def failed(self) -> None:
        self.lost("failed")


async def asked(pool: Pool) -> Heard:
    heard = Heard()
    pool.ask(HEAD, b"{}", heard)
    await heard.over.wait()
    return heard


async def fine(ask: Ask) -> None:
    ask.answer(b"fine")


def test_the_connection_used_last_is_used_first(run: Run) -> None:
    async def main() -> None:
        together = asyncio.Barrier(2)

        async def script(ask: Ask) -> None:
            if len(here.asks) <= 2:
                await together.wait()
            ask.answer(b"fine")

        async with node(script) as here:
            pool = Pool(here.url)
            await asyncio.gather(asked(pool), asked(pool))
            last = [await asked(pool) for _ in range(3)]
            assert here.connections == 2
            assert len({id(heard.connection) for heard in last}) == 1
            assert last[0].connection is not None
            assert last[0].connection.reused
            pool.close()

    run(main())


def test_what_is_idle_for_too_long_is_closed(run: Run) -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def script(ask: Ask) -> None:
            ask.answer(b"fine")
            if len(here.asks) == 1:
                await ask.gone()
                gone.set()

        async with node(script) as here:
            pool = Pool(here.url)
            await asked(pool)
            pool.sweep(upstream.IDLE_S)
            assert not gone.is_set()
            pool.sweep(1.0)
            await gone.wait()
            await asked(pool)
            assert here.connections == 2
            pool.close()

    run(main())


def test_bytes_that_nobody_asked_for_end_a_connection(run: Run) -> None:
    async def main() -> None:
        speak = asyncio.Event()
        gone = asyncio.Event()

        async def script(ask: Ask) -> None:
            ask.answer(b"fine")
            if len(here.asks) == 1:
                await speak.wait()
                ask.answer(b"EVIL")
                await ask.gone()
                gone.set()

        async with node(script) as here:
            pool = Pool(here.url)
            await asked(pool)
            speak.set()
            await gone.wait()
            assert (await asked(pool)).body == b"fine"
            assert here.connections == 2
            pool.close()

    run(main())


def test_only_so_many_idle_connections_are_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "MOST_IDLE", 1)

    async def main() -> None:
        together = asyncio.Barrier(2)

        async def script(ask: Ask) -> None:
            await together.wait()
            ask.answer(b"fine")

        async with node(script) as here:
            pool = Pool(here.url)
            for _ in range(2):
                await asyncio.gather(asked(pool), asked(pool))
            assert here.connections == 3
            pool.close()

    run(main())


def test_a_nodes_address_may_have_a_path_of_its_own(run: Run) -> None:
    async def main() -> None:
        async with node(fine) as here:
            control = Control(f"{here.url}/ollama/")
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", QUIET)
                await one.answer()
        assert here.asks[0].head.startswith(b"POST /ollama/api/chat HTTP/1.1\r\n")

    run(main())


def test_an_address_that_is_none_is_refused(run: Run) -> None:
    async def main() -> None:
        with pytest.raises(FetchError):
            Pool("ftp://x")

    run(main())


def test_a_node_that_left_keeps_no_connection(run: Run) -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def script(ask: Ask) -> None:
            ask.answer(b"{}")
            await ask.gone()
            gone.set()

        async with node(script) as here:
            control = Control(here.url)
            async with fronting(control) as listener, client(listener.port) as one:
                post(one, "/api/chat", QUIET)
                await one.answer()
                await control.heard(RequestCompleted)
                assert control.front is not None
                control.front.view_changed(View())
                control.front.inference.sweep()
                await gone.wait()

    run(main())


@pytest.mark.parametrize("host", ["gpu..lan", "x" * 70 + ".lan"])
def test_a_name_that_dns_cannot_have_is_unreachable(host: str, run: Run) -> None:
    async def main() -> None:
        heard = Heard()
        Pool(f"http://{host}:1").dial(HEAD, b"", heard)
        await heard.over.wait()
        assert heard.error == "name not known"

    run(main())
