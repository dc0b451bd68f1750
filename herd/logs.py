"""What herd says about itself: JSON lines in one file for all processes, warnings on the terminal.

A line is one write to a file opened for appending, so that lines of several processes never mix.
At the first line of a new UTC day the file is put aside as `herd.jsonl.YYYY-MM-DD`: whoever makes
that name first gives the others a fresh file, and they notice by its inode. Thirty days are kept.
Secrets, prompts and answers are never logged.
"""

import logging
import multiprocessing
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from herd.config import Settings

DAYS_KEPT = 30
CORRELATION = ("request_id", "node_id", "model")
"""Fields of a line, where the caller passed them as `extra`."""


class Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of the log file."""

    ts: str
    """UTC, ISO 8601."""
    level: str
    process: str
    logger: str
    msg: str
    exception: str = ""
    request_id: str = ""
    node_id: str = ""
    model: str = ""


class JsonLines(logging.Handler):
    """Appends to the log file; a disk that is full or gone costs lines, never the work."""

    def __init__(self, path: Path, process: str) -> None:
        """Open the file when there is something to write."""
        super().__init__()
        self._path = path
        self._process = process
        self._descriptor = -1
        self._day = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            ts = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
            line = Line(
                ts=ts,
                level=record.levelname.lower(),
                process=self._process,
                logger=record.name,
                msg=record.getMessage(),
                exception=_exception(record),
                **{name: str(getattr(record, name, "")) for name in CORRELATION},
            )
            self._follow(ts[:10])
            os.write(self._descriptor, msgspec.json.encode(line) + b"\n")
        except OSError:
            self._drop()
        except Exception:  # noqa: BLE001 (the rule of logging: never raise into the caller)
            self.handleError(record)

    def close(self) -> None:
        """Close the file."""
        self._drop()
        super().close()

    def _drop(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _follow(self, day: str) -> None:
        """Be at the file of the day."""
        if self._descriptor >= 0 and self._was_put_aside():
            self._drop()
        elif self._descriptor >= 0 and day != self._day:
            put_aside(self._path, self._day)
            self._drop()
        if self._descriptor < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._descriptor = os.open(self._path, flags, 0o600)
            self._day = day

    def _was_put_aside(self) -> bool:
        try:
            return self._path.stat().st_ino != os.fstat(self._descriptor).st_ino
        except FileNotFoundError:
            return True


def put_aside(path: Path, day: str) -> None:
    """Give a day's lines their own file, unless another process was first."""
    aside = path.with_name(f"{path.name}.{day}")
    try:
        aside.hardlink_to(path)
        fresh = path.with_name(f"{path.name}.new")
        fresh.touch(mode=0o600)
        fresh.replace(path)
    except OSError:
        return
    for old in sorted(path.parent.glob(f"{path.name}.????-??-??"))[:-DAYS_KEPT]:
        old.unlink(missing_ok=True)


def configure_logging(settings: Settings) -> None:
    """Send this process's log lines where they belong."""
    parent = multiprocessing.parent_process()
    process = "supervisor" if parent is None else multiprocessing.current_process().name
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.WARNING)
    terminal.setFormatter(logging.Formatter(f"herd: {process}: %(message)s"))
    logging.basicConfig(
        level=logging.WARNING,
        handlers=[JsonLines(settings.directory.jsonl, process), terminal],
        force=True,
    )
    logging.getLogger("herd").setLevel(settings.log_level.upper())
    logging.getLogger("actors").setLevel(settings.log_level.upper())


def _exception(record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    return logging.Formatter().formatException(record.exc_info)
