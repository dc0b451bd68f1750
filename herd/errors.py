"""The root of herd's own errors: what failed, and the next step for the person who reads it."""

from typing import Final

NOT_OURS: Final = "do it as the user who runs herd, or name another place"
"""The next step where the system forbids what was to be done."""


class HerdError(Exception):
    """An expected failure. The terminal shows `what` and `next_step`, and never a traceback."""

    def __init__(self, what: str, next_step: str = "") -> None:
        """Keep both halves apart: a log wants the first, a person both."""
        super().__init__(what)
        self.what = what
        self.next_step = next_step
