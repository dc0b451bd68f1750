"""Finding the balancer: several addresses, several balancers, none."""

import asyncio
from collections.abc import Sequence

import pytest

from herd.agent import search
from herd.agent.search import Search, first_that_answers, router_address
from herd.errors import HerdError
from herd.mdns import Balancer, MdnsError
from tests.herd.small_server import SmallServer

NOWHERE = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("studio", "http://studio:11435"),
        ("studio:8080/", "http://studio:8080"),
        ("http://studio:11435/", "http://studio:11435"),
        ("http://studio", "http://studio"),
        ("https://herd.lan/x", "https://herd.lan/x"),
        ("[fd00::1]", "http://[fd00::1]:11435"),
        ("fd00::1", "http://[fd00::1]:11435"),
    ],
)
def test_addresses_as_people_write_them(text: str, url: str) -> None:
    assert router_address(text) == url


@pytest.mark.parametrize("text", ["ftp://x", "http://", "a b"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(HerdError) as caught:
        router_address(text)
    assert "--router-url" in caught.value.next_step


def test_the_first_address_that_answers() -> None:
    async def play() -> tuple[bool, str]:
        async with SmallServer().running() as server:
            found = await first_that_answers((NOWHERE, server.url))
        return found == server.url, await first_that_answers((NOWHERE, server.url))

    assert asyncio.run(play()) == (True, "")


def test_loopback_first_where_an_address_is_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "own_addresses", lambda: ("127.0.0.9",))

    async def play() -> tuple[str, str]:
        async with SmallServer().running() as server:
            return await first_that_answers((f"http://127.0.0.9:{server.port}",)), server.url

    found, expected = asyncio.run(play())
    assert found == expected


class Network:
    """A network on which a test puts balancers; what was said."""

    def __init__(self) -> None:
        self.balancers: Sequence[Balancer] | MdnsError = ()
        self.said: list[str] = []
        self.search = Search(self.browse, self.said.append)

    async def browse(self, _timeout_s: float) -> tuple[Balancer, ...]:
        await asyncio.sleep(0)
        if isinstance(self.balancers, MdnsError):
            raise self.balancers
        return tuple(self.balancers)


def test_nobody_is_said_once_with_the_way_out() -> None:
    network = Network()

    async def play() -> None:
        assert await network.search.find(0.01) == ""
        assert await network.search.find(0.01) == ""

    asyncio.run(play())
    assert len(network.said) == 1
    assert "--router-url http://HOST:11435" in network.said[0]


def test_no_multicast_is_said_once_and_tried_again() -> None:
    network = Network()

    async def play() -> None:
        network.balancers = MdnsError("mDNS does not work here", "name the balancer: --router-url")
        assert await network.search.find(0.01) == ""
        assert await network.search.find(0.01) == ""
        async with SmallServer().running() as server:
            network.balancers = [Balancer("one", (server.url,))]
            assert await network.search.find(0.01) == server.url

    asyncio.run(play())
    assert network.said == ["mDNS does not work here; name the balancer: --router-url"]


def test_among_several_the_first_and_then_always_the_same() -> None:
    network = Network()

    async def play() -> None:
        async with SmallServer().running() as one, SmallServer().running() as two:
            first, second = Balancer("one", (one.url,)), Balancer("two", (two.url,))
            network.balancers = [second, first]
            assert await network.search.find(0.01) == two.url
            network.balancers = [first, second]
            assert await network.search.find(0.01) == two.url
            assert network.search.name == "two"
            network.balancers = [first]
            assert await network.search.find(0.01) == one.url

    asyncio.run(play())
    assert network.said == ["joining two; also here: one (choose one with --router-url)"]


def test_among_several_that_of_this_machine_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "own_addresses", lambda: ("192.0.2.1",))
    network = Network()

    async def play() -> None:
        async with SmallServer().running() as far, SmallServer().running() as near:
            here = Balancer("here", (f"http://192.0.2.1:{near.port}",))
            network.balancers = [Balancer("there", (far.url,)), here]
            assert await network.search.find(0.01) == near.url

    asyncio.run(play())
    assert network.search.name == "here"


def test_one_out_of_reach_is_named_and_passed_over() -> None:
    network = Network()

    async def play() -> None:
        async with SmallServer().running() as two:
            network.balancers = [Balancer("one", (NOWHERE,)), Balancer("two", (two.url,))]
            assert await network.search.find(0.01) == two.url

    asyncio.run(play())
    assert network.said[0].startswith(f"balancer one is out of reach at {NOWHERE}")


def test_one_whose_certificate_may_be_the_reason_is_told_how_to_be_named() -> None:
    network = Network()

    async def play() -> None:
        network.balancers = [Balancer("one", (NOWHERE.replace("http:", "https:"),))]
        assert await network.search.find(0.01) == ""

    asyncio.run(play())
    assert "--router-url https://NAME:PORT" in network.said[0]
    assert "--ca-file" in network.said[0]


def test_where_the_one_chosen_is_now() -> None:
    network = Network()

    async def play() -> None:
        async with SmallServer().running() as one, SmallServer().running() as two:
            network.balancers = [Balancer("one", (one.url,))]
            await network.search.find(0.01)
            network.balancers = [Balancer("two", (two.url,)), Balancer("one", (NOWHERE,))]
            assert await network.search.moved(0.01) == ""
            network.balancers = [Balancer("two", (two.url,)), Balancer("one", (two.url,))]
            assert await network.search.moved(0.01) == two.url
            network.balancers = MdnsError("mDNS does not work here", "name the balancer")
            assert await network.search.moved(0.01) == ""

    asyncio.run(play())
    assert network.said == [], "a balancer that starts again is no news"
