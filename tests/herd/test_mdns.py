"""Advertising and browsing, for real, on the loopback interface."""

import asyncio
import contextlib
import socket
import struct
from typing import Any

import pytest
from zeroconf import DNSQuestionType
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from herd import mdns
from herd.mdns import LOOPBACK, Balancer, MdnsError, advertise, balancer_name, browse
from herd.tasks import spawn

ONLY_HERE = [LOOPBACK]


def _multicast_works() -> bool:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
            listener.settimeout(1)
            listener.bind(("", 0))
            group = socket.inet_aton("224.0.0.251") + socket.inet_aton(LOOPBACK)
            listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                here = socket.inet_aton(LOOPBACK)
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
                sender.sendto(b"?", ("224.0.0.251", listener.getsockname()[1]))
            return listener.recv(9) == b"?"
    except OSError:
        return False


real = pytest.mark.skipif(
    not _multicast_works(),
    reason="MDNS IS UNTESTED HERE: no multicast, not even on the loopback interface",
)


@pytest.fixture(autouse=True)
def not_in_the_way_of_a_real_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mdns, "SERVICE", "_herd-pytest._tcp.local.")


@real
def test_balancers_are_found_and_told_apart_and_say_goodbye() -> None:
    async def play() -> None:
        async with contextlib.AsyncExitStack() as stack:
            one, two = await asyncio.gather(
                advertise(11435, name="one", version="1.2.3", interfaces=ONLY_HERE),
                advertise(11436, name="two", version="1.2.4", secure=True, interfaces=ONLY_HERE),
            )
            stack.push_async_callback(one.close)
            stack.push_async_callback(two.close)
            assert (one.name, one.warning) == ("one", "")

            assert set(await browse(5.0, interfaces=ONLY_HERE, settle_s=1.0)) == {
                Balancer("one", (f"http://{LOOPBACK}:11435",), "1.2.3", 1),
                Balancer("two", (f"https://{LOOPBACK}:11436",), "1.2.4", 1),
            }

            await one.close()
            assert [
                each.name for each in await browse(5.0, interfaces=ONLY_HERE, settle_s=1.0)
            ] == ["two"]

    asyncio.run(play())


async def _says_again_and_again(name: str) -> None:
    """Have a name, and say so to all.

    A question is answered to whoever asked: on one machine any of those at the port may get that.
    """
    network = AsyncZeroconf(interfaces=ONLY_HERE)
    info = AsyncServiceInfo(
        mdns.SERVICE,
        f"{name}.{mdns.SERVICE}",
        port=1,
        server="other.local.",
        parsed_addresses=ONLY_HERE,
    )
    try:
        await (await network.async_register_service(info))  # pyright: ignore[reportUnknownMemberType] (zeroconf's Awaitable is open)
        while True:
            await (await network.async_update_service(info))  # pyright: ignore[reportUnknownMemberType] (zeroconf's Awaitable is open)
    finally:
        await network.async_close()


@real
def test_a_taken_name_is_changed() -> None:
    async def play() -> None:
        other = spawn(_says_again_and_again("same"), name="other")
        try:
            await browse(5.0, interfaces=ONLY_HERE)
            ours = await advertise(11435, name="same", version="1", interfaces=ONLY_HERE)
            await ours.close()
        finally:
            other.cancel()
        assert ours.name == "same-2"

    asyncio.run(play())


@real
def test_all_are_to_hear_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """One to the asker alone goes to whichever process of this machine has the port."""
    asked: list[object] = []

    class Browser(AsyncServiceBrowser):
        def __init__(self, *words: Any, **more: Any) -> None:
            asked.append(more.get("question_type"))
            super().__init__(*words, **more)  # pyright: ignore[reportUnknownMemberType] (zeroconf's list is open)

    monkeypatch.setattr(mdns, "AsyncServiceBrowser", Browser)
    asyncio.run(browse(0.1, interfaces=ONLY_HERE))
    assert asked == [DNSQuestionType.QM]


def _pointer(label: bytes) -> bytes:
    """Return a packet that says that there is a balancer of this name."""
    labels = [word.encode() for word in mdns.SERVICE.strip(".").split(".")]
    service = b"".join(bytes([len(word)]) + word for word in labels) + b"\0"
    name = bytes([len(label)]) + label + b"\xc0\x0c"  # and there is the service
    head = struct.pack(">6H", 0, 0x8400, 0, 1, 0, 0)
    return head + service + struct.pack(">HHIH", 12, 1, 60, len(name)) + name


@real
def test_a_name_that_is_none_keeps_nobody_else_from_being_found() -> None:
    async def play() -> tuple[Balancer, ...]:
        ours = await advertise(11435, name="ours", version="1", interfaces=ONLY_HERE)
        try:
            search = asyncio.ensure_future(browse(5.0, interfaces=ONLY_HERE, settle_s=1.0))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                here = socket.inet_aton(LOOPBACK)
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
                while not search.done():
                    sender.sendto(_pointer(b"no\x01name"), ("224.0.0.251", 5353))
                    await asyncio.sleep(0.05)
            return await search
        finally:
            await ours.close()

    assert [balancer.name for balancer in asyncio.run(play())] == ["ours"]


@real
def test_a_balancer_that_comes_later_is_found_as_soon_as_it_is_there() -> None:
    async def act() -> float:
        loop = asyncio.get_running_loop()
        search = asyncio.ensure_future(browse(30.0, interfaces=ONLY_HERE, settle_s=0.0))
        await asyncio.sleep(0.2)
        assert not search.done()
        advertisement = await advertise(
            11435, name="pytest-late", version="1", interfaces=ONLY_HERE
        )
        began = loop.time()
        try:
            assert [balancer.name for balancer in await search] == ["pytest-late"]
        finally:
            await advertisement.close()
        return loop.time() - began

    assert asyncio.run(act()) < 10


@real
def test_nobody_there_is_no_error() -> None:
    assert asyncio.run(browse(0.3, interfaces=ONLY_HERE)) == ()


def test_a_machine_without_network_is_told_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[AsyncServiceInfo] = []

    class Network:
        def __init__(self, **_: object) -> None:
            pass

        async def async_register_service(self, info: AsyncServiceInfo, **_: object) -> object:
            registered.append(info)
            return asyncio.sleep(0)

    monkeypatch.setattr(mdns, "own_addresses", lambda: ())
    monkeypatch.setattr(mdns, "AsyncZeroconf", Network)
    advertisement = asyncio.run(advertise(11435, name="alone", version="1"))
    assert "no network address" in advertisement.warning
    assert "--router-url http://HOST:11435" in advertisement.warning
    assert registered[0].parsed_addresses() == [LOOPBACK]


def test_two_balancers_on_one_machine_have_different_names() -> None:
    assert balancer_name("studio", 11435) == "studio"
    assert balancer_name("studio", 11436) == "studio-11436"


def test_an_ipv6_without_multicast_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[list[str]] = []

    def no_ipv6(*, interfaces: list[str]) -> None:
        tried.append(interfaces)
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(mdns, "own_addresses", lambda: ("192.0.2.9", "fd00::9"))
    monkeypatch.setattr(mdns, "AsyncZeroconf", no_ipv6)
    with pytest.raises(MdnsError):
        asyncio.run(browse(0.1))
    assert tried == [["192.0.2.9", "fd00::9"], ["192.0.2.9"]]


def test_no_multicast_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(19, "No such device")

    monkeypatch.setattr(mdns, "AsyncZeroconf", broken)
    with pytest.raises(MdnsError, match="No such device") as advertising:
        asyncio.run(advertise(11435, name="x", version="1"))
    assert "--router-url http://HOST:11435" in advertising.value.next_step
    with pytest.raises(MdnsError, match="No such device") as browsing:
        asyncio.run(browse(0.1))
    assert "--router-url" in browsing.value.next_step
