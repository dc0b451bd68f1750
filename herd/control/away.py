"""Which fronts are away, and live: what they carry goes on until they come again, or end."""

from collections.abc import Callable, Iterable
from pathlib import Path

from events import Source
from herd.link.presence import lives


class Away:
    """Fronts whose link is broken, or that knew the control before this one."""

    def __init__(
        self, folder: Path, known: Iterable[Source], is_here: Callable[[Source], bool]
    ) -> None:
        """Wait for those that are known, as far as they live; `folder` has the locks of fronts."""
        self._folder = folder
        self._is_here = is_here
        self._away = set(known)

    def waits_for(self, src: Source) -> bool:
        """Wait for a front whose link broke, if it lives; return whether it does."""
        if alive := lives(self._folder, src):
            self._away.add(src)
        return alive

    def still(self) -> tuple[Source, ...]:
        """Return which are away now, and live; the others are forgotten."""
        self.ended()
        return tuple(sorted(self._away))

    def ended(self) -> list[Source]:
        """Forget those that are here again, or have ended; return the latter."""
        away = {src for src in self._away if not self._is_here(src)}
        self._away = {src for src in away if lives(self._folder, src)}
        return sorted(away - self._away)
