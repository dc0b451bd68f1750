"""All differences between operating systems, and between event loops.

Nobody else asks `sys.platform`. What a system cannot do is a no-op here, and the caller's other
means carry it: where there is no death signal, the pipe from the supervisor still ends.
"""

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import platform as _platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import psutil
import setproctitle

T = TypeVar("T")

PortSharing: TypeAlias = Literal["reuseport", "inherited", "none"]

PORT_SHARING: PortSharing = (
    "reuseport" if sys.platform == "linux" else "none" if sys.platform == "win32" else "inherited"
)
"""How several fronts listen on one port: each binds it (Linux spreads the connections), all accept
from one inherited listener (elsewhere the last to bind gets everything), or there is only one."""

HAS_UNIX_SOCKETS = sys.platform != "win32"
"""Whether the link can be a Unix socket with asyncio."""

ONE_PROCESS_ONLY = sys.platform == "win32"
"""Whether fronts cannot share a port in any way, so that `--workers 0` is the only mode."""

LOGD_NICENESS = 10
TITLE = "herd: "
"""What the names of herd's processes begin with."""
_PR_SET_PDEATHSIG = 1


# The event loop


def loop_factory(*, fast: bool = True) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes a loop: uvloop's where there is one, unless the plain one is wanted."""
    if fast and sys.platform != "win32" and os.environ.get("FLEET_LOOP") != "asyncio":
        try:
            import uvloop
        except ImportError:  # pragma: no cover (a platform without wheels)
            return asyncio.new_event_loop
        return uvloop.new_event_loop
    return asyncio.new_event_loop


def run_loop(main: Coroutine[Any, Any, T], *, fast: bool = True) -> T:
    """Run a process's main coroutine to its end on a fresh loop."""
    with asyncio.Runner(loop_factory=loop_factory(fast=fast)) as runner:
        return runner.run(main)


def name() -> str:
    """Return what the system calls itself: Linux, Darwin or Windows."""
    return _platform.system()


def core_count() -> int:
    """Return the cores that this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_workers() -> int:
    """Return how many fronts suit this machine; 0 means one process for all."""
    return 0 if ONE_PROCESS_ONLY else max(1, core_count() - 1)


# Who sits there

ASK_S = 2.0
"""How long a tool of the system may take."""


def has_screen() -> bool:
    """Whether a browser that is opened here would be seen by whoever asked."""
    if "SSH_CONNECTION" in os.environ:
        return False
    if sys.platform in {"darwin", "win32"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def idle_s() -> float | None:
    """Return the seconds since a key or the mouse was touched; None where nobody can tell.

    Linux: as logind has it of all sessions. A desktop tells it that somebody is away only after
    some minutes; until then it is 0.
    """
    if sys.platform == "win32":
        return _windows_idle_s()
    if sys.platform == "darwin":
        found = re.search(r'"HIDIdleTime" = (\d+)', _ask("ioreg", "-c", "IOHIDSystem", "-d", "4"))
        return None if found is None else int(found[1]) / 1e9
    told = _ask("loginctl", "show-session", "-p", "IdleHint", "-p", "IdleSinceHintMonotonic")
    return logind_idle_s(told, time.monotonic())


def logind_idle_s(told: str, now_s: float) -> float | None:
    """Read what logind says of all its sessions."""
    pairs = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    since = pairs.get("IdleSinceHintMonotonic", "")
    if pairs.get("IdleHint") == "no":
        return 0.0
    return max(0.0, now_s - int(since) / 1e6) if since.isdecimal() else None


def _ask(tool: str, *arguments: str) -> str:
    """Return what a tool of the system says; nothing where it is missing, fails or hangs."""
    path = shutil.which(tool)
    if path is None:
        return ""
    try:
        answer = subprocess.run(  # noqa: S603 (a fixed command, found in the path)
            [path, *arguments], capture_output=True, timeout=ASK_S, check=True, text=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return answer.stdout


# Processes


def pipe(*, duplex: bool = True) -> tuple[Connection, Connection]:
    """Return both ends of a pipe that a child can inherit; the first reads, if only one can."""
    ends: tuple[Any, Any] = multiprocessing.get_context("spawn").Pipe(duplex)
    return ends  # on Windows of a type of its own, which does the same


def never_block(end: Connection) -> None:
    """Let writing to a pipe fail where it would wait."""
    if sys.platform != "win32":
        os.set_blocking(end.fileno(), False)


def set_title(name: str) -> None:
    """Show this process as `herd: NAME`; under spawn all command lines look the same."""
    setproctitle.setproctitle(f"{TITLE}{name}")


def die_with_parent() -> None:
    """Ask for SIGTERM when the parent dies, where the system can."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def lower_priority() -> None:
    """Let every other process of herd go first."""
    if sys.platform == "win32":
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        os.nice(LOGD_NICENESS)


def end_spawn_helper() -> None:
    """End the process that `multiprocessing` keeps beside those it spawned; they have ended.

    It would end by itself, but a moment after us: then one process of herd would be left.
    """
    if sys.platform != "win32":
        from multiprocessing import resource_tracker

        if callable(stop := getattr(vars(resource_tracker)["_resource_tracker"], "_stop", None)):
            stop()


def terminal_is_here() -> bool:
    """Return whether this process belongs to a terminal that has not been closed."""
    if sys.platform == "win32":
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def reload_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that mean: read the settings again, unless the terminal was closed."""
    if sys.platform == "win32":
        return ()
    return (signal.SIGHUP,)


def stop_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that mean: finish in good order."""
    if sys.platform == "win32":
        return (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK)
    return (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def on_finish(
    alive: Connection, finish: Callable[[], None], hear: Callable[[bytes], None] | None = None
) -> None:
    """Call `finish` once, on the running loop: when the supervisor is gone, or at SIGTERM.

    What the supervisor says before goes to `hear`; who hears nothing finishes at the first word.
    """
    loop = asyncio.get_running_loop()
    told = False

    def once() -> None:
        nonlocal told
        if not told:
            told = True
            finish()

    if sys.platform == "win32":

        def watch() -> None:
            with contextlib.suppress(OSError, EOFError):
                alive.poll(None)
                while hear is not None:
                    loop.call_soon_threadsafe(hear, alive.recv_bytes())
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(once)

        threading.Thread(target=watch, name="alive", daemon=True).start()
    else:

        def came() -> None:
            if hear is not None:
                with contextlib.suppress(OSError, EOFError):
                    hear(alive.recv_bytes())
                    return
            loop.remove_reader(alive.fileno())
            once()

        loop.add_reader(alive.fileno(), came)
        loop.add_signal_handler(signal.SIGTERM, once)


# Ports

Address: TypeAlias = tuple[str | int | bytes, ...]
"""Of a socket, as `getaddrinfo` gives it."""


def bind_alone(bound: socket.socket, address: Address) -> None:
    """Bind only if nobody else listens there; connections that linger do no harm."""
    if sys.platform == "win32":
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(address)


def bind_shared(bound: socket.socket, address: Address) -> None:
    """Bind so that other processes of this user may bind too.

    Without SO_REUSEADDR first: then `bind_alone` of another herd that starts now fails, although
    nobody listens yet.
    """
    if sys.platform != "win32":
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            bound.bind(address)
        except OSError:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)


def keep_alive(transport: asyncio.Transport) -> None:
    """Have a connection end within half a minute after the other machine has gone silently."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family == getattr(socket, "AF_UNIX", None):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for named, seconds in _KEEP_ALIVE:
        if (option := getattr(socket, named, None)) is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, option, seconds)


_KEEP_ALIVE = (
    ("TCP_KEEPIDLE", 10),
    ("TCP_KEEPALIVE", 10),  # what macOS calls it
    ("TCP_KEEPINTVL", 5),
    ("TCP_KEEPCNT", 3),
    ("TCP_USER_TIMEOUT", 25_000),  # of what was sent and is not acknowledged, in ms
)


# Work for several cores


def fresh_workers(
    count: int, begin: Callable[..., None], arguments: tuple[object, ...]
) -> ProcessPoolExecutor:
    """Return processes that share nothing with this one; each begins with that call."""
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), begin, arguments)


# Files


class FileLock:
    """A lock on a file that the system gives back when the process ends, however it ends.

    The file names its holder, or the last one.
    """

    def __init__(self, path: Path) -> None:
        """Open the file; nothing is locked yet."""
        self._path = path
        self._descriptor = -1

    def take(self, *, mark: bool = True) -> bool:
        """Lock without waiting, and leave our pid; return whether the lock is ours."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        if not mark:
            return True
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d\n" % os.getpid())
        return True

    def holder(self) -> int:
        """Return the pid of who has the lock, if somebody has it; 0 if that is not known."""
        try:
            return int(self._path.read_bytes())
        except (OSError, ValueError):
            return 0

    def release(self) -> None:
        """Give the lock back; once is enough, twice does no harm."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_private(folder: Path) -> bool:
    """Return whether a folder is really ours, and nobody else can look into it."""
    if sys.platform == "win32":
        return folder.is_dir()
    found = folder.lstat()
    real = folder.is_dir() and not folder.is_symlink()
    return real and found.st_uid == os.getuid() and found.st_mode & 0o077 == 0


def open_files(process: psutil.Process) -> int:
    """Return how many files and sockets a process has open: descriptors, or handles on Windows."""
    if sys.platform == "win32":
        return process.num_handles()
    return process.num_fds()


if sys.platform == "win32":
    import msvcrt

    _BEYOND_BYTES = 1 << 20
    """Where the locked byte is: nobody else could read it, and the pid stands before."""

    class _LastInput(ctypes.Structure):
        _fields_ = (("size", ctypes.c_uint), ("tick_ms", ctypes.c_uint))

    def _windows_idle_s() -> float | None:
        last = _LastInput(ctypes.sizeof(_LastInput), 0)
        if not ctypes.windll.user32.GetLastInputInfo(ctypes.byref(last)):
            return None
        now_ms = ctypes.c_uint(ctypes.windll.kernel32.GetTickCount()).value
        tick_ms: int = last.tick_ms
        return ((now_ms - tick_ms) % 2**32) / 1000

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _BEYOND_BYTES, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
