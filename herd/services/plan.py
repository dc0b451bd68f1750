"""What a service of herd is, and what every manager of services can do with one.

A manager only says which file it wants and which commands, and reads its file again: so all of it
can be tried on any system.
"""

import math
import string
from importlib.resources import files
from pathlib import Path
from typing import Final, Protocol

import msgspec

BALANCER: Final = "herd-balancer"
"""The name of the balancer's service, which can be told to read its settings again."""
STOP_S: Final = 90
"""How long a service may take to end: longer than herd's own limits, so that it is never cut."""
AFTER_DRAIN_S: Final = 30
"""How much longer than requests have to end, where they have more than a minute."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One command of herd that the system keeps running."""

    name: str
    """herd-balancer or herd-node: of the unit, the task and the files."""
    title: str
    """What people read."""
    words: tuple[str, ...]
    """What stands behind `herd`: `("run", "--port", "80")`; without any secret."""
    directory: Path
    """Its data directory, which it runs in."""
    environment: dict[str, str] = {}
    """Variables, secrets among them: kept in a file that only their owner reads."""
    user: str = ""
    """Whom it runs as."""
    drain_s: float = 0.0
    """How long requests have to end when it stops."""

    @property
    def stop_s(self) -> int:
        """Return how long it may take to end, in whole seconds."""
        return max(STOP_S, math.ceil(self.drain_s) + AFTER_DRAIN_S)

    @property
    def environment_file(self) -> Path:
        """Where the variables are."""
        return self.directory / f"{self.name}.env"


class Step(msgspec.Struct, frozen=True):
    """A command of the system."""

    words: tuple[str, ...]
    may_fail: bool = False
    """Whether it is as well if there was nothing to be done."""
    patience_s: float = 0.0
    """For how long it is said again while it fails."""


class Manager(Protocol):
    """What the system starts its services with."""

    @property
    def title(self) -> str:
        """Return what people call it."""
        ...

    @property
    def system(self) -> bool:
        """Return whether it starts with the machine, and not with its user."""
        ...

    def absent(self) -> str:
        """Return why it cannot be used here; nothing if it can."""
        ...

    def file(self, name: str) -> Path:
        """Return where it wants a service's file."""
        ...

    def content(self, service: Service) -> bytes:
        """Return what the file says."""
        ...

    def directory(self, content: bytes) -> Path:
        """Return the data directory that a file names."""
        ...

    def begin(self, name: str, *, changed: bool) -> tuple[Step, ...]:
        """Return what starts a service, now and from now on; anew if its file has changed."""
        ...

    def end(self, name: str) -> tuple[Step, ...]:
        """Return what stops a service, before its file is taken away."""
        ...

    def forget(self) -> tuple[Step, ...]:
        """Return what is left to be told after its file was taken away."""
        ...

    def log(
        self, name: str, directory: Path, lines: int, *, follow: bool
    ) -> tuple[str, ...] | Path:
        """Return the command that shows a service's log, or the file that it is in."""
        ...

    def hints(self) -> tuple[str, ...]:
        """Return what its user should know, or do."""
        ...


def template(name: str) -> string.Template:
    """Return one of the files beside this module."""
    text = files("herd.services").joinpath("templates", name).read_text("utf-8")
    return string.Template(text)


def log_file(name: str, directory: Path) -> Path:
    """Return where a service writes what it says, where the system does not keep that itself."""
    return directory / "logs" / f"{name}.out"
