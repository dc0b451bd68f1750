"""How deep a JSON text is nested so far, out of bytes that come in any pieces. Pure.

Nothing is read of it, and nothing kept: brackets outside of strings are counted, by searches in C.
"""

from typing import Final

_OPEN: Final = (b"{", b"[")
_CLOSED: Final = (b"}", b"]")


class Nesting:
    """The brackets of one JSON text that are open."""

    __slots__ = ("_begun", "_depth", "_escaped", "_quoted")

    def __init__(self) -> None:
        """Begin outside of everything."""
        self._begun = False
        self._depth = 0
        self._quoted = False
        """Inside a string."""
        self._escaped = False
        """The last byte was a backslash that belongs to the next."""

    @property
    def whole(self) -> bool:
        """Whether something was opened, and all of it is closed."""
        return self._begun and self._depth == 0 and not self._quoted

    def feed(self, data: bytes) -> None:
        """Count on."""
        if self._escaped:
            data, self._escaped = data[1:], not data
        if b"\\" in data:  # first those that escape another, from the left; then the quotes
            data = data.replace(rb"\\", b"")
            self._escaped = data.endswith(b"\\")
            data = data.replace(rb"\"", b"")
        parts = data.split(b'"')
        outside = b"".join(parts[self._quoted :: 2])
        self._quoted ^= len(parts) % 2 == 0
        opened = sum([outside.count(bracket) for bracket in _OPEN])
        self._begun = self._begun or opened > 0
        self._depth += opened - sum([outside.count(bracket) for bracket in _CLOSED])
