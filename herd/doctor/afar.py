"""The balancer of another machine, as an agent here would see it."""

from herd.clock import wall_s
from herd.doctor.finding import Finding, bad, good
from herd.doctor.fleet import PATIENCE_S, SKEW_S, ready, skew_s
from herd.http.client import FetchError, fetch


async def balancer(url: str) -> list[Finding]:
    """Whether it is reached, is ready, and agrees about the time."""
    try:
        answer = await fetch("GET", f"{url}/readyz", timeout_s=PATIENCE_S)
    except FetchError as error:
        return [
            bad(
                "balancer",
                f"{url} is not reached from here: {error}",
                "see whether `herd run` runs there, and let its port through that machine's "
                "firewall; or name another with --router-url",
            )
        ]
    found = ready(url, answer)
    ahead_s = skew_s(answer, wall_s())
    if ahead_s is None:
        return [found]
    off = f"its clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this one's"
    clock = (
        bad("clock", f"{off}: logs, new certificates and `--hours` go by it", "set both by NTP")
        if abs(ahead_s) > SKEW_S
        else good("clock", "the balancer's and this machine's agree")
    )
    return [found, clock]
