"""A machine of each system, as far as herd's services go: a home, and programs that only note.

Nothing outside the home is touched: the programs on PATH are these and no others.
"""

import os
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from plistlib import loads
from typing import NamedTuple

import pytest

from herd.services import command
from herd.services.launchd import Launchd
from herd.services.plan import Manager
from herd.services.systemd import Systemd
from herd.services.tasks import Tasks

PROGRAMS = ("systemctl", "loginctl", "journalctl", "launchctl", "schtasks")
SAYS = """#!/bin/sh
echo "${0##*/} $*" >> "$NOTED"
if [ "$1" = "$BUSY" ] && [ -s "$NOTED.busy" ]; then
    : > "$NOTED.busy"
    echo "Bootstrap failed: 5: Input/output error" >&2
    exit 5
fi
"""
NAMESPACE = {"task": "http://schemas.microsoft.com/windows/2004/02/mit/task"}


class Started(NamedTuple):
    """What a system would start."""

    words: list[str]
    folder: str
    file_of_variables: str = ""
    """Which the system itself reads."""
    output: str = ""
    """Where the system itself has it write to."""


class Machine:
    """One of them, and what its programs were told."""

    def __init__(self, home: Path, system: str) -> None:
        self.home = home
        programs = home / "programs"
        for folder in (programs, home / "running"):
            folder.mkdir()
        for name in PROGRAMS:
            (programs / name).write_text(SAYS)
            (programs / name).chmod(0o700)
        self.noted = home / "noted"
        noted = {"NOTED": str(self.noted), "BUSY": "bootstrap"}
        self.environment = {"PATH": str(programs), "HOME": str(home), **noted}
        self.manager, self.started = self._systems()[system]

    def be_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Be the machine that herd's commands run on, for a user without rights."""
        for name in list(os.environ):
            if name.startswith(("FLEET_", "OLLAMA_")):
                monkeypatch.delenv(name)
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(command, "here", lambda: self.manager)
        monkeypatch.setattr(command, "of_service", self.of_service)
        monkeypatch.setattr("herd.services.lifecycle.AGAIN_S", 0.01)
        for module in ("command", "asked", "owners", "managers"):
            monkeypatch.setattr(f"herd.services.{module}.is_superuser", lambda: False)
        file = self.manager.file("herd-balancer")
        assert file.is_relative_to(self.home), "nothing else is touched"

    def told(self) -> list[str]:
        """Return what its programs were told, and forget it."""
        lines = self.noted.read_text().splitlines() if self.noted.exists() else []
        self.noted.write_text("")
        return [line for line in lines if not line.startswith("loginctl")]

    def make_busy(self) -> None:
        """Refuse the next start, as launchd does until the last one has ended."""
        self.noted.with_name("noted.busy").write_text("busy")

    def of_service(self, name: str) -> Manager | None:
        """Return its manager, if a service is installed there."""
        return self.manager if self.manager.file(name).exists() else None

    def _systems(self) -> dict[str, tuple[Manager, Callable[[bytes], Started]]]:
        running, folder = self.home / "running", self.home / "AppData" / "herd"
        return {
            "systemd": (Systemd(system=False, home=self.home, running=running), by_systemd),
            "launchd": (Launchd(system=False, home=self.home, user_id=501), by_launchd),
            "tasks": (Tasks(system=False, folder=folder), by_tasks),
        }


def by_systemd(content: bytes) -> Started:
    """Read a unit as systemd does."""
    lines = [line.partition("=") for line in content.decode().splitlines() if "=" in line]
    told = {name: value.replace("%%", "%") for name, _, value in lines}
    words = shlex.split(told["ExecStart"].replace("$$", "$"))
    variables = told["EnvironmentFile"].removeprefix("-")
    return Started(words, told["WorkingDirectory"], variables)


def by_launchd(content: bytes) -> Started:
    """Read a list as launchd does."""
    told = loads(content)
    return Started(
        told["ProgramArguments"], told["WorkingDirectory"], output=told["StandardOutPath"]
    )


def by_tasks(content: bytes) -> Started:
    """Read a task as Windows does; its quotes are alike where nothing strange is in them."""
    found = ET.fromstring(content).find("task:Actions/task:Exec", NAMESPACE)  # noqa: S314 (ours)
    assert found is not None
    command, arguments, folder = (
        found.findtext(f"task:{name}", "", NAMESPACE)
        for name in ("Command", "Arguments", "WorkingDirectory")
    )
    return Started([command, *shlex.split(arguments)], folder)


def variables(file: str) -> dict[str, str]:
    """Read a file of variables as a shell would, which is how systemd reads it."""
    if not file or not os.path.exists(file):  # noqa: PTH110 (a word of the unit)
        return {}
    words = shlex.split(Path(file).read_text())
    return dict(word.split("=", 1) for word in words)
