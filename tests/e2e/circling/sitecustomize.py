"""A process that turns in a circle once it is told to: found by the Pythons of a test.

Only where `CIRCLING` is set, and never the supervisor: children are spawned with their parent's
pid known, and what is told by SIGUSR1 is this one process.
"""

import os
import signal


def _circle(_number: int, _frame: object) -> None:
    while True:
        pass


if os.environ.get("CIRCLING"):
    signal.signal(signal.SIGUSR1, _circle)
