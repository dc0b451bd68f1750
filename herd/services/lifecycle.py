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
from herd.settings_file import changed

STEP_S: Final = 150.0
"""For one command of the system; stopping gives streams some seconds to finish."""
FOLLOW_S: Final = 0.3
AGAIN_S: Final = 1.0
UTF_16: Final = {b"\xff\xfe", b"\xfe\xff"}
_OWN: Final = 0o600
_ALL: Final = 0o644

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
    content: str
    """Of the file."""


def outlook(service: Service, manager: Manager) -> Installed:
    """Return what installing would do."""
    changed = _changed(service, manager)
    word = f"herd {service.words[0]}"
    restarts = () if changed else (f"{word} restart    after herd itself was changed",)
    return Installed(
        service=service.name,
        manager=manager.title,
        file=str(manager.file(service.name)),
        changed=changed,
        words=("herd", *service.words),
        environment_file=str(service.environment_file) if _variables(service) else "",
        variables=tuple(service.environment),
        data_dir=str(service.directory),
        user=service.user,
        steps=tuple(" ".join(step.words) for step in manager.begin(service.name, changed=changed)),
        next=(f"{word} logs", *restarts, *manager.hints()),
        content=_text(manager.content(service)),
    )


def install(service: Service, manager: Manager, run: Run) -> Installed:
    """Write a service's files and start it; one that is there is changed to this.

    Raises `HerdError` where the system has no manager of services, or where it refuses; then
    everything is as it was before.
    """
    if why := manager.absent():
        raise HerdError(
            f"{why}: there is nothing to install a service in",
            "--print shows the file; a container is restarted by what runs it",
        )
    told = outlook(service, manager)
    file = manager.file(service.name)
    before = _content(file), _content(service.environment_file)
    _write(service, manager.content(service), _variables(service), manager)
    try:
        _take(manager.begin(service.name, changed=told.changed), run)
    except HerdError:
        _write(service, *before, manager)
        _take(manager.forget(), run)
        raise
    return told


def restart(name: str, manager: Manager, run: Run) -> None:
    """Start an installed service anew; streams under way have some seconds to finish."""
    _take(manager.begin(name, changed=True), run)


def uninstall(name: str, manager: Manager, run: Run) -> Path:
    """Stop a service and take it away; return its data directory.

    Raises `HerdError`, and leaves it as it is, where the system cannot stop it.
    """
    directory = data_directory(name, manager)
    runs = not manager.absent()
    _take(manager.end(name) if runs else (), run)
    try:
        manager.file(name).unlink()
        (directory / f"{name}.env").unlink(missing_ok=True)
    except OSError as error:
        raise HerdError(f"the service cannot be taken away: {error}") from error
    _take(manager.forget() if runs else (), run)
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


def _changed(service: Service, manager: Manager) -> bool:
    """Whether the files would be others than those that are there."""
    variables = _content(service.environment_file) or b""
    unit = _content(manager.file(service.name))
    return (unit, variables) != (manager.content(service), _variables(service))


def _variables(service: Service) -> bytes:
    """Return the settings file: as it is, with what was given now. `HerdError` if it is none."""
    file = service.environment_file
    text = (_content(file) or b"").decode("utf-8", "surrogateescape")
    told = changed(text, service.environment, named=str(file))
    return told.encode("utf-8", "surrogateescape")


def _take(steps: tuple[Step, ...], run: Run) -> None:
    for step in steps:
        code, said = run(step.words)
        until = time.monotonic() + step.patience_s
        while code and time.monotonic() < until:
            time.sleep(AGAIN_S)
            code, said = run(step.words)
        if code and not step.may_fail:
            raise HerdError(
                f"`{' '.join(step.words)}` failed: {said or f'it ended with {code}'}",
                "mend that, and say the same again",
            )


def _write(
    service: Service, content: bytes | None, variables: bytes | None, manager: Manager
) -> None:
    """Write a service's files; what has nothing in it is not there."""
    try:
        _own_folder(service.directory, service.user)
        log = manager.log(service.name, service.directory, 1, follow=False)
        if isinstance(log, Path):
            _own_folder(log.parent, service.user)
        _replace(service.environment_file, variables, service.user)
        file = manager.file(service.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        _replace(file, content)
    except (OSError, LookupError) as error:
        raise HerdError(
            f"the service cannot be written: {error}", "as root, it is one of the machine"
        ) from error


def _own_folder(folder: Path, user: str) -> None:
    if not folder.exists():
        make_folder(folder, user)


def _replace(file: Path, content: bytes | None, user: str = "") -> None:
    """Put a file in place of another, whole; what is a user's, only he may read."""
    if not content:
        file.unlink(missing_ok=True)
        return
    made = file.with_name(file.name + ".new")
    made.unlink(missing_ok=True)
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWN if user else _ALL)
    with os.fdopen(descriptor, "wb") as opened:
        if user:
            give(descriptor, user)
        opened.write(content)
    made.replace(file)


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _text(content: bytes) -> str:
    return content.decode("utf-16" if content[:2] in UTF_16 else "utf-8")
