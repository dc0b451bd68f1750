"""The network: this machine's addresses, and whether balancers are found on it."""

from collections.abc import Sequence

from herd.config import Settings
from herd.doctor.finding import Finding, bad, good, note
from herd.interfaces import own_addresses
from herd.mdns import Balancer, MdnsError, browse

BROWSE_S = 3.0


def addresses(settings: Settings) -> Finding:
    """Whether other machines can reach a balancer here."""
    if settings.host in {"127.0.0.1", "::1", "localhost"}:
        return note(
            "address",
            f"--host {settings.host}: only this machine reaches the balancer",
            "leave --host out to serve the network",
        )
    found = own_addresses()
    if not found:
        return note("address", "this machine is on no network")
    return good("address", f"other machines reach it at {', '.join(found)}")


async def discovery(settings: Settings, *, advertised: bool) -> Finding:
    """Whether a balancer is found by mDNS: the own one if it advertises itself, else any."""
    by_hand = f"name the balancer: `herd node --router-url http://HOST:{settings.port}`"
    if not settings.mdns:
        return note("mDNS", "switched off (--no-mdns)", by_hand)
    try:
        found = await browse(BROWSE_S)
    except MdnsError as error:
        return bad("mDNS", error.what, by_hand)
    if not found and advertised:
        return bad(
            "mDNS",
            "the balancer advertises itself and is not found: multicast is blocked on this machine",
            f"let UDP port 5353 through the firewall, or {by_hand}",
        )
    if not found:
        return note("mDNS", "no balancer is found on this network", by_hand)
    return _found(found)


def _found(balancers: Sequence[Balancer]) -> Finding:
    names = ", ".join(f"{each.name} ({each.urls[0]})" for each in balancers if each.urls)
    if len(balancers) > 1:
        return note(
            "mDNS",
            f"{len(balancers)} balancers are on this network: {names}",
            "an agent joins the first it finds: give each `herd node` its --router-url",
        )
    return good("mDNS", f"found {names}")
