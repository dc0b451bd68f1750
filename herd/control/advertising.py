"""Keeping the balancer on the network under the addresses that the machine has now.

They change while herd runs: DHCP gives another, a cable goes in, a laptop wakes up elsewhere. What
mDNS says of a balancer is fixed when it is said, and so are the sockets: both are made anew.
"""

import asyncio
import logging

from herd.agent.identity import default_node_id
from herd.config import Settings
from herd.interfaces import own_addresses
from herd.mdns import Advertisement, MdnsError, advertise, balancer_name
from herd.version import version

LOOK_S = 3.0
"""Between two looks at the machine's addresses."""

_log = logging.getLogger(__name__)


async def advertising(settings: Settings, look_s: float = LOOK_S) -> None:
    """Advertise until cancelled, then say goodbye. What does not work is said when it changes."""
    shown: Advertisement | None = None
    addresses: tuple[str, ...] | None = None
    try:
        while True:
            now = await asyncio.to_thread(own_addresses)
            if now != addresses:
                addresses = now
                if shown is not None:
                    await shown.close()
                shown = await _shown(settings)
            await asyncio.sleep(look_s)
    finally:
        if shown is not None:
            await shown.close()


async def _shown(settings: Settings) -> Advertisement | None:
    name = balancer_name(default_node_id(), settings.port)
    secure = bool(settings.tls_cert)
    try:
        shown = await advertise(settings.port, name=name, version=version(), secure=secure)
    except MdnsError as error:
        _log.warning("%s; %s", error.what, error.next_step)
        return None
    if shown.warning:
        _log.warning("%s", shown.warning)
    return shown
