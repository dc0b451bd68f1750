"""A simulated node as a discrete-event machine. Pure: `now_s` comes in, outputs come out.

- Each call (`submit`, `cancel`, `unload`, `advance`) first does everything that was due up to
  `now_s`, in order of time, and returns it; time never goes back. How often it is called makes no
  difference to what happens.
- A request for a resident model goes to that model's own queue, which has no bound. All others
  wait for a load, in one line, at most OLLAMA_MAX_QUEUE of them; one load runs at a time.
- The head of that line takes the memory it needs from idle models, the longest unused first. It
  never takes a model with work: then the whole line waits, as Ollama's does.
- Another effective context than the resident one is a reload, and waits for its turn likewise.
"""

from collections import deque
from typing import Literal, TypeAlias

import msgspec

from herd.simulator.hardware import (
    DEFAULT_LOADED_MODELS,
    NodeSpec,
    SimulatedModel,
    context_for,
    resident_bytes,
)
from herd.simulator.runner import NEVER, Finished, Job, Runner, Sequence, Timings, Tokens

__all__ = [
    "BUSY",
    "NEVER",
    "Finished",
    "Job",
    "Loaded",
    "Machine",
    "Output",
    "Refused",
    "Resident",
    "Timings",
    "Tokens",
    "Unloaded",
]

BUSY = "server busy, please try again.  maximum pending requests exceeded"
"""Ollama's own words, with its two spaces."""

Why = Literal["expired", "evicted", "reloaded", "asked", "aborted"]


class Refused(msgspec.Struct, frozen=True, gc=False):
    """A job was turned away."""

    job: int
    at_s: float
    status: int
    error: str


class Loaded(msgspec.Struct, frozen=True, gc=False):
    """A model is resident now."""

    model: str
    at_s: float
    load_s: float


class Unloaded(msgspec.Struct, frozen=True, gc=False):
    """A model left the memory."""

    model: str
    at_s: float
    why: Why


class Resident(msgspec.Struct, frozen=True, gc=False):
    """What `/api/ps` tells about one model."""

    model: SimulatedModel
    size_bytes: int
    size_vram_bytes: int
    context_tokens: int
    expires_in_s: float
    """`NEVER` for one that is kept for ever."""


Output: TypeAlias = Tokens | Finished | Refused | Loaded | Unloaded


class Machine:
    """One machine with its Ollama."""

    def __init__(self, spec: NodeSpec, now_s: float = 0.0) -> None:
        """Begin with nothing resident."""
        self.spec = spec
        self.now_s = now_s
        self._models = {model.facts.name: model for model in spec.models}
        self.runners: dict[str, Runner] = {}
        self.pending: deque[Sequence] = deque()
        self.loading: Runner | None = None
        self.peak_running = 0
        """The most jobs that held a slot at once."""
        self._pumping = False
        self._out: list[Output] = []

    def stock(self, model: SimulatedModel) -> None:
        """Know one more model."""
        self._models[model.facts.name] = model

    # What is known.

    def next_event_at(self) -> float:
        """Return when something happens next by itself; `NEVER` if nothing will."""
        return min((runner.next_event_at_s() for runner in self.runners.values()), default=NEVER)

    def running(self) -> int:
        """Return how many jobs hold a slot."""
        return sum(len(runner.active) for runner in self.runners.values())

    def waiting(self) -> int:
        """Return how many jobs wait, for a slot or for a load."""
        return len(self.pending) + sum(len(runner.waiting) for runner in self.runners.values())

    def vram_used_bytes(self) -> int:
        """Return the video memory that is taken, by models being loaded too."""
        return sum(runner.vram_bytes for runner in self.runners.values())

    def resident(self) -> list[Resident]:
        """Return what is in memory, the last to expire first."""
        found = [
            Resident(
                runner.model,
                runner.size_bytes,
                runner.vram_bytes,
                runner.context_tokens,
                self._expires_in_s(runner),
            )
            for runner in self.runners.values()
        ]
        return sorted(found, key=lambda resident: -resident.expires_in_s)

    def _expires_in_s(self, runner: Runner) -> float:
        if runner.session_s < 0:
            return NEVER
        if runner.in_use or runner.loading:
            return runner.session_s
        return max(0.0, runner.expires_at_s - self.now_s)

    # What is asked of it.

    def advance(self, now_s: float) -> list[Output]:
        """Do everything that is due."""
        return self._settled(now_s)

    def submit(self, now_s: float, job: Job) -> list[Output]:
        """Take a job for a model of this node, or refuse it."""
        self._catch_up(now_s)
        sequence = Sequence(job, self.now_s)
        runner = self.runners.get(job.model)
        fits = runner is not None and runner.context_tokens == self._context(job)
        if (not fits or runner is self.loading) and self._waiting_for_load() >= self.spec.max_queue:
            self._out.append(Refused(job.id, self.now_s, 503, BUSY))
        elif runner is not None and fits:
            self._give(runner, sequence)
        else:
            self.pending.append(sequence)
            self._pump()
        return self._settled(now_s)

    def cancel(self, now_s: float, job: int) -> list[Output]:
        """Drop a job wherever it is; one that is done already is no matter."""
        self._catch_up(now_s)
        for sequence in self.pending:
            if sequence.job.id == job:
                self.pending.remove(sequence)
                self._pump()
                return self._settled(now_s)
        for runner in list(self.runners.values()):
            if runner.cancel(job):
                self._after(runner)
                break
        return self._settled(now_s)

    def unload(self, now_s: float, model: str) -> list[Output]:
        """Let a model go as soon as it is idle; one that is not resident is no matter."""
        self._catch_up(now_s)
        runner = self.runners.get(model)
        if runner is not None:
            runner.session_s = 0.0
            if not (runner.in_use or runner.loading):
                self._drop(runner, "asked")
                self._pump()
        return self._settled(now_s)

    # Time.

    def _catch_up(self, now_s: float) -> None:
        while self.runners:
            runner = min(self.runners.values(), key=Runner.next_event_at_s)
            due_s = runner.next_event_at_s()
            if due_s > now_s:
                break
            self.now_s = max(self.now_s, due_s)
            self._happen(runner)
        self.now_s = max(self.now_s, now_s)

    def _happen(self, runner: Runner) -> None:
        if runner.loading:
            self._loaded(runner)
        elif runner.busy:
            self._out.extend(runner.end_step())
            self._after(runner)
        else:
            self._drop(runner, "expired")
            self._pump()

    def _settled(self, now_s: float) -> list[Output]:
        """Do what is due, which may be what was just begun, and hand out what happened."""
        self._catch_up(now_s)
        out, self._out = self._out, []
        return out

    # Work.

    def _give(self, runner: Runner, sequence: Sequence) -> None:
        """Hand a job to its runner; one that only wanted the model loaded is done with that."""
        runner.admit(sequence)
        if not runner.loading:
            self._granted(runner, sequence)
            self._after(runner)

    def _granted(self, runner: Runner, sequence: Sequence) -> None:
        sequence.granted_s = sequence.began_s = self.now_s
        if not sequence.job.prompt_tokens:
            runner.waiting.remove(sequence)
            self._out.append(sequence.finished(self.now_s))

    def _after(self, runner: Runner) -> None:
        """Something changed at this runner: go on, or rest."""
        if runner.in_use:
            busy = sum(1 for other in self.runners.values() if other.busy and other is not runner)
            runner.begin_step(self.now_s, busy + 1)
            self.peak_running = max(self.peak_running, self.running())
            return
        if runner.loading:
            self._drop(runner, "aborted")
        elif runner.session_s == 0:
            self._drop(runner, "asked")
        else:
            runner.rest(self.now_s)
        self._pump()

    # Loads.

    def _waiting_for_load(self) -> int:
        loading = len(self.loading.waiting) if self.loading is not None else 0
        return len(self.pending) + loading

    def _context(self, job: Job) -> int:
        return context_for(self.spec, self._models[job.model], job.num_ctx)

    def _pump(self) -> None:
        """Serve the head of the line until it must wait."""
        if self._pumping:
            return
        self._pumping = True
        while self.pending and self.loading is None and self._serve(self.pending[0]):
            pass
        self._pumping = False

    def _serve(self, sequence: Sequence) -> bool:
        """Take one step for the head of the line; return whether there was one to take."""
        runner = self.runners.get(sequence.job.model)
        if runner is None or runner.context_tokens != self._context(sequence.job):
            return self._make_room(sequence, runner)
        self.pending.popleft()
        self._give(runner, sequence)
        return True

    def _make_room(self, sequence: Sequence, resident: Runner | None) -> bool:
        """Take one step towards a load; return whether there was one to take."""
        job = sequence.job
        context = self._context(job)
        size = resident_bytes(self.spec, self._models[job.model], context)
        over = size - self.spec.facts.vram_bytes
        if over > self.spec.offload_bytes:
            self.pending.popleft()
            self._out.append(Refused(job.id, self.now_s, 500, self._too_big(size)))
            return True
        if resident is not None:
            return self._unload_idle([resident], "reloaded")
        most = self.spec.facts.max_loaded_models or DEFAULT_LOADED_MODELS
        free = self.spec.facts.vram_bytes - self.vram_used_bytes()
        if len(self.runners) >= most or free < min(size, self.spec.facts.vram_bytes):
            return self._unload_idle(list(self.runners.values()), "evicted")
        self.pending.popleft()
        self._load(sequence, context)
        return True

    def _unload_idle(self, candidates: list[Runner], why: Why) -> bool:
        idle = [runner for runner in candidates if not runner.in_use]
        if not idle:
            return False
        self._drop(min(idle, key=lambda runner: runner.last_used_s), why)
        return True

    def _load(self, sequence: Sequence, context: int) -> None:
        job = sequence.job
        runner = Runner(self.spec, self._models[job.model], context, now_s=self.now_s)
        self.runners[job.model] = self.loading = runner
        runner.admit(sequence)

    def _loaded(self, runner: Runner) -> None:
        runner.loading = False
        self.loading = None
        began_s = runner.last_used_s
        self._out.append(Loaded(runner.model.facts.name, self.now_s, self.now_s - began_s))
        for sequence in list(runner.waiting):
            self._granted(runner, sequence)
        self._after(runner)
        self._pump()

    def _drop(self, runner: Runner, why: Why) -> None:
        name = runner.model.facts.name
        del self.runners[name]
        if runner is self.loading:
            self.loading = None
        self._out.append(Unloaded(name, self.now_s, why))

    def _too_big(self, size: int) -> str:
        gib = 1024**3
        has = self.spec.facts.vram_bytes + self.spec.offload_bytes
        return (
            f"model requires more system memory ({size / gib:.1f} GiB) "
            f"than is available ({has / gib:.1f} GiB)"
        )
