"""systemd: a unit of the machine for root, else one of the user."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from herd.services.plan import BALANCER, Service, Step, template

RUNNING: Final = Path("/run/systemd/system")
"""There while systemd is what runs this machine."""
PLAIN: Final = re.compile(r"[A-Za-z0-9_@+=:,./-]+")


NOTIFY: Final = """\
# A new herd that takes the place of the running one says that it is the service now.
NotifyAccess=all
"""


class Systemd:
    """Units."""

    def __init__(self, *, system: bool, home: Path, running: Path = RUNNING) -> None:
        """Serve the machine, or the user whose home that is."""
        self.system = system
        self.title = "systemd" if system else "systemd, for you"
        self._running = running
        self._home = home
        self._for = () if system else ("--user",)

    def absent(self) -> str:
        """Return why there is none: it must be what this machine was started by."""
        return "" if self._running.is_dir() else "systemd does not run this machine"

    def file(self, name: str) -> Path:
        """Return the unit's place."""
        if self.system:
            return Path("/etc/systemd/system", f"{name}.service")
        return self._home / ".config/systemd/user" / f"{name}.service"

    def content(self, service: Service) -> bytes:
        """Return the unit. Where the machine's manager starts it, it can write nowhere else."""
        words = [sys.executable, "-P", "-m", "herd", *service.words]
        again = [*words[:4], "reload", "--data-dir", str(service.directory)]
        reload = f"ExecReload={_line(again)}\n" if service.name == BALANCER else ""
        return (
            template("system.service" if self.system else "user.service")
            .substitute(
                title=_plain(service.title),
                user=_plain(service.user),
                command=_line(words),
                reload=reload,
                notify=NOTIFY if reload else "",
                directory=_plain(str(service.directory)),
                environment=_plain(str(service.environment_file)),
                writable=_quoted(str(service.directory)),
                stop_s=service.stop_s,
            )
            .encode()
        )

    def directory(self, content: bytes) -> Path:
        """Return the directory that a unit runs in."""
        found = re.search(r"^WorkingDirectory=(.+)$", content.decode(), re.MULTILINE)
        return Path(found[1].replace("%%", "%")) if found else Path()

    def begin(self, name: str, *, changed: bool) -> tuple[Step, ...]:
        """Read the units again, enable this one, and start it."""
        return (
            Step(("systemctl", *self._for, "daemon-reload")),
            Step(("systemctl", *self._for, "enable", f"{name}.service")),
            Step(("systemctl", *self._for, "restart" if changed else "start", f"{name}.service")),
        )

    def end(self, name: str) -> tuple[Step, ...]:
        """Stop it, which gives streams some seconds to finish."""
        words = ("systemctl", *self._for, "disable", "--now", f"{name}.service")
        return (Step(words),)

    def forget(self) -> tuple[Step, ...]:
        """Read the units again."""
        return (Step(("systemctl", *self._for, "daemon-reload"), may_fail=True),)

    def log(self, name: str, directory: Path, lines: int, *, follow: bool) -> tuple[str, ...]:
        """Return the words for journalctl."""
        del directory
        unit = "--unit" if self.system else "--user-unit"
        rest = "--follow" if follow else "--no-pager"
        return ("journalctl", unit, f"{name}.service", "--lines", str(lines), rest)

    def hints(self) -> tuple[str, ...]:
        """Tell of lingering, without which a user's units end with his session."""
        if self.system or _lingers():
            return ()
        return ("loginctl enable-linger    so that it runs while you are not logged in",)


def _lingers() -> bool:
    try:
        told = subprocess.run(
            ("loginctl", "show-user", "--property", "Linger"),  # noqa: S607 (whatever is installed)
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "Linger=yes" in told.stdout


def _plain(text: str) -> str:
    """Write a value that goes to the end of its line; systemd has only % for itself there."""
    return text.replace("%", "%%")


def _line(words: Sequence[str]) -> str:
    return " ".join(_word(word) for word in words)


def _word(text: str) -> str:
    return _quoted(text.replace("$", "$$"))


def _quoted(text: str) -> str:
    written = text.replace("%", "%%")
    if PLAIN.fullmatch(text):
        return written
    escaped = written.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
