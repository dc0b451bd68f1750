"""What ran and what waited in the last minutes, for pages that open now."""

from collections import deque
from typing import Final

from herd.link.messages import View

KEPT_S: Final = 300


class Lately:
    """One row a second in which the fleet changed: what was true at its end held until the next."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._rows: deque[tuple[int, int, int, int]] = deque(maxlen=KEPT_S)

    def saw(self, view: View, now_s: float) -> None:
        """Take note of a view; `now_s` is of a clock that only rises."""
        slots = [slots for node in view.nodes for slots in node.slots.values()]
        row = (
            int(now_s),
            sum(each.in_flight for each in slots),
            sum(view.waiting.values()),
            sum(each.completed for each in slots),
        )
        if self._rows and self._rows[-1][0] == row[0]:
            self._rows.pop()
        self._rows.append(row)

    def told(self, now_s: float) -> list[tuple[int, int, int, int]]:
        """Return `(seconds ago, running, waiting, completed so far)`, the oldest first."""
        told: list[tuple[int, int, int, int]] = []
        for at_s, *counts in self._rows:
            ago_s = int(now_s) - at_s
            running, waiting, completed = counts
            if ago_s > KEPT_S:  # what held then is where the strip begins
                told.clear()
                ago_s = KEPT_S
            told.append((ago_s, running, waiting, completed))
        return told
