"""Which stored states this herd can take over: those of its own format and of older ones.

A state of a newer format holds what this herd does not know, API keys perhaps: taken over, that
would be lost in silence. So it is refused, by the name of the herd that wrote it.
"""

from typing import Protocol

from herd.errors import HerdError


class Stored(Protocol):
    """A state in the log, or beside it."""

    @property
    def schema(self) -> int:
        """Return its format."""
        ...

    @property
    def version(self) -> str:
        """Return the version of the herd that wrote it."""
        ...


def refuse_newer(stored: Stored, known: int) -> None:
    """Raise `HerdError` if a state is of a newer format than the one that is known."""
    if stored.schema > known:
        raise HerdError(
            f"the log was written by herd {stored.version}, whose format ({stored.schema}) is "
            f"newer than that of this herd ({known})",
            "update this herd, bring back a backup of before (`herd restore`), or choose another "
            "--data-dir",
        )
