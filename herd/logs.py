"""The log for people and log shippers: `herd.jsonl`, one JSON object a line.

Every line has `ts`, `level`, `logger`, `msg` and `process`; what it is about stands in
`request_id`, `node_id`, `model` where that is known (`logger.info(..., extra={"node_id": ...})`).
One line a request, written by logd as it reads the log of events; none for a heartbeat. Warnings
and worse go to the terminal too.

All processes append to one file, a line a write. It begins anew each day (UTC) and at 50 MB; the
process that notices renames it, the others see that and follow. A log that cannot be written is no
reason to stop.
"""

import contextlib
import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import msgspec

from herd.clock import wall_s
from herd.config import Settings
from herd.journal.disk import BINARY
from herd.platform import FileLock

LARGEST_BYTES = 50 << 20
KEPT_FILES = 30
ABOUT = ("request_id", "node_id", "model")
"""What a line can be about: fields of their own, given as `extra`."""
OURS = ("herd", "actors")
"""Loggers whose level the settings choose; of others, warnings and worse are kept."""

_CHECK_EVERY_S = 1.0
_encoder = msgspec.json.Encoder()


class LogFile:
    """One process's end of the log file."""

    def __init__(
        self,
        path: Path,
        *,
        largest_bytes: int = LARGEST_BYTES,
        kept_files: int = KEPT_FILES,
        now_s: Callable[[], float] = wall_s,
    ) -> None:
        """Name the file; it is opened by the first line."""
        self._path = path
        self._largest_bytes = largest_bytes
        self._kept_files = kept_files
        self._now_s = now_s
        self._lock = threading.Lock()
        self._descriptor = -1
        self._checked_s = 0.0

    def append(self, lines: bytes) -> None:
        """Write whole lines with one write; what the disk refuses is lost."""
        with self._lock, contextlib.suppress(OSError):
            now_s = self._now_s()
            if self._descriptor < 0 or now_s - self._checked_s >= _CHECK_EVERY_S:
                self._checked_s = now_s
                self._follow()
            os.write(self._descriptor, lines)

    def close(self) -> None:
        """Let go of the file; a later line opens it again."""
        with self._lock:
            self._let_go()

    def _follow(self) -> None:
        """Have the right file open: the one of that name, made new if it is due."""
        if self._due():
            self._rotate()
        if self._descriptor >= 0 and not self._is_ours():
            self._let_go()
        if self._descriptor < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | BINARY
            self._descriptor = os.open(self._path, flags, 0o600)

    def _is_ours(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _due(self) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        return found.st_size > 0 and (
            found.st_size >= self._largest_bytes or _day(found.st_mtime) != _day(self._checked_s)
        )

    def _rotate(self) -> None:
        lock = FileLock(self._path.with_name(self._path.name + ".lock"))
        if not lock.take():
            return  # another process is at it
        try:
            if not self._due():
                return
            name = f"{self._path.name}.{_day(self._path.stat().st_mtime)}"
            target, number = self._path.with_name(name), 0
            while target.exists():
                number += 1
                target = self._path.with_name(f"{name}.{number}")
            self._path.rename(target)
            rotated = sorted(
                self._path.parent.glob(f"{self._path.name}.????-??-??*"),
                key=lambda path: path.stat().st_mtime,
            )
            for old in rotated[: -self._kept_files]:
                old.unlink(missing_ok=True)
        finally:
            lock.release()

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class JsonLines(logging.Handler):
    """Python's log records as lines of the log file."""

    def __init__(self, file: LogFile, process: str) -> None:
        """Write to this file, as this process."""
        super().__init__()
        self._file = file
        self._process = process

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            line = self._line(record)
        except Exception:  # noqa: BLE001 (a bad format string must not stop the caller)
            self.handleError(record)
            return
        self._file.append(line)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        super().close()

    def _line(self, record: logging.LogRecord) -> bytes:
        line = {
            "ts": log_time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "msg": record.getMessage(),
            "process": self._process,
        }
        line |= {name: getattr(record, name) for name in ABOUT if hasattr(record, name)}
        if record.exc_info:
            formatter = self.formatter or logging.Formatter()
            line["exception"] = formatter.formatException(record.exc_info)
        return _encoder.encode(line) + b"\n"


def log_time(epoch_s: float) -> str:
    """Return an instant as the log file writes it."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")


def start(
    path: Path, process: str, *, level: str = "INFO", terminal: TextIO | None = None
) -> Callable[[], None]:
    """Send this process's log records to the file, and warnings to the terminal as well.

    Returns what undoes it.
    """
    lines = JsonLines(LogFile(path), process)
    shown = logging.StreamHandler(terminal if terminal is not None else sys.stderr)
    shown.setLevel(logging.WARNING)
    shown.setFormatter(logging.Formatter(f"herd: {process}: %(message)s"))
    root = logging.getLogger()
    root.addHandler(lines)
    root.addHandler(shown)
    ours = [logging.getLogger(name) for name in OURS]
    before = [logger.level for logger in ours]
    for logger in ours:
        logger.setLevel(level.upper())

    def undo() -> None:
        root.removeHandler(shown)
        root.removeHandler(lines)
        for logger, level_before in zip(ours, before, strict=True):
            logger.setLevel(level_before)
        lines.close()

    return undo


def configure_logging(settings: Settings) -> None:
    """Start the log of a process of `herd run`, under the name that the supervisor gave it."""
    parent = multiprocessing.parent_process()
    process = "supervisor" if parent is None else multiprocessing.current_process().name
    start(settings.directory.jsonl, process, level=settings.log_level)


def _day(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).date().isoformat()
