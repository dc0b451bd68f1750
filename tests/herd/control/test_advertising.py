"""The balancer stays on the network under the addresses that the machine has now."""

import asyncio
import logging

import pytest

from herd.config import Settings
from herd.control import advertising as module
from herd.control.advertising import advertising
from herd.mdns import MdnsError
from herd.tasks import spawn


class Shown:
    """What is on the network."""

    warning = ""

    def __init__(self, addresses: tuple[str, ...], on: list[tuple[str, ...]]) -> None:
        self._addresses, self._on = addresses, on
        on.append(addresses)

    async def close(self) -> None:
        await asyncio.sleep(0)
        self._on.remove(self._addresses)


def test_new_addresses_are_told_and_old_ones_taken_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    addresses: tuple[str, ...] = ()
    network: list[tuple[str, ...]] = []

    async def advertise(port: int, **given: object) -> Shown:
        await asyncio.sleep(0)
        assert (port, given["secure"]) == (11435, False)
        if not addresses:
            raise MdnsError("mDNS does not work here", "name the balancer")
        return Shown(addresses, network)

    monkeypatch.setattr(module, "own_addresses", lambda: addresses)
    monkeypatch.setattr(module, "advertise", advertise)

    async def becomes(wanted: list[tuple[str, ...]]) -> None:
        async with asyncio.timeout(5):
            while network != wanted:  # noqa: ASYNC110 (what it looks at tells nobody)
                await asyncio.sleep(0.001)

    async def play() -> None:
        nonlocal addresses
        task = spawn(advertising(Settings(), look_s=0.001), name="mdns")
        while not caplog.records:  # noqa: ASYNC110 (the same)
            await asyncio.sleep(0.001)
        for now in (("192.0.2.1",), ("192.0.2.2", "2001:db8::2")):
            addresses = now
            await becomes([now])
        addresses = ()
        await becomes([])
        addresses = ("192.0.2.3",)
        await becomes([("192.0.2.3",)])
        task.cancel()
        await asyncio.wait({task})
        assert network == []

    with caplog.at_level(logging.WARNING):
        asyncio.run(play())
    assert [record.getMessage() for record in caplog.records] == [
        "mDNS does not work here; name the balancer"
    ] * 2, "each time that it goes, not each time that it is looked at"
