"""What stands behind the question mark, checked: an error names its parameter.

Unknown parameters are let pass, as a browser or a script may add its own.
"""

from collections.abc import Collection
from typing import Final
from urllib.parse import parse_qs

LARGEST: Final = (1 << 53) - 1
LONGEST_TEXT: Final = 200


class ParameterError(ValueError):
    """A parameter that cannot be; the text names it and what it may be."""


class Parameters:
    """The parameters of one request."""

    def __init__(self, query: str) -> None:
        """Read them; of one that is given twice the last counts."""
        self._given = {name: values[-1] for name, values in parse_qs(query).items()}

    def whole(self, name: str, default: int, *, least: int = 0, most: int = LARGEST) -> int:
        """Return a whole number within its bounds. Raises `ParameterError`."""
        text = self._given.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdecimal() or not least <= int(text[:20]) <= most:
            raise ParameterError(f"{name} must be a whole number from {least} to {most}")
        return int(text)

    def instant(self, name: str) -> float | None:
        """Return an instant in epoch seconds, if there is one. Raises `ParameterError`."""
        text = self._given.get(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < 1 << 34:
            raise ParameterError(f"{name} must be an instant in seconds since 1970")
        return value

    def text(self, name: str) -> str:
        """Return a text; empty if there is none. Raises `ParameterError`."""
        text = self._given.get(name, "")
        if len(text) > LONGEST_TEXT:
            raise ParameterError(f"{name} must have at most {LONGEST_TEXT} characters")
        return text

    def choice(self, name: str, among: Collection[str]) -> str:
        """Return one of several words; empty if there is none. Raises `ParameterError`."""
        text = self._given.get(name, "")
        if text and text not in among:
            raise ParameterError(f"{name} must be one of: {', '.join(among)}")
        return text
