"""Physics on an event loop: one timer for a whole node, set to the next thing that happens.

The simulated clock runs `rate` times as fast as the real one; 0 stops it, and with it all work.
No Task, Future or timer belongs to a request.
"""

import asyncio
from typing import Protocol

from herd.simulator.hardware import NodeSpec
from herd.simulator.physics import (
    NEVER,
    Finished,
    Job,
    Loaded,
    Machine,
    Output,
    Refused,
    Timings,
    Tokens,
    Unloaded,
)


class Listener(Protocol):
    """Who waits for a job."""

    def tokens(self, count: int) -> None:
        """Take so many further tokens."""
        ...

    def finished(self, timings: Timings) -> None:
        """Take the end."""
        ...

    def refused(self, status: int, error: str) -> None:
        """Take the refusal."""
        ...


class Engine:
    """A machine that works by the loop's clock."""

    def __init__(self, spec: NodeSpec, loop: asyncio.AbstractEventLoop, rate: float) -> None:
        """Begin at the simulated second 0."""
        self.machine = Machine(spec)
        self.loads = 0
        self.evictions = 0
        self.tokens = 0
        self._loop = loop
        self._rate = rate
        self._base_s = 0.0
        self._since_s = loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = NEVER
        self._listeners: dict[int, Listener] = {}
        self._jobs = 0

    # Time.

    @property
    def rate(self) -> float:
        """Simulated seconds in a real one."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._tell(self.machine.advance(self._now_s()))
        self._base_s = self._now_s()
        self._since_s = self._loop.time()
        self._rate = rate
        self._set_timer(anew=True)

    def _now_s(self) -> float:
        return self._base_s + (self._loop.time() - self._since_s) * self._rate

    # Work.

    def next_id(self) -> int:
        """Return the id of a new job."""
        self._jobs += 1
        return self._jobs

    def submit(self, job: Job, listener: Listener) -> None:
        """Begin a job; its listener may be called before this returns."""
        self._listeners[job.id] = listener
        self._tell(self.machine.submit(self._now_s(), job))
        self._set_timer()

    def cancel(self, job: int) -> None:
        """Drop a job: its listener hears nothing more, and its slot is free."""
        self._listeners.pop(job, None)
        self._tell(self.machine.cancel(self._now_s(), job))
        self._set_timer()

    def unload(self, model: str) -> None:
        """Let a model go as soon as it is idle."""
        self._tell(self.machine.unload(self._now_s(), model))
        self._set_timer()

    def up_to_date(self) -> Machine:
        """Return the machine as of now."""
        self._tell(self.machine.advance(self._now_s()))
        self._set_timer()
        return self.machine

    def close(self) -> None:
        """Stop for good."""
        self._listeners.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Inside.

    def _wake(self) -> None:
        self._timer = None
        self._tell(self.machine.advance(max(self._now_s(), self._due_s)))
        self._set_timer()

    def _set_timer(self, *, anew: bool = False) -> None:
        due_s = self.machine.next_event_at()
        if self._timer is not None:
            if due_s == self._due_s and not anew:
                return
            self._timer.cancel()
            self._timer = None
        self._due_s = due_s
        if due_s != NEVER and self._rate > 0:
            at_s = self._since_s + (due_s - self._base_s) / self._rate
            self._timer = self._loop.call_at(at_s, self._wake)

    def _tell(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Tokens():
                    self.tokens += output.count
                    if (listener := self._listeners.get(output.job)) is not None:
                        listener.tokens(output.count)
                case Finished():
                    if (listener := self._listeners.pop(output.job, None)) is not None:
                        listener.finished(output.timings)
                case Refused():
                    if (listener := self._listeners.pop(output.job, None)) is not None:
                        listener.refused(output.status, output.error)
                case Loaded():
                    self.loads += 1
                case Unloaded():
                    self.evictions += output.why == "evicted"
