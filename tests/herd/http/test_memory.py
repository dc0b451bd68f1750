"""What was read of a request that will never be whole is let go at once, not at a collection."""

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator

import pytest

from herd.http import server as server_module
from herd.http.server import Limits
from tests.herd.http.conftest import Run
from tests.herd.http.sockets import POST, Client, Echo, client, serving, until

SENT_BYTES = 8_000_000
HALF_A_BODY = POST + b"Content-Length: 9000000\r\n\r\n" + b"x" * SENT_BYTES


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


def kept_bytes() -> int:
    return tracemalloc.get_traced_memory()[0]


def is_kept() -> bool:
    return kept_bytes() > SENT_BYTES // 2


async def let_go() -> None:
    async with asyncio.timeout(10):
        await until(lambda: not is_kept())


async def sent(one: Client) -> None:
    one.send(HALF_A_BODY)
    await one.writer.drain()
    await until(is_kept)


@pytest.mark.parametrize("leave", ["close", "reset", "write_eof"])
@pytest.mark.usefixtures("uncollected")
def test_the_body_of_a_client_that_left_is_let_go(leave: str, run: Run) -> None:
    async def main() -> None:
        async with serving(Echo()) as listener, client(listener.port) as one:
            await sent(one)
            if leave == "write_eof":
                one.writer.write_eof()
            elif leave == "reset":
                one.reset()
            else:
                one.close()
            await let_go()

    run(main())


@pytest.mark.usefixtures("uncollected")
def test_the_body_of_a_client_that_was_too_slow_is_let_go(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.02)
    limits = Limits(body_timeout_s=0.2, linger_s=60)

    async def main() -> None:
        async with serving(Echo(), limits) as listener, client(listener.port) as one:
            await sent(one)
            assert b" 408 " in await one.head()
            await let_go()

    run(main())
