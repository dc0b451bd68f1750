"""Magic packets: their form, and where they go."""

import asyncio
import logging

import pytest

from events import NodeId
from herd.control import waker
from herd.control.waker import EVERYBODY, PORT, TIMES, Waker, magic_packet
from tests.conftest import Run

MACS = ("3c:7c:3f:00:00:01", "3c:7c:3f:00:00:02")
Sent = list[tuple[tuple[bytes, ...], tuple[tuple[str, int], ...]]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """What would have been sent, where to, on a machine with one network."""
    found: Sent = []

    def send(packets: list[bytes], targets: tuple[tuple[str, int], ...]) -> int:
        found.append((tuple(packets), targets))
        return len(packets)

    monkeypatch.setattr(waker, "_send", send)
    monkeypatch.setattr(waker, "APART_S", 0.0)
    monkeypatch.setattr(waker, "broadcasts", lambda: ("192.168.7.255",))
    return found


async def woken(wake_to: str) -> None:
    Waker(wake_to).wake(NodeId("ada"), MACS)
    async with asyncio.timeout(5):
        await asyncio.gather(*_others())


def _others() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def test_a_packet_is_six_bytes_of_ones_and_the_address_sixteen_times() -> None:
    packet = magic_packet("3c:7c:3f:00:00:01")
    assert packet[:6] == b"\xff\xff\xff\xff\xff\xff"
    assert packet[6:] == bytes([0x3C, 0x7C, 0x3F, 0, 0, 1]) * 16
    assert len(packet) == 102


def test_each_card_is_called_some_times_on_own_networks_and_where_the_setting_says(
    sent: Sent, on_each_loop: Run[None]
) -> None:
    on_each_loop(woken("10.1.255.255, router.lan:7"))
    own, named = ("192.168.7.255", PORT), (("10.1.255.255", PORT), ("router.lan", 7))
    assert sent == [(tuple(map(magic_packet, MACS)), (own, *named))] * TIMES


def test_without_a_network_everybody_is_called(
    sent: Sent, monkeypatch: pytest.MonkeyPatch, on_each_loop: Run[None]
) -> None:
    monkeypatch.setattr(waker, "broadcasts", tuple)
    on_each_loop(woken(""))
    assert {targets for _, targets in sent} == {((EVERYBODY, PORT),)}


def test_packets_that_no_network_takes_are_told_of(
    monkeypatch: pytest.MonkeyPatch, on_each_loop: Run[None], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(waker, "APART_S", 0.0)
    monkeypatch.setattr(waker, "broadcasts", lambda: ("no-such-host.invalid",))
    with caplog.at_level(logging.WARNING, "herd.control"):
        on_each_loop(woken(""))
    assert "ada cannot be woken" in caplog.text


def test_one_that_stops_sends_nothing_more(on_each_loop: Run[None]) -> None:
    async def main() -> None:
        one = Waker("127.0.0.1:9")
        one.wake(NodeId("ada"), MACS)
        await one.close()
        assert _others() == []

    on_each_loop(main())
