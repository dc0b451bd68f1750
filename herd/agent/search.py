"""Where the balancer is: named by `--router-url`, or found on the network.

A balancer has several addresses, and not each is within reach. If one of them is this machine's,
loopback is tried first: then the balancer reaches an Ollama that listens there only.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from herd.errors import HerdError
from herd.http.client import FetchError, Target, fetch
from herd.interfaces import own_addresses
from herd.node_address import bracketed
from herd.tasks import spawn

if TYPE_CHECKING:
    from herd.mdns import Balancer  # zeroconf costs memory: none of it where a URL was given

Browse: TypeAlias = "Callable[[float], Awaitable[tuple[Balancer, ...]]]"
Say: TypeAlias = Callable[[str], None]

USUAL_PORT = 11435
KNOCK_S = 1.5
"""How long an address may take to answer that something listens there."""


def router_address(text: str) -> str:
    """Return the URL of a balancer as people write it; the usual port unless a scheme says so."""
    given = text.strip()
    given = given if given.endswith("://") else bracketed(given.rstrip("/"))
    url = given if "://" in given else f"http://{given}"
    try:
        target = Target(url)
    except FetchError as error:
        raise HerdError(error.text, "write --router-url http://HOST:11435") from error
    if "://" not in given and urlsplit(url).port is None:
        return f"http://{target.authority}:{USUAL_PORT}"
    return url


async def first_that_answers(urls: tuple[str, ...]) -> str:
    """Return the best URL of a balancer that answers; empty if none does."""
    own = own_addresses()
    for url in urls:
        parts = urlsplit(url)
        if (parts.hostname or "") in own and await _answers(
            here := f"{parts.scheme}://127.0.0.1:{parts.port}"
        ):
            return here
    knocks = {spawn(_answers(url), name=f"knock at {url}"): url for url in urls}
    try:
        for done in asyncio.as_completed(knocks):
            await done
            for knock, url in knocks.items():
                if knock.done() and knock.result():
                    return url
    finally:
        for knock in knocks:
            knock.cancel()
    return ""


class Search:
    """Finds a balancer, again and again if need be; says once what stands in the way."""

    def __init__(self, browse: Browse, say: Say) -> None:
        """Browse with this, and tell the person at the terminal with that."""
        self._browse = browse
        self._say = say
        self._said: set[str] = set()
        self.name = ""
        """The balancer last chosen: among several, the same one is taken again."""

    async def find(self, timeout_s: float) -> str:
        """Return the URL of a balancer that answers; empty if there is none in this time."""
        try:
            found = await self._browse(timeout_s)
        except HerdError as error:
            self._once(f"{error.what}; {error.next_step}")
            await asyncio.sleep(timeout_s)
            return ""
        if not found:
            self._once(
                "no balancer on this network yet, still looking; start one with `herd`, "
                f"or name one: --router-url http://HOST:{USUAL_PORT}"
            )
            return ""
        own = own_addresses()
        for balancer in sorted(found, key=lambda it: (it.name != self.name, not _is_of(own, it))):
            if url := await first_that_answers(balancer.urls):
                others = sorted(each.name for each in found if each.name != balancer.name)
                if others:
                    self._once(
                        f"joining {balancer.name}; also here: {', '.join(others)} "
                        "(choose one with --router-url)"
                    )
                self.name = balancer.name
                return url
            self._once(
                f"balancer {balancer.name} is out of reach at {', '.join(balancer.urls)}; "
                + _why_not(balancer.urls)
            )
        return ""

    async def moved(self, timeout_s: float) -> str:
        """Return where the balancer last chosen answers now; empty if it does not."""
        with contextlib.suppress(HerdError):
            for balancer in await self._browse(timeout_s):
                if balancer.name == self.name:
                    return await first_that_answers(balancer.urls)
        return ""

    def _once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)


def _is_of(addresses: tuple[str, ...], balancer: "Balancer") -> bool:
    """Whether a balancer is at one of these addresses: that of this machine comes before others."""
    return any((urlsplit(url).hostname or "") in addresses for url in balancer.urls)


def _why_not(urls: tuple[str, ...]) -> str:
    if any(url.startswith("https://") for url in urls):
        return (
            "name it as its certificate does (--router-url https://NAME:PORT), and the file of who "
            "vouches for it (--ca-file), unless a firewall is between"
        )
    return "is a firewall between?"


async def _answers(url: str) -> bool:
    try:
        return (await fetch("HEAD", f"{url}/", timeout_s=KNOCK_S)).status > 0
    except FetchError:
        return False
