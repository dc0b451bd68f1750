"""One model in a simulated node's memory: its slots, its own queue, its steps. Pure.

- A request waits in the runner's queue, first come first served, without bound, until a slot is
  free; having it, it joins at the next step.
- A step takes one token for each sequence that is decoding, then tokens of prompts up to
  `STEP_TOKENS`. The step that takes the last token of a prompt makes the first of the answer.
- A slot keeps the last prompt that it took in: a beginning of the next one is not taken in again.
- A request that is cancelled frees its slot at once; the step that is under way goes on for the
  others.
"""

from collections import deque

import msgspec

from herd.simulator.hardware import (
    STEP_TOKENS,
    NodeSpec,
    SimulatedModel,
    Step,
    load_s,
    resident_bytes,
    slots_for,
    step_s,
)

NEVER = float("inf")


class Job(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One piece of work for a node."""

    id: int
    model: str
    """As `ModelFacts.name`."""
    prompt_tokens: int = 0
    """0: only load the model."""
    output_tokens: int = 0
    """0: only take the prompt in, as embedding does."""
    num_ctx: int | None = None
    prefixes: tuple[tuple[str, int], ...] = ()
    """Beginnings of the prompt, ascending: what each is known by, and its length in tokens."""
    keep_alive_s: float | None = None
    """None: what the runner has, or the node's default; 0: unload afterwards; < 0: for ever."""


class Timings(msgspec.Struct, frozen=True, gc=False):
    """Where the time of one job went, in seconds."""

    total_s: float = 0.0
    load_s: float = 0.0
    """From its arrival until its model was resident, waiting for other loads included."""
    slot_s: float = 0.0
    """Waiting for a slot."""
    prefill_s: float = 0.0
    decode_s: float = 0.0


class Tokens(msgspec.Struct, frozen=True, gc=False):
    """Tokens of an answer came out."""

    job: int
    at_s: float
    count: int


class Finished(msgspec.Struct, frozen=True, gc=False):
    """A job is done."""

    job: int
    at_s: float
    timings: Timings


class Sequence:
    """A job on its way through a runner."""

    __slots__ = ("began_s", "first_s", "granted_s", "job", "made", "prompt_left", "sent_s", "step")

    def __init__(self, job: Job, sent_s: float) -> None:
        """Start with nothing done."""
        self.job = job
        self.sent_s = sent_s
        self.granted_s = sent_s
        self.began_s = sent_s
        self.first_s = -1.0
        self.prompt_left = job.prompt_tokens
        self.made = 0
        self.step = 0
        """Tokens of the prompt in the present step."""

    def finished(self, at_s: float) -> Finished:
        """Return the output that says it is done."""
        first_s = at_s if self.first_s < 0 else self.first_s
        return Finished(
            self.job.id,
            at_s,
            Timings(
                at_s - self.sent_s,
                self.granted_s - self.sent_s,
                self.began_s - self.granted_s,
                first_s - self.began_s,
                at_s - first_s,
            ),
        )


class Runner:
    """A resident model, or one that is being loaded."""

    def __init__(
        self, spec: NodeSpec, model: SimulatedModel, context_tokens: int, *, now_s: float
    ) -> None:
        """Begin to load; `session_s` is how long it stays when idle."""
        self.spec = spec
        self.model = model
        self.context_tokens = context_tokens
        self.slots = slots_for(spec, model)
        self.size_bytes = resident_bytes(spec, model, context_tokens)
        self.vram_bytes = min(self.size_bytes, spec.facts.vram_bytes)
        self.session_s = spec.keep_alive_s
        self.ready_at_s = now_s + load_s(spec, model)
        self.loading = True
        self.last_used_s = now_s
        self.expires_at_s = NEVER
        """Set while idle; `NEVER` while in use, loading, or kept for ever."""
        self.step_ends_at_s = NEVER
        self.waiting: deque[Sequence] = deque()
        self.active: dict[int, Sequence] = {}
        self.cached_tokens = 0
        self.caches: list[tuple[tuple[str, int], ...]] = []
        """What idle slots hold of their last prompts, the latest last."""

    # What it is doing.

    @property
    def in_use(self) -> bool:
        """Whether any job runs or waits here: such a runner is never unloaded."""
        return bool(self.active or self.waiting)

    @property
    def busy(self) -> bool:
        """Whether a step is under way."""
        return self.step_ends_at_s != NEVER

    def next_event_at_s(self) -> float:
        """Return when it next does something by itself."""
        if self.loading:
            return self.ready_at_s
        return min(self.step_ends_at_s, self.expires_at_s)

    # Jobs come and go.

    def admit(self, sequence: Sequence) -> None:
        """Take a job into the queue; it stands there until `begin_step`."""
        if sequence.job.keep_alive_s is not None:
            self.session_s = sequence.job.keep_alive_s
        self.expires_at_s = NEVER
        self.waiting.append(sequence)

    def cancel(self, job: int) -> bool:
        """Drop a job; return whether it was here."""
        running = self.active.pop(job, None)
        if running is not None:
            self._forget(running)
            if not self.active:
                self.step_ends_at_s = NEVER
            return True
        for sequence in self.waiting:
            if sequence.job.id == job:
                self.waiting.remove(sequence)
                return True
        return False

    def rest(self, now_s: float) -> None:
        """Nothing is left to do: from now on it may expire or be evicted."""
        self.last_used_s = now_s
        self.expires_at_s = NEVER if self.session_s < 0 else now_s + self.session_s

    # Steps.

    def begin_step(self, now_s: float, sharing: int) -> None:
        """Fill the free slots, and start a step if anything runs and none is under way."""
        if self.loading:
            return
        while self.waiting and len(self.active) < self.slots:
            sequence = self.waiting.popleft()
            sequence.began_s = now_s
            self._reuse(sequence)
            self.active[sequence.job.id] = sequence
        if self.active and not self.busy:
            step = Step(
                tokens=self._plan(),
                cached_tokens=self.cached_tokens,
                offloaded_bytes=self.size_bytes - self.vram_bytes,
                sharing=sharing,
            )
            self.step_ends_at_s = now_s + step_s(self.spec, self.model, step)

    def _reuse(self, sequence: Sequence) -> None:
        """Take a slot: the one whose last prompt begins alike, else the longest unused."""
        best, at = 0, 0
        for place, cache in enumerate(self.caches):
            known = dict(cache)
            tokens = max((known.get(name, 0) for name, _ in sequence.job.prefixes), default=0)
            if tokens > best:
                best, at = tokens, place
        if best or len(self.caches) >= self.slots - len(self.active):
            del self.caches[at : at + 1]
        hit = min(best, sequence.prompt_left - 1)
        if hit > 0:
            sequence.prompt_left -= hit
            self.cached_tokens += hit

    def _plan(self) -> int:
        """Decide which tokens the step takes; return how many."""
        ideal = self.spec.ideal
        tokens = sum(1 for sequence in self.active.values() if not sequence.prompt_left)
        for sequence in self.active.values():
            room = max(1, STEP_TOKENS - tokens)
            sequence.step = sequence.prompt_left if ideal else min(sequence.prompt_left, room)
            tokens += sequence.step
        return tokens

    def end_step(self) -> list[Tokens | Finished]:
        """Return what the step made; those that are done leave their slots."""
        at_s = self.step_ends_at_s
        self.step_ends_at_s = NEVER
        made: list[Tokens | Finished] = []
        for sequence in list(self.active.values()):
            self._advance(sequence, at_s, made)
        return made

    def _advance(self, sequence: Sequence, at_s: float, made: list[Tokens | Finished]) -> None:
        sequence.prompt_left -= sequence.step
        self.cached_tokens += sequence.step
        if sequence.prompt_left:
            return
        job = sequence.job
        if job.output_tokens:
            if sequence.first_s < 0:
                sequence.first_s = at_s
            count = job.output_tokens if self.spec.step_s == 0 else 1
            sequence.made += count
            self.cached_tokens += count
            made.append(Tokens(job.id, at_s, count))
        if sequence.made >= job.output_tokens:
            del self.active[job.id]
            self._forget(sequence)
            made.append(sequence.finished(at_s))

    def _forget(self, sequence: Sequence) -> None:
        """Free the keys and values of a sequence that leaves."""
        taken = sequence.job.prompt_tokens - sequence.prompt_left
        self.cached_tokens -= taken + sequence.made
        if sequence.job.prefixes:
            self.caches.append(sequence.job.prefixes)
