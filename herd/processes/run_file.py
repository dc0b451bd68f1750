"""`run/herd.json`: which processes a running herd has, where it listens, what it is.

A pid alone proves nothing, since pids come round again: each is kept with the instant its process
was born, and only a process with both is taken for the one that was meant.
"""

from pathlib import Path

import msgspec
import psutil

from herd.errors import HerdError
from herd.paths import DataDir

SAME_BIRTH_S = 2.0
"""Boot time is known to the second, and shifts when the wall clock is corrected."""


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """A herd that runs, or did when it was killed."""

    version: str
    host: str
    port: int
    data_dir: str
    started_at: float
    """Seconds since the epoch."""
    pids: dict[str, int]
    """By name: `supervisor`, `control`, `logd`, `front 1`, and so on."""
    tls_cert: str = ""
    """The certificate that it shows, where it speaks TLS."""
    born: dict[str, float]
    """By the same names: when that process began, in seconds since the epoch."""

    @property
    def url(self) -> str:
        """Where a program on this machine reaches it."""
        return local_url(self.host, self.port, secure=bool(self.tls_cert))


def local_url(host: str, port: int, *, secure: bool = False) -> str:
    """Return the address for programs on this machine."""
    scheme = "https" if secure else "http"
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104 (asked about, not bound)
        return f"{scheme}://localhost:{port}"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def read(directory: DataDir) -> RunFile | None:
    """Return what the file says; None if there is none, or none that can be read."""
    try:
        return msgspec.json.decode(directory.run_file.read_bytes(), type=RunFile)
    except (OSError, msgspec.MsgspecError):
        return None


def running(directory: DataDir, *, otherwise: str) -> RunFile:
    """Return what the file says of the herd that runs; raise `HerdError` if none does."""
    found = read(directory)
    if found is None:
        directory.check_readable()
    if found is None or "supervisor" not in living(found):
        raise HerdError(
            f"no herd runs on {directory.root}",
            f"start it with `herd run --data-dir {directory.root}`, or {otherwise}",
        )
    return found


def write(directory: DataDir, content: RunFile) -> None:
    """Replace the file whole, so that a reader never sees half of it."""
    fresh = Path(f"{directory.run_file}.new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    fresh.replace(directory.run_file)


def remove(directory: DataDir) -> None:
    """Take the file away: nothing runs any more."""
    directory.run_file.unlink(missing_ok=True)


def birth(pid: int) -> float:
    """Return when a process began; 0 if it is gone."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def living(content: RunFile) -> dict[str, psutil.Process]:
    """Return those of its processes that still run, by name."""
    found: dict[str, psutil.Process] = {}
    for name, pid in content.pids.items():
        try:
            process = psutil.Process(pid)
            same = abs(process.create_time() - content.born.get(name, 0.0)) < SAME_BIRTH_S
            if same and process.status() != psutil.STATUS_ZOMBIE:
                found[name] = process
        except psutil.Error:
            continue
    return found
