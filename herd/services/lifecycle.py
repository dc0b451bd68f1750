"""Installing a service, taking it away again, and showing what it said."""

import os
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from herd.errors import HerdError
from herd.services.owners import give, make_folder
from herd.services.plan import Manager, Service, Step
from herd.services.start import written

STEP_S: Final = 150.0
"""For one command of the system; stopping waits for streams to finish."""
FOLLOW_S: Final = 0.3
_OWN: Final = 0o600

Run: TypeAlias = Callable[[tuple[str, ...]], tuple[int, str]]
"""Runs a command; returns how it ended, and what it said."""


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """What `install` did, or would do."""

    service: str
    manager: str
    file: str
    changed: bool
    """Whether the files are others than before."""
    words: tuple[str, ...]
    environment_file: str
    variables: tuple[str, ...]
    """Names only: their values are secrets."""
    data_dir: str
    user: str
    steps: tuple[str, ...]
    next: tuple[str, ...]


def outlook(service: Service, manager: Manager) -> Installed:
    """Return what installing would do."""
    kind = "run" if service.words[:1] == ("run",) else "node"
    return Installed(
        service=service.name,
        manager=manager.title,
        file=str(manager.file(service.name)),
        changed=_changed(service, manager),
        words=("herd", *service.words),
        environment_file=str(service.environment_file) if service.environment else "",
        variables=tuple(service.environment),
        data_dir=str(service.directory),
        user=service.user,
        steps=tuple(" ".join(step.words) for step in _begin(service, manager)),
        next=(f"herd {kind} logs", *manager.hints()),
    )


def install(service: Service, manager: Manager, run: Run) -> Installed:
    """Write a service's files and start it; one that is there is changed to this.

    Raises `HerdError` where the system has no manager of services, or where it refuses.
    """
    if why := manager.absent():
        raise HerdError(
            f"{why}: there is nothing to install a service in",
            "--print shows the file; a container is restarted by what runs it",
        )
    told, steps = outlook(service, manager), _begin(service, manager)
    try:
        if not service.directory.exists():
            make_folder(service.directory, service.user)
        _write_own(service.environment_file, written(service.environment), service.user)
        file = manager.file(service.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        _replace(file, manager.content(service))
    except (OSError, LookupError) as error:
        raise HerdError(
            f"the service cannot be written: {error}", "as root, it is one of the machine"
        ) from error
    _take(steps, run)
    return told


def uninstall(name: str, manager: Manager, run: Run) -> Path:
    """Stop a service and take it away; return its data directory."""
    directory = data_directory(name, manager)
    _take(manager.end(name), run)
    try:
        manager.file(name).unlink()
        (directory / f"{name}.env").unlink(missing_ok=True)
    except OSError as error:
        raise HerdError(f"the service cannot be taken away: {error}") from error
    _take(manager.forget(), run)
    return directory


def data_directory(name: str, manager: Manager) -> Path:
    """Return the data directory of a service."""
    return manager.directory(_content(manager.file(name)) or b"")


def show_log(path: Path, lines: int, *, follow: bool) -> Iterator[str]:
    """Yield the last lines of a file, and then what is written to it."""
    if not path.exists():
        raise HerdError(f"nothing was written to {path} yet", "was the service started?")
    with path.open(encoding="utf-8", errors="replace") as opened:
        yield from deque(opened, maxlen=lines)
        while follow:
            if line := opened.readline():
                yield line
            else:
                time.sleep(FOLLOW_S)


def by_the_system(words: tuple[str, ...]) -> tuple[int, str]:
    """Run a command of the system."""
    try:
        ended = subprocess.run(  # noqa: S603 (a fixed command, no shell)
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=STEP_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return ended.returncode, (ended.stderr or ended.stdout).strip()


def _begin(service: Service, manager: Manager) -> tuple[Step, ...]:
    return manager.begin(service.name, changed=_changed(service, manager))


def _changed(service: Service, manager: Manager) -> bool:
    """Whether the files would be others than those that are there."""
    variables = _content(service.environment_file) or b""
    unit = _content(manager.file(service.name))
    return (unit, variables) != (manager.content(service), written(service.environment).encode())


def _take(steps: tuple[Step, ...], run: Run) -> None:
    for step in steps:
        code, said = run(step.words)
        if code and not step.may_fail:
            raise HerdError(
                f"`{' '.join(step.words)}` failed: {said or f'it ended with {code}'}",
                "the files are written: mend that, and say the same again",
            )


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _write_own(path: Path, text: str, user: str) -> None:
    """Write what only its owner may read; nothing to write is no file."""
    if not text:
        path.unlink(missing_ok=True)
        return
    made = path.with_name(path.name + ".new")
    made.unlink(missing_ok=True)
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWN)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        give(descriptor, user)
        opened.write(text)
    made.replace(path)


def _replace(file: Path, content: bytes) -> None:
    made = file.with_name(file.name + ".new")
    made.write_bytes(content)
    made.replace(file)
