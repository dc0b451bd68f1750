"""A node in virtual time: a simulated machine, and what the prober sees of its memory."""

from collections.abc import Callable
from functools import partial

from actors.core.state import US
from events import Event, LoadFinished, LoadPlanned, NodeId, NodeProbed, ResidentModel
from herd.simulator.physics import (
    NEVER,
    Finished,
    Job,
    Loaded,
    Machine,
    Output,
    Refused,
    Unloaded,
)
from herd.virtual.agenda import Agenda

IDLE_LOOK_US = 5 * US
EAGER_LOOK_US = US
"""Between two looks at a node's memory: usually, and while a load is expected."""


class VirtualNode:
    """One machine on the agenda."""

    def __init__(
        self,
        node_id: NodeId,
        machine: Machine,
        agenda: Agenda,
        *,
        tell: Callable[[Event], None],
        hear: Callable[[Output], None],
    ) -> None:
        """`tell` is told what a probe finds, `hear` what comes of the jobs."""
        self.node_id = node_id
        self.machine = machine
        self.down = False
        self._agenda = agenda
        self._tell = tell
        self._hear = hear
        self._wakes_us = 0
        self._looks_us = 0
        self._changed = False
        self._expecting = False
        self._planned: dict[int, str] = {}
        """Loads without a request, by their jobs, which have numbers below 0."""
        self._loads = 0
        self._out([])  # what is in its memory may expire

    def submit(self, job: Job) -> None:
        """Give it a job."""
        self._out(self.machine.submit(self._agenda.seconds, job))

    def cancel(self, job: int) -> None:
        """Take a job away."""
        self._out(self.machine.cancel(self._agenda.seconds, job))

    def plan(self, event: LoadPlanned) -> None:
        """Unload, then load, as control does."""
        if self.down:
            self._end_load(event.model, 0.0, "connection refused")
            return
        for model in event.leaving:
            self._out(self.machine.unload(self._agenda.seconds, model))
        self._loads -= 1
        self._planned[self._loads] = event.model
        self.expect_load()
        self.submit(Job(id=self._loads, model=event.model))

    def expect_load(self) -> None:
        """Look every second until something else is in memory."""
        self._expecting = True
        self._look_soon()

    def fail(self) -> None:
        """Answer nobody from now on."""
        self.down = True
        planned, self._planned = self._planned, {}
        for model in planned.values():
            self._end_load(model, 0.0, "connection lost")

    def recover(self) -> None:
        """Answer again, with nothing in memory."""
        self.down = False
        self.machine = Machine(self.machine.spec, self._agenda.seconds)

    def resident(self) -> tuple[ResidentModel, ...]:
        """Return what a probe would find in memory; from then on that is known."""
        self._changed = False
        return tuple(
            ResidentModel(
                name=each.model.facts.name,
                size_bytes=each.size_bytes,
                size_vram_bytes=each.size_vram_bytes,
                context_length=each.context_tokens,
            )
            for each in self.machine.resident()
        )

    def _out(self, outputs: list[Output]) -> None:
        for output in outputs:
            if isinstance(output, Loaded | Unloaded):
                self._changed = True
                self._expecting = self._expecting and not isinstance(output, Loaded)
            elif isinstance(output, Finished | Refused) and output.job < 0:
                self._loaded(output)
            else:
                self._hear(output)
        if self._changed:
            self._look_soon()
        due_s = self.machine.next_event_at()
        if due_s != NEVER:
            due_us = max(self._agenda.now_us, self._agenda.instant(due_s))
            if not self._wakes_us or due_us < self._wakes_us:
                self._wakes_us = due_us
                self._agenda.at(due_us, partial(self._wake, due_us))

    def _loaded(self, output: Finished | Refused) -> None:
        model = self._planned.pop(output.job, None)
        if model is not None and isinstance(output, Finished):
            self._end_load(model, output.timings.load_s, "")
        elif model is not None and isinstance(output, Refused):
            self._end_load(model, 0.0, output.error)

    def _end_load(self, model: str, load_s: float, error: str) -> None:
        """Tell at the next turn of time: who is told may just be deciding."""
        fact = LoadFinished(node_id=self.node_id, model=model, load_s=round(load_s, 6), error=error)
        self._agenda.at(self._agenda.now_us, partial(self._tell, fact))

    def _wake(self, due_us: int) -> None:
        if due_us == self._wakes_us:  # else an earlier one has come between
            self._wakes_us = 0
            self._out(self.machine.advance(self._agenda.seconds))

    def _look_soon(self) -> None:
        """Look at the next turn of the prober."""
        agenda = self._agenda
        every_us = EAGER_LOOK_US if self._expecting else IDLE_LOOK_US
        at_us = agenda.now_us + every_us - (agenda.now_us - agenda.start_us) % every_us
        if not self._looks_us or at_us < self._looks_us:
            self._looks_us = at_us
            agenda.at(at_us, partial(self._look, at_us))

    def _look(self, at_us: int) -> None:
        if at_us != self._looks_us:
            return
        self._looks_us = 0
        if self._changed and not self.down:
            self._tell(NodeProbed(node_id=self.node_id, reachable=True, resident=self.resident()))
