"""The machine itself: the package, the data directory, the port."""

import shutil
import socket
from collections.abc import Iterator
from typing import Final

import psutil

from herd._siblings import check_siblings
from herd.config import Settings
from herd.doctor.finding import Finding, bad, good, note
from herd.errors import HerdError
from herd.paths import DataDir
from herd.platform import is_private
from herd.processes import run_file

GIB: Final = 1 << 30
LITTLE_DISK_BYTES: Final = 2 * GIB
NO_DISK_BYTES: Final = GIB // 2


def package() -> Iterator[Finding]:
    """Whether `events` and `actors` are herd's own: other distributions have such names, too."""
    try:
        check_siblings()
    except HerdError as error:
        yield bad("package", error.what, error.next_step)
    else:
        yield good("package", "`events` and `actors` are herd's own")


def data_directory(directory: DataDir) -> Iterator[Finding]:
    """Whether the log can be written, and is nobody else's to read."""
    root = directory.root
    if not root.exists():
        yield note("data directory", f"{root} is not there yet: the first start makes it")
        return
    usage = shutil.disk_usage(root)
    free = f"{usage.free / GIB:.1f} GiB free"
    if usage.free < NO_DISK_BYTES:
        yield bad("disk", f"{root}: {free}", "free some, or choose another with --data-dir")
    elif usage.free < LITTLE_DISK_BYTES:
        yield note("disk", f"{root}: {free}", "a busy herd writes 60 MB for a million events")
    else:
        yield good("disk", f"{root}: {free}")
    try:
        probe = root / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        yield bad(
            "data directory",
            f"{root} cannot be written: {error.strerror}",
            "run herd as the user whom it belongs to, or choose another with --data-dir",
        )
    else:
        if is_private(root):
            yield good("data directory", f"{root} is ours, and nobody else reads it")
        else:
            yield note(
                "data directory",
                f"others may read {root}: the log, and the admin token's folder",
                f"chmod 700 {root}",
            )


def listener(settings: Settings) -> Iterator[Finding]:
    """Whether it runs, and if not, whether its port is free."""
    found = run_file.read(settings.directory)
    living = {} if found is None else run_file.living(found)
    if found is not None and "supervisor" in living:
        missing = sorted(set(found.pids) - set(living))
        if missing:
            yield note(
                "processes",
                f"{', '.join(missing)} ended: the supervisor is starting it again",
                f"if it goes on, look into {settings.directory.jsonl}",
            )
        yield good("balancer", f"herd {found.version} runs, pid {living['supervisor'].pid}")
        return
    if (holder := _holder(settings.port)) is not None:
        yield bad(
            "port",
            f"{settings.port} is taken by {holder}",
            "end it, or choose another port with --port or FLEET_PORT",
        )
    else:
        yield note("balancer", "herd does not run here", "start it with `herd`")


def _holder(port: int) -> str | None:
    """Return who listens on a port of this machine, as far as it can be told."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(("127.0.0.1", port)):
            return None
    try:
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == port:
                return f"{psutil.Process(each.pid).name()}, pid {each.pid}"
    except (psutil.Error, OSError):
        pass
    return "another program"
