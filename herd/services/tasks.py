"""The task scheduler of Windows: a task at start-up for an administrator, else one at log-on."""

import re
import subprocess
from pathlib import Path
from xml.sax.saxutils import escape, unescape

from herd.services.plan import Service, Step, log_file, template
from herd.services.start import words_for


class Tasks:
    """Scheduled tasks. Ending one ends its process at once: Windows has no signal to finish."""

    def __init__(self, *, system: bool, folder: Path) -> None:
        """Serve the machine, or the user; the tasks' files are kept in that folder."""
        self.system = system
        self.title = "the task scheduler" if system else "the task scheduler, for you"
        self._folder = folder

    def absent(self) -> str:
        """Every Windows has it."""
        return ""

    def file(self, name: str) -> Path:
        """Return where the task was written; Windows keeps a copy of its own."""
        return self._folder / f"{name}.xml"

    def content(self, service: Service) -> bytes:
        """Return the task, in the encoding that Windows wants."""
        log = log_file(service.name, service.directory)
        program, *arguments = words_for(service, str(log))
        values = {
            "title": service.title,
            "trigger": "BootTrigger" if self.system else "LogonTrigger",
            "logon": "S4U" if self.system else "InteractiveToken",
            "user": service.user,
            "program": program,
            "arguments": subprocess.list2cmdline(arguments),
            "directory": str(service.directory),
        }
        written = {key: escape(value) for key, value in values.items()}
        return template("task.xml").substitute(written).encode("utf-16")

    def directory(self, content: bytes) -> Path:
        """Return the directory that it runs in."""
        found = re.search(r"<WorkingDirectory>(.*)</WorkingDirectory>", content.decode("utf-16"))
        return Path(unescape(found[1])) if found else Path()

    def begin(self, name: str, *, changed: bool) -> tuple[Step, ...]:
        """Take the task in, in place of one of that name, and start it; a second never runs."""
        if not changed:
            return (Step(("schtasks", "/Run", "/TN", name)),)
        return (
            Step(("schtasks", "/End", "/TN", name), may_fail=True),
            Step(("schtasks", "/Create", "/TN", name, "/XML", str(self.file(name)), "/F")),
            Step(("schtasks", "/Run", "/TN", name)),
        )

    def end(self, name: str) -> tuple[Step, ...]:
        """Stop it, and take it out."""
        return (
            Step(("schtasks", "/End", "/TN", name), may_fail=True),
            Step(("schtasks", "/Delete", "/TN", name, "/F"), may_fail=True),
        )

    def forget(self) -> tuple[Step, ...]:
        """Nothing is left to be told."""
        return ()

    def log(self, name: str, directory: Path, lines: int, *, follow: bool) -> Path:
        """Return the file that it writes to."""
        del lines, follow
        return log_file(name, directory)

    def hints(self) -> tuple[str, ...]:
        """Tell of the question that Windows asks."""
        return ("let Python through the firewall for private networks, if Windows asks",)
