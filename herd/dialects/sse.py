"""Server-Sent Events: the data of each, out of bytes that come in any pieces; and events written.

Lines end with LF or CRLF. Names, ids and comments are skipped. Memory is bounded by one event.
"""

from typing import Final

from herd.dialects.errors import GarbledError
from herd.dialects.lines import one_line

EVENT_BYTES: Final = 8 * 1024 * 1024
_MARK: Final = b"\xef\xbb\xbf"
"""What may stand before all text in UTF-8, and says nothing."""


class Events:
    """The reader of one stream."""

    __slots__ = ("_data", "_data_bytes", "_line", "_size_bytes")

    def __init__(self) -> None:
        """Begin at the start of an event."""
        self._line: list[bytes] = []
        """The pieces of a line without its end."""
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._size_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the data of the events that are whole now."""
        self._size_bytes += len(data)
        if b"\n" not in data:
            self._line.append(data)
            self._check()
            return []
        first, *lines = data.split(b"\n")
        self._line.append(first)
        found: list[bytes] = []
        for line in (b"".join(self._line), *lines[:-1]):
            self._take(line.removesuffix(b"\r"), found)
        self._line = [lines[-1]]
        self._size_bytes = len(lines[-1]) + self._data_bytes
        self._check()
        return found

    def _take(self, line: bytes, found: list[bytes]) -> None:
        line = line.removeprefix(_MARK)
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
            self._data_bytes += len(line)
        elif not line and self._data:
            found.append(b"\n".join(self._data))
            self._data, self._data_bytes = [], 0

    def _check(self) -> None:
        if self._size_bytes > EVENT_BYTES:
            raise GarbledError("an event that is too large")


def event(name: str, data: object) -> bytes:
    """Write an event that has a name."""
    return b"event: %b\ndata: %b\n\n" % (name.encode("ascii"), one_line(data))
