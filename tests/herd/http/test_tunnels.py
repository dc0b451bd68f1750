"""Who may open a connection to relay on, and what becomes of it."""

import asyncio
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from herd.agent.keypair import Keypair
from herd.http import tunnels
from herd.http.tunnels import PATH, SPARES
from herd.link.messages import PinView
from tests.herd.http.conftest import Run
from tests.herd.http.fleet import QUIET, Ask, header, post
from tests.herd.http.sockets import Client, client
from tests.herd.http.tunnelled import LAP, Relayed, relayed

BODY = b'{"node_id":"lap"}'
SWITCHED = b"HTTP/1.1 101 "


async def silent(ask: Ask) -> None:
    await asyncio.sleep(0)
    raise AssertionError(ask.head)


async def gone(one: Client) -> None:
    with suppress(ConnectionResetError):
        assert await one.rest() == b""


async def challenged(one: Client) -> str:
    post(one, PATH, BODY)
    head, body = await one.answer()
    assert head.startswith(b"HTTP/1.1 401 ")
    return str(msgspec.json.decode(body)["challenge"])


def signed(one: Client, headers: list[tuple[bytes, bytes]], body: bytes = BODY) -> None:
    post(one, PATH, body, *[b"%b: %b" % each for each in headers])


async def opened(one: Client, keys: Keypair) -> list[tuple[bytes, bytes]]:
    """Open one; return the headers that did."""
    headers = keys.relay_headers(await challenged(one), BODY)
    signed(one, headers)
    assert (await one.until(b"\r\n\r\n")).startswith(SWITCHED)
    return headers


async def refused(one: Client, headers: list[tuple[bytes, bytes]], status: bytes) -> bytes:
    signed(one, headers)
    head, body = await one.answer()
    assert head.split()[1] == status
    return body


def test_a_handshake_that_was_overheard_opens_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with (
            relayed(tmp_path, silent, monkeypatch) as it,
            client(it.port) as one,
            client(it.port) as thief,
        ):
            headers = await opened(one, it.keys)
            await refused(thief, headers, b"401")

    run(main())


def test_another_key_opens_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with relayed(tmp_path, silent, monkeypatch) as it, client(it.port) as one:
            other = Keypair(tmp_path / "other.key")
            body = await refused(one, other.relay_headers(await challenged(one), BODY), b"403")
            assert b"does not speak for 'lap'" in body
            forged = it.keys.relay_headers(await challenged(one), b'{"node_id":"tower"}')
            assert b"signature" in await refused(one, forged, b"403")

    run(main())


def test_a_signed_heartbeat_is_no_handshake(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with relayed(tmp_path, silent, monkeypatch) as it, client(it.port) as one:
            it.keys.challenged(await challenged(one), 0)
            assert b"signature" in await refused(one, it.keys.headers("lap", BODY), b"403")

    run(main())


def test_a_key_that_is_not_pinned_or_revoked_opens_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with relayed(tmp_path, silent, monkeypatch) as it, client(it.port) as one:
            for pins in ({}, {"lap": PinView(it.keys.public, revoked=True)}):
                it.pins(**pins)
                await refused(one, it.keys.relay_headers(await challenged(one), BODY), b"403")

    run(main())


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"node_id":7}', b"[" * 10_000])
def test_what_is_no_handshake_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    async def main() -> None:
        async with relayed(tmp_path, silent, monkeypatch) as it, client(it.port) as one:
            post(one, PATH, body)
            assert (await one.answer())[0].startswith(b"HTTP/1.1 400 ")

    run(main())


def test_there_is_an_end_to_challenges(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnels, "MOST_CHALLENGES", 2)

    async def main() -> None:
        async with relayed(tmp_path, silent, monkeypatch) as it, client(it.port) as one:
            oldest = await challenged(one)
            for _ in range(2):
                await challenged(one)
            await refused(one, it.keys.relay_headers(oldest, BODY), b"401")
            await opened(one, it.keys)

    run(main())


def test_a_front_with_enough_says_so_and_how_many_all_fronts_want(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with relayed(tmp_path, silent, monkeypatch) as it:
            await _filled(it)

    async def _filled(it: Relayed) -> None:
        held = [client(it.port) for _ in range(SPARES + 1)]
        ones = [await each.__aenter__() for each in held]
        for one in ones[:-1]:
            await opened(one, it.keys)
        signed(ones[-1], it.keys.relay_headers(await challenged(ones[-1]), BODY))
        head, _ = await ones[-1].answer()
        assert head.startswith(b"HTTP/1.1 409 ")
        assert header(head, tunnels.WANTED) == b"4"
        (await it.front.take(LAP)).abort()
        await opened(ones[-1], it.keys)
        for each in held:
            await each.__aexit__(None, None, None)

    run(main())


def test_a_revoked_key_s_connections_end_also_those_in_use(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with (
            relayed(tmp_path, silent, monkeypatch) as it,
            client(it.port) as unused,
            client(it.port) as used,
            client(it.port) as one,
        ):
            await opened(used, it.keys)
            post(one, "/api/chat", QUIET)
            assert (await used.until(b'"stream":false}')).startswith(b"POST /api/chat ")
            await opened(unused, it.keys)
            it.control.urls = []
            it.pins(lap=PinView(it.keys.public, revoked=True))
            await gone(unused)
            await gone(used)
            assert (await one.answer())[0].startswith(b"HTTP/1.1 502 ")

    run(main())


def test_a_node_that_speaks_first_is_cut(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with relayed(tmp_path, silent, monkeypatch) as it, client(it.port) as one:
            await opened(one, it.keys)
            one.send(b"HTTP/1.1 200 OK\r\n\r\n")
            await gone(one)

    run(main())


def test_who_finds_none_waits_for_the_next(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with relayed(tmp_path, silent, monkeypatch) as it, client(it.port) as one:
            left = asyncio.ensure_future(it.front.take(LAP))
            waits = asyncio.ensure_future(it.front.take(LAP))
            await asyncio.sleep(0)
            left.cancel()
            await opened(one, it.keys)
            assert not (await waits).is_closing()

    run(main())
