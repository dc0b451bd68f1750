"""Which children a herd has: logd, control and its fronts; or logd and one process for the rest.

The graces add up to more than a herd may take to end: the last gets what the others left.
"""

from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection

from herd.config import Settings
from herd.processes.child import ChildSpec, say_ready
from herd.processes.port import Claim, Listeners

FRONT_GRACE_S = 1.5
"""Beyond the time that requests have to end."""
CONTROL_GRACE_S = 2.0
LOGD_GRACE_S = 4.5
LOGD_PATIENCE = 7.0
"""Times as long as others it may do nothing: some of its steps are long, and nobody waits."""


def compose(settings: Settings, claim: Claim) -> list[ChildSpec]:
    """Return the children in start order."""
    front_grace_s = settings.drain_timeout_s + FRONT_GRACE_S
    logd = ChildSpec(
        "logd",
        partial(_logd, settings),
        2,
        LOGD_GRACE_S,
        _rehearse_logd,
        patience=LOGD_PATIENCE,
    )
    if settings.workers == 0:
        single = ChildSpec(
            "single",
            partial(_single, settings, claim.listeners),
            0,
            front_grace_s,
            partial(_rehearse_single, settings),
            listens=True,
            decides=True,
        )
        return [logd, single]
    control = ChildSpec(
        "control",
        partial(_control, settings),
        1,
        CONTROL_GRACE_S,
        partial(_rehearse_control, settings),
        decides=True,
    )
    fronts = [
        ChildSpec(
            f"front {number}",
            partial(_front, settings, number, claim.listeners),
            0,
            front_grace_s,
            _rehearse_front,
            listens=True,
        )
        for number in range(1, settings.workers + 1)
    ]
    return [logd, control, *fronts]


# Each runs in its own process, and imports only there what it needs.


def _logd(settings: Settings, alive: Connection, ready: Connection) -> None:
    from herd.logd.retention import Keep
    from herd.logs import configure_logging
    from herd.processes.logd import run_logd

    configure_logging(settings)
    beats = say_ready(ready, settings)  # nothing ever waits for logd
    keep = Keep(settings.log_keep_days, settings.log_max_bytes)
    run_logd(settings.directory, alive, keep, beats.say)


def _control(settings: Settings, alive: Connection, ready: Connection) -> None:
    from herd.processes.control import run_control

    run_control(settings, alive, ready)


def _front(
    settings: Settings,
    number: int,
    listeners: Listeners,
    alive: Connection,
    ready: Connection,
) -> None:
    from herd.processes.front import run_front

    run_front(settings, number, listeners, alive, ready)


def _single(settings: Settings, listeners: Listeners, alive: Connection, ready: Connection) -> None:
    from herd.processes.single import run_single

    run_single(settings, listeners, alive, ready)


# What each can do while another herd is still at work: above all, import what it needs


def _rehearse_logd() -> None:
    import_module("herd.processes.logd")


def _rehearse_control(settings: Settings) -> None:
    from herd.control.restore import read_ahead

    import_module("herd.processes.control")
    read_ahead(settings.directory)


def _rehearse_front() -> None:
    import_module("herd.processes.front")


def _rehearse_single(settings: Settings) -> None:
    _rehearse_control(settings)
    import_module("herd.processes.single")
