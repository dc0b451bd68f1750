"""Which manager of services this machine has."""

import getpass
import os
from pathlib import Path

from herd import platform
from herd.errors import HerdError
from herd.services.launchd import Launchd
from herd.services.owners import is_superuser, user_id
from herd.services.plan import Manager
from herd.services.systemd import Systemd
from herd.services.tasks import Tasks


def here(*, system: bool | None = None) -> Manager:
    """Return this machine's: of the machine for root, else of the user; or what was asked for."""
    for_all = is_superuser() if system is None else system
    home = Path.home()
    match platform.name():
        case "Linux":
            return Systemd(system=for_all, home=home)
        case "Darwin":
            return Launchd(system=for_all, home=home, user_id=user_id())
        case "Windows":
            variable = "PROGRAMDATA" if for_all else "LOCALAPPDATA"
            return Tasks(system=for_all, folder=Path(os.environ.get(variable, home)) / "herd")
        case other:
            raise HerdError(
                f"herd does not know how {other} starts its services",
                "let it start `herd run`, or `herd node`, as it starts other programs",
            )


def of_service(name: str) -> Manager | None:
    """Return what a service was installed in: the user's manager or the machine's; None if none."""
    mine = here()
    other = here(system=not mine.system)
    return next((each for each in (mine, other) if each.file(name).exists()), None)


def owner() -> str:
    """Return whom a service is installed for: who called sudo, else who asks."""
    asked = os.environ.get("SUDO_USER", "") if is_superuser() else ""
    return asked or getpass.getuser()
