"""Finding one another without configuration: the balancer advertises, agents browse.

The service is `_fleet-manager._tcp.local.`, as ollama-herd has it. zeroconf works on the caller's
loop: the longest stall measured was 3 ms, while it registers. Its callbacks only hand data over.
Where multicast does not work, `MdnsError` says so and names the way without it.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, Sequence

import msgspec
import zeroconf
from zeroconf import DNSQuestionType, IPVersion, ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from herd.errors import HerdError
from herd.interfaces import own_addresses

SERVICE = "_fleet-manager._tcp.local."
PROTOCOL = "1"
DETAILS_S = 2.0
"""How long a balancer that was seen may take to say its addresses."""
SETTLE_S = 1.5
"""After the first balancer, how long others are waited for: each answers once a second at most."""
STOP_S = 3.0
"""How long saying goodbye may take."""
TO_ALL = DNSQuestionType.QM
"""Answers are wanted by multicast: those to us alone go to the balancer of this machine, which has
the same port, so that beside it all were found but that one."""

USUAL_PORT = 11435
LOOPBACK = "127.0.0.1"

# It warns, with a traceback, of each packet that a network does not take: a cable out is not news.
logging.getLogger("zeroconf").setLevel(logging.ERROR)


def balancer_name(host_name: str, port: int) -> str:
    """Return the name to advertise: two on one machine differ without a clash.

    zeroconf changes a name that is taken, but on one machine it may not hear of it: the answers to
    its question go to only one of the sockets that share the port.
    """
    return host_name if port == USUAL_PORT else f"{host_name}-{port}"


class MdnsError(HerdError):
    """Multicast does not work on this machine."""


class Balancer(msgspec.Struct, frozen=True, gc=False):
    """A balancer found on the network."""

    name: str
    urls: tuple[str, ...]
    """One for each of its addresses; not each need be within reach."""
    version: str = ""
    protocol: int = 0
    """Of our heartbeat; 0 is ollama-herd's router."""


class Advertisement:
    """A balancer's entry on the network, until it is closed."""

    def __init__(self, network: AsyncZeroconf, info: AsyncServiceInfo, warning: str) -> None:
        """Belongs to `advertise`."""
        self._network = network
        self._info = info
        self.name = info.name.removesuffix(f".{SERVICE}")
        """As registered: another than wished for, where that was taken."""
        self.warning = warning
        """What keeps agents from finding it, with the way out; empty if all is well."""

    async def close(self) -> None:
        """Say goodbye, so that agents know at once; twice does no harm."""
        if self._network.zeroconf.done:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                goodbye = await self._network.async_unregister_service(self._info)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] (zeroconf's Awaitable is open)
                await goodbye
        await self._network.async_close()


async def advertise(
    port: int,
    *,
    name: str,
    version: str,
    secure: bool = False,
    interfaces: Sequence[str] | None = None,
) -> Advertisement:
    """Put a balancer on the network under a name, or a changed one if that is taken."""
    addresses = own_addresses() if interfaces is None else tuple(interfaces)
    warning = "" if addresses else f"this machine has no network address: {_way_out(port)}"
    info = AsyncServiceInfo(
        SERVICE,
        f"{name}.{SERVICE}",
        port=port,
        properties={
            "version": version,
            "path": "/",
            "protocol": PROTOCOL,
            **({"scheme": "https"} if secure else {}),
        },
        server=f"herd-{secrets.token_hex(4)}.local.",  # the machine's own name is its own business
        parsed_addresses=list(addresses or (LOOPBACK,)),
    )
    try:
        network = _network(interfaces)
        try:
            announced = await network.async_register_service(info, allow_name_change=True)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] (the same)
            await announced
        except BaseException:
            await network.async_close()
            raise
    except (OSError, RuntimeError, zeroconf.Error) as error:
        what = str(error) or type(error).__name__
        raise MdnsError(f"mDNS does not work here ({what})", _way_out(port)) from error
    return Advertisement(network, info, warning)


async def browse(
    timeout_s: float, *, interfaces: Sequence[str] | None = None, settle_s: float = SETTLE_S
) -> tuple[Balancer, ...]:
    """Return the balancers on the network in the order found; empty if none shows up in time."""
    found: dict[str, Balancer] = {}
    try:
        async with _browsing(interfaces) as (network, names):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s) as limit:
                    while True:
                        balancer = await _details(network, await names.get())
                        if balancer is None:
                            continue
                        if not found:
                            settled = asyncio.get_running_loop().time() + settle_s
                            limit.reschedule(min(settled, limit.when() or settled))
                        found[balancer.name] = balancer
    except (OSError, RuntimeError, zeroconf.Error) as error:
        what = str(error) or type(error).__name__
        raise MdnsError(
            f"mDNS does not work here ({what})",
            "name the balancer: --router-url http://HOST:11435",
        ) from error
    return tuple(found.values())


@contextlib.asynccontextmanager
async def _browsing(
    interfaces: Sequence[str] | None,
) -> AsyncGenerator[tuple[AsyncZeroconf, asyncio.Queue[str]], None]:
    names: asyncio.Queue[str] = asyncio.Queue()

    def changed(
        zeroconf: zeroconf.Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        del zeroconf, service_type
        if state_change is not ServiceStateChange.Removed:
            names.put_nowait(name)

    network = _network(interfaces)
    try:
        browser = AsyncServiceBrowser(
            network.zeroconf, SERVICE, handlers=[changed], question_type=TO_ALL
        )
        try:
            yield network, names
        finally:
            await browser.async_cancel()
    finally:
        await network.async_close()


async def _details(network: AsyncZeroconf, name: str) -> Balancer | None:
    try:
        info = AsyncServiceInfo(SERVICE, name)
    except zeroconf.BadTypeInNameException:
        return None  # whoever says such a name keeps nobody else from being found
    answered = await info.async_request(network.zeroconf, DETAILS_S * 1000, question_type=TO_ALL)
    if not answered or not info.port:
        return None
    texts = info.decoded_properties
    protocol = texts.get("protocol") or ""
    scheme = "https" if texts.get("scheme") == "https" else "http"
    return Balancer(
        name=name.removesuffix(f".{SERVICE}"),
        urls=tuple(
            f"{scheme}://{f'[{address}]' if ':' in address else address}:{info.port}"
            for address in info.parsed_scoped_addresses(IPVersion.All)
        ),
        version=texts.get("version") or "",
        protocol=int(protocol) if protocol.isdecimal() else 0,
    )


def _network(interfaces: Sequence[str] | None) -> AsyncZeroconf:
    """Open the sockets: on given addresses, else on all that lead to others, else on loopback."""
    wanted = list(own_addresses() or (LOOPBACK,)) if interfaces is None else list(interfaces)
    try:
        return AsyncZeroconf(interfaces=wanted)
    except (OSError, RuntimeError):
        only_4 = [address for address in wanted if ":" not in address]
        if not only_4 or only_4 == wanted:
            raise
        return AsyncZeroconf(interfaces=only_4)  # an IPv6 that does no multicast


def _way_out(port: int) -> str:
    return f"start agents on other machines with --router-url http://HOST:{port}"
