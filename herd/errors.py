"""The root of herd's own errors: what failed, and the next step for the person who reads it."""


class HerdError(Exception):
    """An expected failure. The terminal shows `what` and `next_step`, and never a traceback."""

    def __init__(self, what: str, next_step: str = "") -> None:
        """Keep both halves apart: a log wants the first, a person both."""
        super().__init__(what)
        self.what = what
        self.next_step = next_step
