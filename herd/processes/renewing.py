"""`herd reload --anew`: the herd that runs starts its own successor, of what is installed now.

The new one is started by the command that started this one, and takes its place as any other does.
What had started this one has to hear of that, or it would take its end for the end of herd: systemd
is told (`MAINPID`), where the unit allows it; others are not asked.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from herd import platform
from herd.unix_sockets import send_datagram

NOTIFY: Final = "NOTIFY_SOCKET"
"""Where systemd hears from its services (sd_notify(3))."""
STARTED_BY_SYSTEMD: Final = "SYSTEMD_EXEC_PID"
REPLACE: Final = "--replace"
DEMO: Final = "HERD_DEMO"
"""Set for a herd that ends with the demo that started it; its successor would not."""


def why_not(environment: Mapping[str, str] = os.environ) -> str:
    """Return why this process cannot have a successor; nothing if it can."""
    pid = os.getpid()
    if environment.get(DEMO):
        return "it is a demo's, and ends with it: end the demo (Ctrl-C), and start it again"
    if pid == 1:
        return "it is the first process of a container, which ends with it: restart the container"
    if environment.get(STARTED_BY_SYSTEMD) == str(pid) and NOTIFY not in environment:
        return "its unit is of an older herd: herd run install, with the options that it has"
    if platform.name() == "Darwin" and "herd" in environment.get("XPC_SERVICE_NAME", ""):
        return "launchd would take it for the end of herd: herd run restart"
    return ""


def start(environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start a successor; it says what it has to say where this process does."""
    return subprocess.Popen(  # noqa: S603 (the words of this process)
        words(sys.orig_argv, sys.executable), env=dict(environment), stdin=subprocess.DEVNULL
    )


def words(given: list[str], python: str) -> list[str]:
    """Return the command of a successor of a process with this one."""
    return [python, *given[1:], *([] if REPLACE in given else [REPLACE])]


def tell_systemd(environment: Mapping[str, str] = os.environ) -> None:
    """Tell it that this process is the service from now on."""
    if address := environment.get(NOTIFY, ""):
        send_datagram(address, b"MAINPID=%d" % os.getpid())
