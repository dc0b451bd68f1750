"""launchd of macOS: a daemon of the machine for root, else an agent of the user."""

import plistlib
from pathlib import Path
from typing import Any, Final

from herd.services.plan import STOP_S, Service, Step, log_file, template
from herd.services.start import words_for

LABEL: Final = "local.{}"


class Launchd:
    """Property lists."""

    def __init__(self, *, system: bool, home: Path, user_id: int) -> None:
        """Serve the machine, or the user whose home that is."""
        self.system = system
        self.title = "launchd" if system else "launchd, for you"
        self._home = home
        self._domain = "system" if system else f"gui/{user_id}"

    def absent(self) -> str:
        """Every macOS has it."""
        return ""

    def file(self, name: str) -> Path:
        """Return the list's place."""
        library = Path("/Library/LaunchDaemons")
        folder = library if self.system else self._home / "Library/LaunchAgents"
        return folder / f"{LABEL.format(name)}.plist"

    def content(self, service: Service) -> bytes:
        """Return the list; the variables are read from their file, which this is not."""
        told: dict[str, Any] = plistlib.loads(template("launchd.plist").template.encode())
        said = str(log_file(service.name, service.directory))
        told |= {
            "Label": LABEL.format(service.name),
            "ProgramArguments": words_for(service),
            "WorkingDirectory": str(service.directory),
            "StandardOutPath": said,
            "StandardErrorPath": said,
            "ExitTimeOut": service.stop_s,
        }
        if self.system:
            told["UserName"] = service.user
        return plistlib.dumps(told)

    def directory(self, content: bytes) -> Path:
        """Return the directory that it runs in."""
        return Path(plistlib.loads(content).get("WorkingDirectory", ""))

    def begin(self, name: str, *, changed: bool) -> tuple[Step, ...]:
        """Take out what ran before, if it was another, and start what the list has now.

        The first returns before the old one has ended, and so long the other is refused.
        """
        target = f"{self._domain}/{LABEL.format(name)}"
        load = ("launchctl", "bootstrap", self._domain, str(self.file(name)))
        if not changed:
            return (Step(load, may_fail=True), Step(("launchctl", "kickstart", target)))
        return (
            Step(("launchctl", "bootout", target), may_fail=True),
            Step(("launchctl", "enable", target)),
            Step(load, patience_s=STOP_S),
        )

    def end(self, name: str) -> tuple[Step, ...]:
        """Stop it."""
        target = f"{self._domain}/{LABEL.format(name)}"
        return (Step(("launchctl", "bootout", target), may_fail=True),)

    def forget(self) -> tuple[Step, ...]:
        """Nothing is left to be told."""
        return ()

    def log(self, name: str, directory: Path, lines: int, *, follow: bool) -> Path:
        """Return the file that it writes to."""
        del lines, follow
        return log_file(name, directory)

    def hints(self) -> tuple[str, ...]:
        """Tell of the permission that macOS asks for, once, for programs of a user."""
        if self.system:
            return ()
        return ("System Settings, Privacy & Security, Local Network: allow it, if macOS asks",)
