"""What is true of a machine: the oracle need not learn it."""

from functools import cache

from herd.simulator.hardware import (
    STEP_TOKENS,
    NodeSpec,
    Step,
    default_context,
    load_s,
    resident_bytes,
    step_s,
)
from herd.simulator.physics import Machine
from herd.simulator.runner import Sequence as Running
from herd.virtual.script import Arrival

GRAIN_TOKENS = 256
"""Tokens read again are counted by so many, so that steps need not be reckoned anew each time."""


class Truth:
    """One machine: the memory and the time that its models take."""

    def __init__(self, spec: NodeSpec) -> None:
        """Reckon what never changes."""
        self.spec = spec
        self.slots = spec.facts.slots
        self._models = {each.facts.name: each for each in spec.models}
        context = default_context(spec)
        sizes = {name: resident_bytes(spec, each, context) for name, each in self._models.items()}
        most = spec.facts.vram_bytes + spec.offload_bytes
        self.bytes = {name: size for name, size in sizes.items() if size <= most}
        self.loads_s = {name: load_s(spec, each) for name, each in self._models.items()}
        self.step_s = cache(self._step_s)

    def _step_s(self, model: str, tokens: int, cached: int) -> float:
        step = Step(tokens=tokens, cached_tokens=cached * GRAIN_TOKENS)
        return step_s(self.spec, self._models[model], step)

    def prefill_s(self, model: str, prompt: int) -> float:
        """Return the time in which a prompt is taken in, alone."""
        whole, rest = divmod(prompt, STEP_TOKENS)
        took_s = whole * self.step_s(model, STEP_TOKENS, 0)
        return took_s + (self.step_s(model, rest, 0) if rest else 0.0)

    def mean_s(self, model: str, tokens: tuple[int, int], sharing: int) -> float:
        """Return the time of a prompt and an answer of so many tokens, beside other models."""
        prompt, output = tokens
        cached = (prompt + output // 2) // GRAIN_TOKENS
        decode_s = output * self.step_s(model, 1, cached)
        return (self.prefill_s(model, prompt) + decode_s) * sharing

    def work_s(self, arrival: Arrival, sharing: int, batch: int) -> float:
        """Return the time of a request beside other models, in a batch."""
        model, prompt, output = arrival.request.model, arrival.prompt_tokens, arrival.output_tokens
        cached = (prompt + output // 2) // GRAIN_TOKENS
        decode_s = output * self.step_s(model, batch, cached * batch)
        return (self.prefill_s(model, prompt) + decode_s) * sharing

    def left_s(self, running: Running, sharing: int, batch: int) -> float:
        """Return what is left of one that runs."""
        job = running.job
        cached = (job.prompt_tokens + job.output_tokens // 2) // GRAIN_TOKENS
        n = max(1, batch)
        decode_s = (job.output_tokens - running.made) * self.step_s(job.model, n, cached * n)
        return (self.prefill_s(job.model, running.prompt_left) + decode_s) * sharing


def working(machine: Machine) -> int:
    """Return how many models take turns on a machine now."""
    return sum(1 for runner in machine.runners.values() if runner.in_use and not runner.loading)
