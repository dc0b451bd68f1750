"""What Ollama tells while it pulls, pushes or makes a model: one JSON object a line.

A pull names each layer with its size when it comes to it, so what is known of the whole grows.
"""

import re
from typing import Final

import msgspec

LONGEST_LINE_BYTES: Final = 64 * 1024

_KNOWN: Final = (
    (re.compile(r"file does not exist|not found|404", re.IGNORECASE), "not in the registry"),
    (re.compile(r"no space left|not enough space", re.IGNORECASE), "no space left on its disk"),
    (re.compile(r"newer version", re.IGNORECASE), "its Ollama is too old"),
    (re.compile(r"authori[sz]|forbidden|denied", re.IGNORECASE), "not allowed"),
    (
        re.compile(r"no such host|dial tcp|connection re|time(d )?out|eof|tls", re.IGNORECASE),
        "the registry cannot be reached",
    ),
)


class _Told(msgspec.Struct, gc=False):
    status: str = ""
    digest: str = ""
    total: int | None = None
    completed: int | None = None
    error: str = ""


class Progress:
    """How far it has come, as far as was told."""

    __slots__ = ("_completed", "_rest", "_totals", "done", "error", "status")

    def __init__(self) -> None:
        """Know nothing."""
        self._totals: dict[str, int] = {}
        self._completed: dict[str, int] = {}
        self._rest = b""
        self.status = ""
        """The node's last word."""
        self.done = False
        """It came to its good end."""
        self.error = ""
        """What the node said went wrong."""

    @property
    def total_bytes(self) -> int:
        """All layers that were named so far."""
        return sum(self._totals.values())

    @property
    def completed_bytes(self) -> int:
        """What of them is there."""
        return sum(self._completed.values())

    def feed(self, data: bytes) -> None:
        """Take a piece of the stream."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._rest) > LONGEST_LINE_BYTES:
            self._rest = b""

    def end(self) -> None:
        """Take the end: an answer in one piece has no line break."""
        rest, self._rest = self._rest, b""
        self._take(rest)

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            told = msgspec.json.decode(line, type=_Told)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        self.error = told.error or self.error
        self.status = told.status or self.status
        self.done = self.done or told.status == "success"
        if told.digest and told.total:
            self._totals[told.digest] = max(0, told.total)
            self._completed[told.digest] = max(0, told.completed or 0)


def short_error(said: str) -> str:
    """Name what went wrong as one of a few kinds; never quote it."""
    return next((name for pattern, name in _KNOWN if pattern.search(said)), "failed at the node")
