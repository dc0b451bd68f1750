"""A recorded log to ask about: the demo's three machines, in bursts, in virtual time."""

from functools import cache

from actors.core.state import State
from events import Recorded
from herd.control.restore import head_of_segment
from herd.virtual.script import Outcome
from herd.whatif.evidence import Evidence, gather
from tests.herd.replay.test_contrast import moved
from tests.herd.virtual.small import START_US, busy


@cache
def recorded(count: int = 400, per_s: float = 2.0) -> tuple[tuple[Outcome, ...], list[Recorded]]:
    """What became of the requests, and the log of it behind its stored state."""
    world, log = busy(count=count, per_s=per_s)
    head = head_of_segment(State(), START_US)
    return tuple(world.outcomes), [head, *map(moved, log)]


def evidence(count: int = 400, per_s: float = 2.0) -> Evidence:
    """What such a log shows."""
    _, log = recorded(count, per_s)
    return gather(State(), log[1:])
